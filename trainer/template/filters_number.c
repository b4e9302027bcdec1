/* Filters that make numbers. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/template/builtins.h"
#include "trainer/template/text.h"

Status filter_abs(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value v = c->subject;
    if (v.kind == VALUE_UNDEFINED) TRY(undefined_error(v.missing));
    if (!value_is_number(v)) RAISE(FORMAT, "bad operand type for abs(): '%s'", value_type(v));
    if (v.kind == VALUE_REAL) *out = value_real(fabs(v.real));
    else if (value_whole(v) < 0) TRY(operator_binary(r, OP_SUB, value_int(0), v, out));
    else *out = value_int(value_whole(v));
done:
    return st;
}

/* The text of a number as C's readers take it: no space around, no underscores between digits; false: it is none. */
static bool plain(Value s, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < s.size; i++) {
        char c = s.text[i];
        bool digit = n && out[n - 1] >= '0' && (out[n - 1] <= '9' || (out[n - 1] | 32) >= 'a');
        if (c == '_' && digit && i + 1 < s.size && s.text[i + 1] != '_') continue;
        if (n + 1 == size || c == '_' || (unsigned char)c <= ' ' || (unsigned char)c >= 0x80) return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return n > 0;
}

static bool read_whole(Value s, int base, int64_t *out)
{
    char text[128], *end;
    if (!plain(s, text, sizeof text)) return false;
    const char *digits = text + (*text == '-' || *text == '+');
    if (*digits == '-' || *digits == '+') return false;
    bool prefixed =
        digits[0] == '0' && ((base == 16 && (digits[1] | 32) == 'x') || (base == 2 && (digits[1] | 32) == 'b') ||
                             (base == 8 && (digits[1] | 32) == 'o'));
    if (prefixed) memmove((char *)digits, digits + 2, strlen(digits + 2) + 1);
    if (*digits == '-' || *digits == '+' || (base == 16 && (digits[1] | 32) == 'x')) return false;
    errno = 0;
    *out = strtoll(text, &end, base);
    return !errno && *digits && !*end;
}

static bool read_real(Value s, double *out)
{
    char text[512], *end;
    if (!plain(s, text, sizeof text)) return false;
    if (strpbrk(text, "xXpP(")) return false; /* C's, not Python's */
    *out = strtod(text, &end);
    return !*end;
}

Status filter_int(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value v = c->subject, fallback = c->given[0].kind == VALUE_ABSENT ? value_int(0) : c->given[0];
    int64_t n, base;
    double x = 0;
    TRY(argument_whole(c->given[1], "int(base)", 10, &base));
    if (base != 10 && base != 2 && base != 8 && base != 16)
        RAISE(UNSUPPORTED, "int(base) is there for 2, 8, 10 and 16");
    if (v.kind == VALUE_UNDEFINED) TRY(undefined_error(v.missing));
    if (value_is_whole(v)) {
        *out = value_int(value_whole(v));
        goto done;
    }
    bool is_real = v.kind == VALUE_REAL;
    if (is_real) x = v.real;
    if (v.kind == VALUE_STRING) {
        TRY(text_strip_value(r, v, value_none(), STRIP_LEFT | STRIP_RIGHT, &v));
        if (read_whole(v, (int)base, &n)) {
            *out = value_int(n);
            goto done;
        }
        is_real = read_real(v, &x);
    }
    if (is_real && isfinite(x) && fabs(x) >= 0x1p63) RAISE(UNSUPPORTED, "an integer does not fit into 64 bits");
    if (is_real && isinf(x) && v.kind == VALUE_REAL) RAISE(FORMAT, "cannot convert float infinity to integer");
    *out = is_real && isfinite(x) ? value_int((int64_t)x) : fallback;
done:
    return st;
}

Status filter_float(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value v = c->subject;
    double x;
    if (v.kind == VALUE_UNDEFINED) TRY(undefined_error(v.missing));
    *out = c->given[0].kind == VALUE_ABSENT ? value_real(0) : c->given[0];
    if (value_is_number(v)) {
        *out = value_real(value_double(v));
    } else if (v.kind == VALUE_STRING) {
        TRY(text_strip_value(r, v, value_none(), STRIP_LEFT | STRIP_RIGHT, &v));
        if (read_real(v, &x)) *out = value_real(x);
    }
done:
    return st;
}

/* Python's round(x, n): to the nearest, halves to even, of the exact value. */
static double rounded(double x, int precision)
{
    char text[512];
    if (!isfinite(x) || precision > 17) return x;
    if (precision >= 0) {
        snprintf(text, sizeof text, "%.*f", precision, x);
        return strtod(text, NULL);
    }
    double unit = pow(10, -precision);
    return nearbyint(x / unit) * unit;
}

Status filter_round(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value v = c->subject, method = c->given[1];
    int64_t precision;
    TRY(argument_whole(c->given[0], "round(precision)", 0, &precision));
    if (method.kind == VALUE_ABSENT) method = value_string("common", 6);
    bool common = method.kind == VALUE_STRING && method.size == 6 && !memcmp(method.text, "common", 6);
    bool ceiling = method.kind == VALUE_STRING && method.size == 4 && !memcmp(method.text, "ceil", 4);
    bool bottom = method.kind == VALUE_STRING && method.size == 5 && !memcmp(method.text, "floor", 5);
    if (!common && !ceiling && !bottom) RAISE(FORMAT, "method must be common, ceil or floor");
    if (v.kind == VALUE_UNDEFINED) TRY(undefined_error(v.missing));
    if (!value_is_number(v)) RAISE(FORMAT, "type %s doesn't define __round__ method", value_type(v));
    if (precision < -15 || precision > 300) RAISE(UNSUPPORTED, "round(precision) is there from -15 to 300");
    if (common && value_is_whole(v)) {
        if (precision < 0) RAISE(UNSUPPORTED, "round(precision) of an integer is there from 0 on");
        *out = value_int(value_whole(v));
    } else if (common) {
        *out = value_real(rounded(v.real, (int)precision));
    } else {
        double unit = pow(10, (double)precision), x = value_double(v) * unit;
        if (!isfinite(x)) RAISE(FORMAT, "cannot convert float infinity or NaN to integer");
        *out = value_real((ceiling ? ceil(x) : floor(x)) / unit);
        if (out->real == 0) out->real = 0; /* Python goes through an integer: no -0.0 */
    }
    (void)r;
done:
    return st;
}

Status filter_length(Render *r, const Call *c, Value *out)
{
    *out = value_int(0);
    return value_length(r, c->subject, &out->integer);
}
