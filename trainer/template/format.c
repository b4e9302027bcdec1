/* "%s %d" % values, the filter and the method format, as far as templates go: %-formats s r d i u f x X %, with flags,
 * width and precision; {} {0} {name} without format specifications. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/template/builtins.h"
#include "trainer/template/letters.h"

typedef struct Spec {
    char flags[8], kind;
    int width, precision; /* -1: none */
} Spec;

static size_t digits(const char *s, size_t size, int *out)
{
    size_t n = 0;
    for (*out = 0; n < size && n < 4 && s[n] >= '0' && s[n] <= '9'; n++) *out = *out * 10 + (s[n] - '0');
    return n;
}

/* Spaces (or zeros) before or after the text. */
static Status padded(Render *r, Text *t, const Spec *s, const char *text, size_t size)
{
    Status st = OK;
    size_t letters = letter_count(text, size),
           pad = s->width > 0 && (size_t)s->width > letters ? (size_t)s->width - letters : 0;
    bool left = strchr(s->flags, '-') != NULL;
    for (size_t i = 0; !left && i < pad; i++) TRY(render_add(r, t, " ", 1));
    TRY(render_add(r, t, text, size));
    for (size_t i = 0; left && i < pad; i++) TRY(render_add(r, t, " ", 1));
done:
    return st;
}

static Status one_string(Render *r, Text *t, const Spec *s, Value v)
{
    Status st = OK;
    Text repr = {0};
    Value text;
    if (s->kind == 'r') {
        TRY(value_repr(r, &repr, v));
        TRY(render_keep(r, &repr, &text));
    } else {
        TRY(value_str(r, v, &text));
    }
    if (s->precision >= 0) TRY(value_slice(r, text, value_none(), value_int(s->precision), value_none(), &text));
    TRY(padded(r, t, s, text.text, text.size));
done:
    text_free(&repr);
    return st;
}

static Status one_number(Render *r, Text *t, const Spec *s, Value v)
{
    Status st = OK;
    char format[64], precision[16] = "", text[512];
    if (v.kind == VALUE_UNDEFINED) TRY(undefined_error(v.missing));
    if (!value_is_number(v) || (strchr("xX", s->kind) && v.kind == VALUE_REAL))
        RAISE(FORMAT, "%%%c format: a real number is required, not %s", s->kind, value_type(v));
    if (s->precision >= 0) snprintf(precision, sizeof precision, ".%d", s->precision);
    bool real = s->kind == 'f';
    if (!real && v.kind == VALUE_REAL && !(v.real > -9.2e18 && v.real < 9.2e18))
        RAISE(UNSUPPORTED, "%%%c of a number beyond 64 bits", s->kind);
    if (real && value_double(v) != value_double(v)) {
        TRY(padded(r, t, s, "nan", 3));
        goto done;
    }
    int64_t n = v.kind == VALUE_REAL ? (int64_t)v.real : value_whole(v);
    bool hex = s->kind == 'x' || s->kind == 'X';
    if (hex && n < 0) RAISE(UNSUPPORTED, "%%%c of a negative number", s->kind);
    snprintf(format, sizeof format, "%%%s*%s%s", s->flags, precision,
             real ? "f" : s->kind == 'x' ? PRIx64 : s->kind == 'X' ? PRIX64 : PRId64);
    int width = s->width > 0 ? s->width : 0, size;
    size = real ? snprintf(text, sizeof text, format, width, value_double(v))
                : snprintf(text, sizeof text, format, width, n);
    if (size < 0 || (size_t)size >= sizeof text)
        RAISE(UNSUPPORTED, "a formatted number of more than %zu characters", sizeof text);
    TRY(render_add(r, t, text, (size_t)size));
done:
    return st;
}

/* After "%": the specification; *used its bytes. A name in parentheses is left to the caller. */
static Status read_spec(const char *s, size_t size, Spec *out, size_t *used)
{
    Status st = OK;
    size_t i = 0, n = 0;
    *out = (Spec){.width = -1, .precision = -1};
    while (i < size && s[i] && strchr("-+ 0#", s[i]) && n < 5) {
        if (!strchr(out->flags, s[i])) out->flags[n++] = s[i];
        i++;
    }
    size_t d = digits(s + i, size - i, &out->width);
    if (!d) out->width = -1;
    i += d;
    if (i < size && s[i] == '.') i += 1 + digits(s + i + 1, size - i - 1, &out->precision);
    if (i == size) RAISE(FORMAT, "incomplete format");
    out->kind = s[i];
    if (!strchr("srdiufxX%", out->kind) || !out->kind)
        RAISE(UNSUPPORTED, "the format %%%c is not there; there is s, r, d, i, u, f, x, X and %%%%", out->kind);
    if (out->width > 400 || out->precision > 100)
        RAISE(UNSUPPORTED, "a format wider than 400, or more precise than 100");
    *used = i + 1;
done:
    return st;
}

