/* Filters that compare elements by a key: an attribute of them, in lower case unless asked otherwise. */
#include <string.h>

#include "trainer/template/builtins.h"
#include "trainer/template/text.h"

static Status fold(Render *r, bool case_sensitive, Value *key)
{
    return case_sensitive || key->kind != VALUE_STRING ? OK : text_to_case(r, *key, TEXT_LOWER, key);
}

static Status one_key(Render *r, Value item, Value attribute, bool case_sensitive, Value *out)
{
    Status st = value_path(r, item, attribute, (Value){0}, out);
    return st ? st : fold(r, case_sensitive, out);
}

/* A list of one key, or of several for "a,b": lists compare by their first unequal elements, so that two undefined ones
 * do not have to be ordered. */
static Status many_keys(Render *r, Value item, Value attribute, bool case_sensitive, Value *out)
{
    Status st = OK;
    size_t capacity = 0, at = 0;
    Value key, part = attribute;
    bool more = true;
    TRY(value_list(r, VALUE_LIST, 0, out));
    while (more) {
        const char *comma =
            attribute.kind == VALUE_STRING ? memchr(attribute.text + at, ',', attribute.size - at) : NULL;
        if (attribute.kind == VALUE_STRING)
            part =
                value_string(attribute.text + at, comma ? (size_t)(comma - attribute.text) - at : attribute.size - at);
        TRY(one_key(r, item, part, case_sensitive, &key));
        TRY(value_append(r, *out, &capacity, key));
        more = comma != NULL;
        if (more) at += part.size + 1;
    }
done:
    return st;
}

/* Merges the sorted halves [low, middle) and [middle, high); stable, also when reversed. */
static Status merge(Render *r, Pair *all, Pair *spare, size_t low, size_t middle, size_t high, bool reverse)
{
    Status st = OK;
    size_t a = low, b = middle, n = low;
    bool less = false;
    while (a < middle && b < high) {
        Value first = all[a].key, second = all[b].key;
        TRY(value_less(r, "<", reverse ? first : second, reverse ? second : first, &less));
        spare[n++] = less ? all[b++] : all[a++];
    }
    while (a < middle) spare[n++] = all[a++];
    while (b < high) spare[n++] = all[b++];
    memcpy(all + low, spare + low, (high - low) * sizeof *all);
done:
    return st;
}

static Status sort(Render *r, Pair *all, size_t count, bool reverse)
{
    Status st = OK;
    Pair *spare;
    NEW(r, spare, count);
    for (size_t width = 1; width < count; width *= 2)
        for (size_t low = 0; low + width < count; low += 2 * width) {
            size_t high = low + 2 * width < count ? low + 2 * width : count;
            TRY(merge(r, all, spare, low, low + width, high, reverse));
        }
done:
    return st;
}

Status filter_sort(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value items;
    Pair *all;
    TRY(value_items(r, c->subject, &items));
    size_t count = items.list->count;
    NEW(r, all, count);
    for (size_t i = 0; i < count; i++) {
        all[i].value = items.list->items[i];
        TRY(many_keys(r, all[i].value, c->given[2], value_truth(c->given[1]), &all[i].key));
    }
    TRY(sort(r, all, count, value_truth(c->given[0])));
    TRY(value_list(r, VALUE_LIST, count, out));
    for (size_t i = 0; i < count; i++) out->list->items[i] = all[i].value;
done:
    return st;
}

static bool is_word(Value v, const char *word)
{
    return v.kind == VALUE_STRING && v.size == strlen(word) && !memcmp(v.text, word, v.size);
}

Status filter_dictsort(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value by = c->given[1], pairs;
    Pair *all;
    if (c->subject.kind == VALUE_UNDEFINED) TRY(undefined_error(c->subject.missing));
    if (c->subject.kind != VALUE_DICT) RAISE(FORMAT, "'%s' object has no attribute 'items'", value_type(c->subject));
    if (by.kind != VALUE_ABSENT && !is_word(by, "key") && !is_word(by, "value"))
        RAISE(FORMAT, "You can only sort by either \"key\" or \"value\"");
    TRY(dict_items(r, c, &pairs));
    size_t count = pairs.list->count;
    NEW(r, all, count);
    for (size_t i = 0; i < count; i++) {
        all[i].value = pairs.list->items[i];
        all[i].key = all[i].value.list->items[is_word(by, "value")];
        TRY(fold(r, value_truth(c->given[0]), &all[i].key));
    }
    TRY(sort(r, all, count, value_truth(c->given[2])));
    TRY(value_list(r, VALUE_LIST, count, out));
    for (size_t i = 0; i < count; i++) out->list->items[i] = all[i].value;
done:
    return st;
}

Status filter_unique(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value items, key, seen;
    size_t capacity = 0;
    const Value *found;
    TRY(value_items(r, c->subject, &items));
    TRY(value_dict(r, &seen));
    TRY(value_list(r, VALUE_ITERATOR, 0, out));
    for (size_t i = 0; i < items.list->count; i++) {
        TRY(one_key(r, items.list->items[i], c->given[1], value_truth(c->given[0]), &key));
        TRY(render_spend(r, seen.dict->count / 4));
        TRY(dict_find(r, seen.dict, key, &found));
        if (found) continue;
        TRY(dict_put(r, seen.dict, key, value_none()));
        TRY(value_append(r, *out, &capacity, items.list->items[i]));
    }
done:
    return st;
}

static Status extreme(Render *r, const Call *c, bool greatest, Value *out)
{
    Status st = OK;
    Value items, key, best = {0};
    bool better;
    TRY(value_items(r, c->subject, &items));
    TRY(value_undefined_hint(r, "No aggregated item, sequence was empty.", out));
    for (size_t i = 0; i < items.list->count; i++) {
        TRY(one_key(r, items.list->items[i], c->given[1], value_truth(c->given[0]), &key));
        better = i == 0;
        if (i) TRY(value_less(r, greatest ? ">" : "<", greatest ? best : key, greatest ? key : best, &better));
        if (!better) continue;
        best = key;
        *out = items.list->items[i];
    }
done:
    return st;
}

Status filter_max(Render *r, const Call *c, Value *out) { return extreme(r, c, true, out); }
Status filter_min(Render *r, const Call *c, Value *out) { return extreme(r, c, false, out); }

Status filter_sum(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value items, item;
    *out = c->given[1].kind == VALUE_ABSENT ? value_int(0) : c->given[1];
    if (out->kind == VALUE_STRING) RAISE(FORMAT, "sum() can't sum strings; use `| join`");
    TRY(value_items(r, c->subject, &items));
    for (size_t i = 0; i < items.list->count; i++) {
        TRY(value_path(r, items.list->items[i], c->given[0], (Value){0}, &item));
        TRY(operator_binary(r, OP_ADD, *out, item, out));
    }
done:
    return st;
}
