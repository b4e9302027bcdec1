/* Methods of dictionaries, lists and tuples that do not change them. */
#include <string.h>

#include "trainer/template/builtins.h"

Status dict_get(Render *r, const Call *c, Value *out)
{
    const Value *found;
    Status st = dict_find(r, c->subject.dict, c->given[0], &found);
    if (!st) *out = found ? *found : c->given[1].kind == VALUE_ABSENT ? value_none() : c->given[1];
    return st;
}

static Status view(Render *r, const Dict *d, const char *label, int what, Value *out)
{
    Status st = OK;
    TRY(value_list(r, VALUE_VIEW, d->count, out));
    out->list->label = label;
    for (size_t i = 0; i < d->count; i++) {
        Value *item = &out->list->items[i];
        if (what == 0) *item = d->pairs[i].key;
        else if (what == 1) *item = d->pairs[i].value;
        else {
            TRY(value_list(r, VALUE_TUPLE, 2, item));
            item->list->items[0] = d->pairs[i].key;
            item->list->items[1] = d->pairs[i].value;
        }
    }
done:
    return st;
}

Status dict_keys(Render *r, const Call *c, Value *out) { return view(r, c->subject.dict, "dict_keys", 0, out); }
Status dict_values(Render *r, const Call *c, Value *out) { return view(r, c->subject.dict, "dict_values", 1, out); }
Status dict_items(Render *r, const Call *c, Value *out) { return view(r, c->subject.dict, "dict_items", 2, out); }

Status dict_copy(Render *r, const Call *c, Value *out)
{
    (void)r;
    *out = c->subject; /* nothing can change it */
    return OK;
}

Status list_copy(Render *r, const Call *c, Value *out)
{
    (void)r;
    *out = c->subject;
    return OK;
}

Status list_count(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    const List *l = c->subject.list;
    int64_t n = 0;
    bool equal;
    for (size_t i = 0; i < l->count; i++) {
        TRY(values_equal(r, l->items[i], c->given[0], &equal));
        n += equal;
    }
    *out = value_int(n);
done:
    return st;
}

Status list_index(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    const List *l = c->subject.list;
    bool equal = false;
    size_t i = 0;
    for (; i < l->count; i++) {
        TRY(values_equal(r, l->items[i], c->given[0], &equal));
        if (equal) break;
    }
    if (!equal) RAISE(FORMAT, "the value is not in the %s", value_type(c->subject));
    *out = value_int((int64_t)i);
done:
    return st;
}