Status format_percent(Render *r, Value format, Value values, Value *out)
{
    Status st = OK;
    Text t = {0};
    const char *s = format.text;
    size_t next = 0, count = values.kind == VALUE_TUPLE ? values.list->count : 1, used = 1;
    bool named = false;
    for (size_t i = 0; i < format.size; i++) {
        const char *mark = memchr(s + i, '%', format.size - i);
        size_t n = mark ? (size_t)(mark - s) - i : format.size - i;
        TRY(render_add(r, &t, s + i, n));
        i += n;
        if (!mark) break;
        Spec spec;
        Value v = {0};
        i++;
        if (i < format.size && s[i] == '(') {
            const char *close = memchr(s + i, ')', format.size - i);
            const Value *found;
            if (!close) RAISE(FORMAT, "incomplete format key");
            if (values.kind != VALUE_DICT) RAISE(FORMAT, "format requires a mapping");
            TRY(dict_find(r, values.dict, value_string(s + i + 1, (size_t)(close - s) - i - 1), &found));
            if (!found)
                RAISE(FORMAT, "the format's key `%.*s` is not there", (int)(close - s - (ptrdiff_t)i) - 1, s + i + 1);
            v = *found;
            named = true;
            i = (size_t)(close - s) + 1;
        }
        TRY(read_spec(s + i, format.size - i, &spec, &used));
        i += used - 1;
        if (spec.kind == '%') {
            TRY(render_add(r, &t, "%", 1));
            continue;
        }
        if (v.kind == VALUE_ABSENT) {
            if (next >= count) RAISE(FORMAT, "not enough arguments for format string");
            v = values.kind == VALUE_TUPLE ? values.list->items[next] : values;
            next++;
        }
        if (spec.kind == 's' || spec.kind == 'r') TRY(one_string(r, &t, &spec, v));
        else TRY(one_number(r, &t, &spec, v));
    }
    bool spare = values.kind == VALUE_DICT || values.kind == VALUE_LIST || values.kind == VALUE_RANGE ||
                 values.kind == VALUE_UNDEFINED || named;
    if (next < count && !spare) RAISE(FORMAT, "not all arguments converted during string formatting");
    TRY(render_keep(r, &t, out));
done:
    text_free(&t);
    return st;
}

Status filter_format(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value text, values;
    if (c->count && c->keyword_count) RAISE(FORMAT, "can't handle positional and keyword arguments at the same time");
    TRY(value_str(r, c->subject, &text));
    if (c->keyword_count) {
        TRY(value_dict(r, &values));
        for (size_t i = 0; i < c->keyword_count; i++)
            TRY(dict_put(r, values.dict, value_string(c->keywords[i].name, c->keywords[i].size), c->keywords[i].value));
    } else {
        TRY(value_list(r, VALUE_TUPLE, c->count, &values));
        if (c->count) memcpy(values.list->items, c->values, c->count * sizeof(Value));
    }
    TRY(format_percent(r, text, values, out));
done:
    return st;
}

/* The argument that "{…}" means. next: of the empty ones; -1: numbers were used. */
static Status replacement(const Call *c, const char *name, size_t size, int *next, Value *out)
{
    Status st = OK;
    int at = 0;
    size_t n = digits(name, size, &at);
    for (size_t i = 0; i < size; i++)
        if (name[i] == '.' || name[i] == '[' || name[i] == ':' || name[i] == '!' || name[i] == '{')
            RAISE(UNSUPPORTED, "format(): `{%.*s}`; there is {}, {0} and {name}", (int)size, name);
    if (n == size) {
        bool automatic = size == 0;
        if ((automatic && *next < 0) || (!automatic && *next > 0))
            RAISE(FORMAT, "format(): {} and {0} cannot be mixed");
        if (automatic) at = (*next)++;
        else *next = -1;
        if ((size_t)at >= c->count) RAISE(FORMAT, "Replacement index %d out of range for positional args tuple", at);
        *out = c->values[at];
        goto done;
    }
    for (size_t i = 0; i < c->keyword_count; i++)
        if (c->keywords[i].size == size && !memcmp(c->keywords[i].name, name, size)) {
            *out = c->keywords[i].value;
            goto done;
        }
    RAISE(FORMAT, "format(): there is no argument `%.*s`", (int)(size < 80 ? size : 80), name);
done:
    return st;
}

Status text_format(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Text t = {0};
    Value s = c->subject, v;
    int next = 0;
    for (size_t i = 0; i < s.size; i++) {
        char one = s.text[i], two = i + 1 < s.size ? s.text[i + 1] : 0;
        if ((one == '{' || one == '}') && one == two) {
            TRY(render_add(r, &t, &one, 1));
            i++;
        } else if (one == '}') {
            RAISE(FORMAT, "Single '}' encountered in format string");
        } else if (one == '{') {
            const char *name = s.text + i + 1, *close = memchr(name, '}', s.size - i - 1);
            if (!close) RAISE(FORMAT, "expected '}' before end of string");
            TRY(replacement(c, name, (size_t)(close - name), &next, &v));
            TRY(value_write(r, &t, v));
            i = (size_t)(close - s.text);
        } else {
            TRY(render_add(r, &t, &one, 1));
        }
    }
    TRY(render_keep(r, &t, out));
done:
    text_free(&t);
    return st;
}
