/* Values as text: Python's str and repr, json.dumps of the filter tojson, and what writing a value adds to the output.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "trainer/template/builtins.h"
#include "trainer/template/letters.h"

void real_repr(Text *t, double x)
{
    if (isnan(x)) text_add(t, "nan", 3);
    else if (isinf(x)) text_printf(t, x < 0 ? "-inf" : "inf");
    else json_add_real(t, x);
}

static Status repr_string(Render *r, Text *t, const char *s, size_t size)
{
    Status st = OK;
    char quote = memchr(s, '\'', size) && !memchr(s, '"', size) ? '"' : '\'';
    text_add(t, &quote, 1);
    for (size_t i = 0, n; i < size; i += n) {
        uint32_t c = letter_decode(s + i, &n);
        if (c == (unsigned char)quote || c == '\\') text_printf(t, "\\%c", (char)c);
        else if (c == '\n') text_add(t, "\\n", 2);
        else if (c == '\r') text_add(t, "\\r", 2);
        else if (c == '\t') text_add(t, "\\t", 2);
        else if (letter_flags(c) & LETTER_PRINTABLE) text_add(t, s + i, n);
        else if (c < 0x100) text_printf(t, "\\x%02x", c);
        else if (c < 0x10000) text_printf(t, "\\u%04x", c);
        else text_printf(t, "\\U%08x", c);
    }
    text_add(t, &quote, 1);
    TRY(render_spend(r, size / 16));
    TRY(render_add(r, t, "", 0));
done:
    return st;
}

static Status repr_items(Render *r, Text *t, const List *list)
{
    Status st = OK;
    for (size_t i = 0; i < list->count; i++) {
        if (i) TRY(render_add(r, t, ", ", 2));
        TRY(value_repr(r, t, list->items[i]));
    }
done:
    return st;
}

static Status repr_dict(Render *r, Text *t, const Dict *d)
{
    Status st = OK;
    TRY(render_add(r, t, "{", 1));
    for (size_t i = 0; i < d->count; i++) {
        if (i) TRY(render_add(r, t, ", ", 2));
        TRY(value_repr(r, t, d->pairs[i].key));
        TRY(render_add(r, t, ": ", 2));
        TRY(value_repr(r, t, d->pairs[i].value));
    }
    TRY(render_add(r, t, "}", 1));
done:
    return st;
}

static Status repr_list(Render *r, Text *t, Value v)
{
    Status st = OK;
    bool tuple = v.kind == VALUE_TUPLE;
    if (v.kind == VALUE_VIEW) text_printf(t, "%s(", v.list->label);
    TRY(render_add(r, t, tuple ? "(" : "[", 1));
    TRY(repr_items(r, t, v.list));
    if (tuple && v.list->count == 1) TRY(render_add(r, t, ",", 1));
    TRY(render_add(r, t, tuple ? ")" : "]", 1));
    if (v.kind == VALUE_VIEW) TRY(render_add(r, t, ")", 1));
done:
    return st;
}

Status value_repr(Render *r, Text *t, Value v)
{
    Status st = OK;
    int64_t length;
    TRY(render_spend(r, 1));
    TRY(render_deeper(r));
    switch (v.kind) {
    case VALUE_UNDEFINED: TRY(render_add(r, t, "Undefined", 9)); break;
    case VALUE_NONE: TRY(render_add(r, t, "None", 4)); break;
    case VALUE_BOOL: TRY(render_add(r, t, v.truth ? "True" : "False", v.truth ? 4 : 5)); break;
    case VALUE_INT: text_printf(t, "%" PRId64, v.integer); TRY(render_add(r, t, "", 0)); break;
    case VALUE_REAL: real_repr(t, v.real); break;
    case VALUE_STRING: TRY(repr_string(r, t, v.text, v.size)); break;
    case VALUE_LIST: case VALUE_TUPLE: case VALUE_VIEW: TRY(repr_list(r, t, v)); break;
    case VALUE_RANGE:
        text_printf(t, "range(%" PRId64 ", %" PRId64, v.list->start, v.list->stop);
        if (v.list->step != 1) text_printf(t, ", %" PRId64, v.list->step);
        TRY(render_add(r, t, ")", 1));
        break;
    case VALUE_DICT: TRY(repr_dict(r, t, v.dict)); break;
    case VALUE_NAMESPACE:
        TRY(render_add(r, t, "<Namespace ", 11));
        TRY(repr_dict(r, t, v.dict));
        TRY(render_add(r, t, ">", 1));
        break;
    case VALUE_LOOP:
        TRY(value_length(r, v, &length));
        RAISE(UNSUPPORTED, "`loop` cannot be written as text");
    case VALUE_ITERATOR: RAISE(UNSUPPORTED, "a %s cannot be written as text: add `| list` or `| join`", value_type(v));
    default: RAISE(UNSUPPORTED, "a %s cannot be written as text: is a call's () missing?", value_type(v));
    }
    r->depth--;
done:
    return st;
}

Status value_write(Render *r, Text *t, Value v)
{
    if (v.kind == VALUE_STRING) return render_add(r, t, v.text, v.size);
    return v.kind == VALUE_UNDEFINED ? OK : value_repr(r, t, v);
}

Status value_str(Render *r, Value v, Value *out)
{
    Status st = OK;
    Text t = {0};
    if (v.kind == VALUE_STRING) {
        *out = v;
        goto done;
    }
    TRY(value_write(r, &t, v));
    TRY(render_keep(r, &t, out));
done:
    text_free(&t);
    return st;
}
