/* Filters on sequences: which elements, in which order. */
#include <string.h>

#include "trainer/template/builtins.h"
#include "trainer/template/text.h"

Status filter_list(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value items;
    TRY(value_items(r, c->subject, &items));
    TRY(value_list(r, VALUE_LIST, items.list->count, out));
    if (items.list->count) memcpy(out->list->items, items.list->items, items.list->count * sizeof(Value));
done:
    return st;
}

Status filter_first(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value items, v = c->subject;
    if (v.kind == VALUE_ITERATOR) { /* takes one */
        List *l = v.list;
        if (l->next < l->count) *out = l->items[l->next++];
        else TRY(value_undefined_hint(r, "No first item, sequence was empty.", out));
        goto done;
    }
    TRY(value_items(r, v, &items));
    if (items.list->count) *out = items.list->items[0];
    else TRY(value_undefined_hint(r, "No first item, sequence was empty.", out));
done:
    return st;
}

Status filter_last(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value items;
    if (c->subject.kind == VALUE_ITERATOR || !value_is_iterable(c->subject))
        RAISE(FORMAT, "'%s' object is not reversible", value_type(c->subject));
    TRY(value_items(r, c->subject, &items));
    if (items.list->count) *out = items.list->items[items.list->count - 1];
    else TRY(value_undefined_hint(r, "No last item, sequence was empty.", out));
done:
    return st;
}

Status filter_reverse(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value items, v = c->subject;
    if (v.kind == VALUE_STRING) {
        TRY(value_slice(r, v, value_none(), value_none(), value_int(-1), out));
        goto done;
    }
    if (!value_is_iterable(v)) RAISE(FORMAT, "argument must be iterable");
    TRY(value_items(r, v, &items));
    size_t n = items.list->count;
    TRY(value_list(r, v.kind == VALUE_ITERATOR ? VALUE_LIST : VALUE_ITERATOR, n, out));
    for (size_t i = 0; i < n; i++) out->list->items[i] = items.list->items[n - 1 - i];
done:
    return st;
}

Status filter_join(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value separator = value_string("", 0), items = c->subject, attribute = c->given[1];
    if (c->given[0].kind != VALUE_ABSENT) TRY(value_str(r, c->given[0], &separator));
    if (attribute.kind != VALUE_ABSENT && attribute.kind != VALUE_NONE) {
        Value all;
        TRY(value_items(r, items, &all));
        TRY(value_list(r, VALUE_LIST, all.list->count, &items));
        for (size_t i = 0; i < all.list->count; i++)
            TRY(value_path(r, all.list->items[i], attribute, (Value){0}, &items.list->items[i]));
    }
    TRY(text_join_value(r, separator, items, true, out));
done:
    return st;
}

Status filter_default(Render *r, const Call *c, Value *out)
{
    (void)r;
    bool use = c->subject.kind == VALUE_UNDEFINED || (value_truth(c->given[1]) && !value_truth(c->subject));
    *out = !use ? c->subject : c->given[0].kind == VALUE_ABSENT ? value_string("", 0) : c->given[0];
    return OK;
}

Status filter_items(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value all;
    if (c->subject.kind == VALUE_UNDEFINED) return value_list(r, VALUE_ITERATOR, 0, out);
    if (c->subject.kind != VALUE_DICT) RAISE(FORMAT, "Can only get item pairs from a mapping.");
    TRY(dict_items(r, c, &all));
    TRY(value_list(r, VALUE_ITERATOR, all.list->count, out));
    out->list->items = all.list->items;
done:
    return st;
}

/* The attribute, but no key: jinja2's `|attr`. */
Status filter_attr(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value v = c->subject, name = c->given[0];
    if (name.kind != VALUE_STRING) RAISE(FORMAT, "attr() takes a name, not %s", value_type(name));
    bool has = v.kind != VALUE_DICT || builtin_method(v.kind, name.text, name.size) ||
        builtin_is_unsafe(v.kind, name.text, name.size) || builtin_is_lacking(v.kind, name.text, name.size);
    if (has) TRY(value_attribute(r, v, name, out));
    else TRY(value_undefined(r, v, name, out));
done:
    return st;
}

Status filter_batch(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value items, row = {0};
    int64_t size;
    size_t rows = 0, columns = 0;
    TRY(argument_whole(c->given[0], "batch(linecount)", 1, &size));
    if (size < 1) RAISE(UNSUPPORTED, "batch(linecount) is there from 1 on");
    TRY(value_items(r, c->subject, &items));
    TRY(value_list(r, VALUE_ITERATOR, 0, out));
    for (size_t i = 0; i < items.list->count; i++) {
        if (i % (size_t)size == 0) {
            columns = 0;
            TRY(value_list(r, VALUE_LIST, 0, &row));
            TRY(value_append(r, *out, &rows, row));
        }
        TRY(value_append(r, row, &columns, items.list->items[i]));
    }
    bool fill = c->given[1].kind != VALUE_ABSENT && c->given[1].kind != VALUE_NONE;
    while (fill && items.list->count && row.list->count < (size_t)size)
        TRY(value_append(r, row, &columns, c->given[1]));
done:
    return st;
}
