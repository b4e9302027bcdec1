/* map, select, reject and their kin: a filter, a test or an attribute for each element. jinja2 does the work when the
 * result is iterated; here it is done at once, which shows only where a template changes a namespace in between. */
#include <string.h>

#include "trainer/template/builtins.h"

/* The rest of c's arguments, after `used`, go to the builtin that is named. */
static Status apply(Render *r, const Builtin *b, const Call *c, size_t used, Value subject, Value *out)
{
    Call inner = {.builtin = b, .subject = subject, .values = c->values + used, .count = c->count - used,
                  .keywords = c->keywords, .keyword_count = c->keyword_count};
    Status st = render_deeper(r);
    if (st) return st;
    st = builtin_call(r, &inner, out);
    r->depth--;
    return st;
}

static Status named(Value name, bool test, const Builtin **out)
{
    Status st = OK;
    if (name.kind == VALUE_STRING) *out = (test ? builtin_test : builtin_filter)(name.text, name.size);
    if (name.kind != VALUE_STRING || !*out)
        RAISE(UNSUPPORTED, "there is no %s `%.*s`", test ? "test" : "filter",
              name.kind == VALUE_STRING ? (int)(name.size < 80 ? name.size : 80) : 0, name.text);
done:
    return st;
}

static const Value *keyword(const Call *c, const char *name)
{
    for (size_t i = 0; i < c->keyword_count; i++)
        if (c->keywords[i].size == strlen(name) && !memcmp(c->keywords[i].name, name, c->keywords[i].size))
            return &c->keywords[i].value;
    return NULL;
}

Status filter_map(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value items, fallback = {0};
    const Builtin *filter = NULL;
    const Value *attribute = c->count ? NULL : keyword(c, "attribute"), *given = keyword(c, "default");
    TRY(value_list(r, VALUE_ITERATOR, 0, out));
    if (!value_truth(c->subject)) goto done;
    if (attribute) {
        if (c->keyword_count > 1 + (size_t)(given != NULL))
            RAISE(FORMAT, "map() is given a keyword that it does not take");
        if (given && given->kind != VALUE_NONE) fallback = *given;
    } else {
        if (!c->count) RAISE(FORMAT, "map requires a filter argument");
        TRY(named(c->values[0], false, &filter));
    }
    TRY(value_items(r, c->subject, &items));
    TRY(value_list(r, VALUE_ITERATOR, items.list->count, out));
    for (size_t i = 0; i < items.list->count; i++) {
        Value item = items.list->items[i], *to = &out->list->items[i];
        if (attribute) TRY(value_path(r, item, *attribute, fallback, to));
        else TRY(apply(r, filter, c, 1, item, to));
    }
done:
    return st;
}

static Status pick(Render *r, const Call *c, bool by_attribute, bool keep, Value *out)
{
    Status st = OK;
    Value items;
    const Builtin *test = NULL;
    size_t capacity = 0, used = by_attribute;
    TRY(value_list(r, VALUE_ITERATOR, 0, out));
    if (!value_truth(c->subject)) goto done;
    if (by_attribute && !c->count) RAISE(FORMAT, "Missing parameter for attribute name");
    if (c->count > used) TRY(named(c->values[used], true, &test));
    TRY(value_items(r, c->subject, &items));
    for (size_t i = 0; i < items.list->count; i++) {
        Value item = items.list->items[i], value = item, holds;
        if (by_attribute) TRY(value_path(r, item, c->values[0], (Value){0}, &value));
        holds = value;
        if (test) TRY(apply(r, test, c, used + 1, value, &holds));
        if (value_truth(holds) == keep) TRY(value_append(r, *out, &capacity, item));
    }
done:
    return st;
}

Status filter_select(Render *r, const Call *c, Value *out) { return pick(r, c, false, true, out); }
Status filter_reject(Render *r, const Call *c, Value *out) { return pick(r, c, false, false, out); }
Status filter_selectattr(Render *r, const Call *c, Value *out) { return pick(r, c, true, true, out); }
Status filter_rejectattr(Render *r, const Call *c, Value *out) { return pick(r, c, true, false, out); }
