/* Global functions: range, namespace, dict, raise_exception, strftime_now. */
#include <string.h>

#include "trainer/template/builtins.h"

static Status put_pairs(Render *r, Dict *d, Value pairs)
{
    Status st = OK;
    Value items, pair;
    TRY(value_items(r, pairs, &items));
    for (size_t i = 0; i < items.list->count; i++) {
        if (!value_is_iterable(items.list->items[i])) RAISE(FORMAT, "dict() takes a mapping or pairs");
        TRY(value_items(r, items.list->items[i], &pair));
        if (pair.list->count != 2)
            RAISE(FORMAT, "dictionary update sequence element #%zu has length %zu; 2 is required", i, pair.list->count);
        TRY(dict_put(r, d, pair.list->items[0], pair.list->items[1]));
    }
done:
    return st;
}

Status global_dict(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    TRY(value_dict(r, out));
    if (c->count > 1) RAISE(FORMAT, "%s expected at most 1 argument, got %zu", c->builtin->name, c->count);
    if (c->count && c->values[0].kind == VALUE_DICT) {
        const Dict *d = c->values[0].dict;
        for (size_t i = 0; i < d->count; i++) TRY(dict_put(r, out->dict, d->pairs[i].key, d->pairs[i].value));
    } else if (c->count) {
        TRY(put_pairs(r, out->dict, c->values[0]));
    }
    for (size_t i = 0; i < c->keyword_count; i++)
        TRY(dict_put(r, out->dict, value_string(c->keywords[i].name, c->keywords[i].size), c->keywords[i].value));
done:
    return st;
}

Status global_namespace(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    TRY(global_dict(r, c, out));
    for (size_t i = 0; i < out->dict->count; i++) {
        Value key = out->dict->pairs[i].key;
        if (key.kind == VALUE_STRING && key.size && *key.text == '_')
            RAISE(FORMAT, "a namespace has no attributes that begin with an underscore: `%.*s`", (int)key.size,
                  key.text);
    }
    out->kind = VALUE_NAMESPACE;
done:
    return st;
}

Status global_raise_exception(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value text;
    *out = value_none();
    TRY(value_str(r, c->given[0], &text));
    RAISE(FORMAT, "%.*s", (int)(text.size < 2000 ? text.size : 2000), text.text);
done:
    return st;
}

Status global_range(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    int64_t v[3] = {0, 0, 1};
    for (int i = 0; i < 3 && c->given[i].kind != VALUE_ABSENT; i++) {
        if (c->given[i].kind == VALUE_UNDEFINED) TRY(undefined_error(c->given[i].missing));
        if (!value_is_whole(c->given[i]))
            RAISE(FORMAT, "'%s' object cannot be interpreted as an integer", value_type(c->given[i]));
        v[i] = value_whole(c->given[i]);
    }
    if (c->given[1].kind == VALUE_ABSENT) v[1] = v[0], v[0] = 0;
    if (!v[2]) RAISE(FORMAT, "range() arg 3 must not be zero");
    __int128 distance = (__int128)v[1] - v[0], step = v[2];
    __int128 count = step > 0 ? (distance + step - 1) / step : (-distance - step - 1) / -step;
    if ((step > 0) != (distance > 0) || !distance) count = 0;
    if (count > RENDER_RANGE)
        RAISE(FORMAT, "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d)", RENDER_RANGE);
    TRY(value_list(r, VALUE_RANGE, (size_t)count, out));
    List *l = out->list;
    l->start = v[0], l->stop = v[1], l->step = v[2];
    for (size_t i = 0; i < l->count; i++) l->items[i] = value_int(v[0] + (int64_t)i * v[2]);
done:
    return st;
}

/* datetime.now().strftime(format) of a time without zone and fractions. */
Status global_strftime_now(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Text format = {0};
    char text[1024];
    Value given = c->given[0];
    if (given.kind != VALUE_STRING) RAISE(FORMAT, "strftime() argument 1 must be str, not %s", value_type(given));
    if (given.size > 256 || memchr(given.text, 0, given.size))
        RAISE(UNSUPPORTED, "strftime_now() takes a format of up to 256 characters");
    for (size_t i = 0; i < given.size; i++) {
        char next = given.text[i] == '%' && i + 1 < given.size ? given.text[i + 1] : 0;
        if (next == 'f') text_add(&format, "000000", 6);
        else if (next && next != 'z' && next != 'Z') text_add(&format, given.text + i, 2);
        else if (!next) text_add(&format, given.text + i, 1);
        i += next != 0;
    }
    text_add(&format, ".", 1); /* so that an empty result is told from one that is too long */
    if (format.failed) RAISE(MEMORY, "out of memory: a date's format");
    size_t n = strftime(text, sizeof text, format.data, r->now);
    if (!n) RAISE(UNSUPPORTED, "strftime_now() makes more than %zu characters", sizeof text);
    TRY(value_copy(r, text, n - 1, out));
done:
    text_free(&format);
    return st;
}
