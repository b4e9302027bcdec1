/* The filter tojson as transformers has it: json.dumps(value, ensure_ascii, indent, separators, sort_keys), nothing
 * escaped for HTML. */
#include <inttypes.h>
#include <string.h>

#include "trainer/template/builtins.h"
#include "trainer/template/letters.h"

typedef struct Style {
    Value indent; /* a string; VALUE_NONE: one line */
    Value item, key;
    bool ascii, sorted;
} Style;

static Status write_json(Render *r, Text *t, const Style *s, Value v, int depth);

static void quoted(Text *t, const Style *s, Value v)
{
    size_t start = t->size;
    json_add_string(t, v.text, v.size);
    if (!s->ascii || t->failed || letter_count(t->data + start, t->size - start) == t->size - start) return;
    Text plain = {0};
    for (size_t i = start, n; i < t->size; i += n) {
        uint32_t c = letter_decode(t->data + i, &n);
        if (c < 0x80) text_add(&plain, t->data + i, 1);
        else if (c < 0x10000) text_printf(&plain, "\\u%04x", c);
        else text_printf(&plain, "\\u%04x\\u%04x", 0xD7C0 + (c >> 10), 0xDC00 + (c & 0x3FF));
    }
    t->size = start;
    text_add(t, plain.data, plain.size);
    t->failed |= plain.failed;
    text_free(&plain);
}

static Status line(Render *r, Text *t, const Style *s, int depth)
{
    Status st = OK;
    if (s->indent.kind != VALUE_STRING) goto done;
    TRY(render_add(r, t, "\n", 1));
    for (int i = 0; i < depth; i++) TRY(render_add(r, t, s->indent.text, s->indent.size));
done:
    return st;
}

/* Keys that are no strings are written as strings. */
static Status json_key(Render *r, Text *t, const Style *s, Value key)
{
    Status st = OK;
    Value text = key;
    if (key.kind == VALUE_NONE) text = value_string("null", 4);
    else if (key.kind == VALUE_BOOL) text = value_string(key.truth ? "true" : "false", key.truth ? 4 : 5);
    else if (value_is_number(key)) TRY(value_str(r, key, &text));
    else if (key.kind != VALUE_STRING)
        RAISE(FORMAT, "keys must be str, int, float, bool or None, not %s", value_type(key));
    quoted(t, s, text);
    TRY(render_add(r, t, s->key.text, s->key.size));
done:
    return st;
}

static Status sort_pairs(Render *r, const Dict *d, Pair **out)
{
    Status st = OK;
    Pair *pairs;
    NEW(r, pairs, d->count);
    for (size_t i = 0; i < d->count; i++) { /* by insertion: objects are small */
        size_t at = i;
        bool less = true;
        for (; at > 0; at--) {
            TRY(value_less(r, "<", d->pairs[i].key, pairs[at - 1].key, &less));
            if (!less) break;
            pairs[at] = pairs[at - 1];
        }
        pairs[at] = d->pairs[i];
    }
    *out = pairs;
done:
    return st;
}

static Status json_object(Render *r, Text *t, const Style *s, const Dict *d, int depth)
{
    Status st = OK;
    Pair *pairs = d->pairs;
    if (s->sorted) TRY(sort_pairs(r, d, &pairs));
    TRY(render_add(r, t, "{", 1));
    for (size_t i = 0; i < d->count; i++) {
        if (i) TRY(render_add(r, t, s->item.text, s->item.size));
        TRY(line(r, t, s, depth + 1));
        TRY(json_key(r, t, s, pairs[i].key));
        TRY(write_json(r, t, s, pairs[i].value, depth + 1));
    }
    if (d->count) TRY(line(r, t, s, depth));
    TRY(render_add(r, t, "}", 1));
done:
    return st;
}

static Status json_array(Render *r, Text *t, const Style *s, const List *l, int depth)
{
    Status st = OK;
    TRY(render_add(r, t, "[", 1));
    for (size_t i = 0; i < l->count; i++) {
        if (i) TRY(render_add(r, t, s->item.text, s->item.size));
        TRY(line(r, t, s, depth + 1));
        TRY(write_json(r, t, s, l->items[i], depth + 1));
    }
    if (l->count) TRY(line(r, t, s, depth));
    TRY(render_add(r, t, "]", 1));
done:
    return st;
}

static Status write_json(Render *r, Text *t, const Style *s, Value v, int depth)
{
    Status st = OK;
    TRY(render_spend(r, 1));
    TRY(render_deeper(r));
    switch (v.kind) {
    case VALUE_NONE: text_add(t, "null", 4); break;
    case VALUE_BOOL: text_printf(t, v.truth ? "true" : "false"); break;
    case VALUE_INT: text_printf(t, "%" PRId64, v.integer); break;
    case VALUE_REAL: json_add_real(t, v.real); break;
    case VALUE_STRING:
        TRY(render_add(r, t, "", 0));
        TRY(render_spend(r, v.size / 16));
        quoted(t, s, v);
        break;
    case VALUE_LIST: case VALUE_TUPLE: TRY(json_array(r, t, s, v.list, depth)); break;
    case VALUE_DICT: TRY(json_object(r, t, s, v.dict, depth)); break;
    default: RAISE(FORMAT, "Object of type %s is not JSON serializable", value_type(v));
    }
    if (t->size > r->bytes) RAISE(FORMAT, "the template writes more than %zu MiB", RENDER_BYTES >> 20);
    r->depth--;
done:
    return st;
}

static Status read_style(Render *r, const Call *c, Style *s)
{
    Status st = OK;
    Value indent = c->given[1], separators = c->given[2];
    s->ascii = value_truth(c->given[0]);
    s->sorted = value_truth(c->given[3]);
    s->indent = indent.kind == VALUE_ABSENT ? value_none() : indent;
    if (value_is_whole(indent)) {
        int64_t n = value_whole(indent) > 0 ? value_whole(indent) : 0;
        if (n > 64) RAISE(UNSUPPORTED, "tojson(indent) beyond 64 is not there");
        TRY(value_printf(r, &s->indent, "%*s", (int)n, ""));
    } else if (s->indent.kind != VALUE_NONE && s->indent.kind != VALUE_STRING) {
        RAISE(FORMAT, "tojson(indent) takes a number or a string, not %s", value_type(indent));
    }
    s->item = s->indent.kind == VALUE_NONE ? value_string(", ", 2) : value_string(",", 1);
    s->key = value_string(": ", 2);
    if (separators.kind == VALUE_ABSENT || separators.kind == VALUE_NONE) goto done;
    if (!value_is_list(separators) || separators.list->count != 2 || separators.list->items[0].kind != VALUE_STRING ||
        separators.list->items[1].kind != VALUE_STRING)
        RAISE(FORMAT, "tojson(separators) takes two strings");
    s->item = separators.list->items[0];
    s->key = separators.list->items[1];
done:
    return st;
}

Status filter_tojson(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Style s = {0};
    Text t = {0};
    TRY(read_style(r, c, &s));
    TRY(write_json(r, &t, &s, c->subject, 0));
    TRY(render_keep(r, &t, out));
done:
    text_free(&t);
    return st;
}
