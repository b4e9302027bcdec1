/* Arithmetic as Python's: whole numbers of 64 bits (beyond: refused), floor division, sequences added and repeated. */
#include <math.h>
#include <string.h>

#include "trainer/template/letters.h"
#include "trainer/template/render.h"

static const char *const symbols[] = {"+", "-", "*", "/", "//", "%", "**"};

static Status overflow(void)
{
    return status_raise(STATUS_UNSUPPORTED, "an integer does not fit into 64 bits");
}

static Status whole_power(int64_t base, int64_t exponent, Value *out)
{
    if (exponent < 0) {
        if (!base) return status_raise(STATUS_FORMAT, "0 cannot be raised to a negative power");
        *out = value_real(pow((double)base, (double)exponent));
        return OK;
    }
    int64_t result = 1;
    while (exponent) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) return overflow();
        exponent >>= 1;
        if (exponent && __builtin_mul_overflow(base, base, &base)) return overflow();
    }
    *out = value_int(result);
    return OK;
}

static Status whole(Operator op, int64_t a, int64_t b, Value *out)
{
    Status st = OK;
    int64_t c = 0;
    bool over = false;
    if ((op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD) && !b)
        RAISE(FORMAT, op == OP_DIV ? "division by zero" : "integer division or modulo by zero");
    switch (op) {
    case OP_ADD: over = __builtin_add_overflow(a, b, &c); break;
    case OP_SUB: over = __builtin_sub_overflow(a, b, &c); break;
    case OP_MUL: over = __builtin_mul_overflow(a, b, &c); break;
    case OP_DIV:
        /* beyond 2^53 Python rounds the quotient once: with long double it comes near enough to round the same but
         * rarely */
        *out = value_real((double)((long double)a / (long double)b));
        goto done;
    case OP_FLOORDIV: case OP_MOD:
        if (b == -1) { /* INT64_MIN / -1 traps */
            over = op == OP_FLOORDIV && __builtin_sub_overflow((int64_t)0, a, &c);
        } else {
            int64_t quotient = a / b, rest = a % b;
            bool down = rest && (rest < 0) != (b < 0);
            c = op == OP_FLOORDIV ? quotient - down : rest + (down ? b : 0);
        }
        break;
    default: TRY(whole_power(a, b, out)); goto done;
    }
    if (over) TRY(overflow());
    *out = value_int(c);
done:
    return st;
}

static Status real(Operator op, double a, double b, Value *out)
{
    Status st = OK;
    double c = 0, rest;
    if ((op == OP_DIV || op == OP_FLOORDIV || op == OP_MOD) && b == 0)
        RAISE(FORMAT, op == OP_DIV   ? "float division by zero"
                      : op == OP_MOD ? "float modulo"
                                     : "float floor division by zero");
    switch (op) {
    case OP_ADD: c = a + b; break;
    case OP_SUB: c = a - b; break;
    case OP_MUL: c = a * b; break;
    case OP_DIV: c = a / b; break;
    case OP_FLOORDIV: case OP_MOD: /* as CPython's float_divmod */
        rest = fmod(a, b);
        c = (a - rest) / b;
        if (rest && (rest < 0) != (b < 0)) rest += b, c -= 1;
        else if (!rest) rest = copysign(0.0, b);
        if (op == OP_MOD) c = rest;
        else if (c) c = floor(c) + (c - floor(c) > 0.5);
        else c = copysign(0.0, a / b);
        break;
    default:
        if (a < 0 && isfinite(a) && isfinite(b) && b != floor(b))
            RAISE(UNSUPPORTED, "a negative number to a broken power is a complex number");
        if (a == 0 && b < 0) RAISE(FORMAT, "0.0 cannot be raised to a negative power");
        c = pow(a, b);
        if (isinf(c) && isfinite(a) && isfinite(b)) RAISE(FORMAT, "Result too large");
    }
    *out = value_real(c);
done:
    return st;
}

static Status join(Render *r, Value a, Value b, Value *out)
{
    Status st = OK;
    if (a.kind == VALUE_STRING) {
        char *text;
        TRY(render_spend(r, (a.size + b.size) / 64));
        NEW(r, text, a.size + b.size + 1);
        memcpy(text, a.text, a.size);
        memcpy(text + a.size, b.text, b.size);
        *out = value_string(text, a.size + b.size);
    } else {
        TRY(value_list(r, a.kind, a.list->count + b.list->count, out));
        if (a.list->count) memcpy(out->list->items, a.list->items, a.list->count * sizeof(Value));
        if (b.list->count) memcpy(out->list->items + a.list->count, b.list->items, b.list->count * sizeof(Value));
    }
done:
    return st;
}

static Status repeat(Render *r, Value v, int64_t times, Value *out)
{
    Status st = OK;
    size_t n = times > 0 ? (size_t)times : 0, unit = v.kind == VALUE_STRING ? v.size : v.list->count;
    if (unit && n > SIZE_MAX / 64 / unit) n = SIZE_MAX / 64 / unit; /* is refused below */
    if (v.kind == VALUE_STRING) {
        char *text;
        NEW(r, text, n * unit + 1);
        size_t done_bytes = unit && n ? unit : 0;
        memcpy(text, v.text, done_bytes);
        while (done_bytes < n * unit) { /* twice as much each time */
            size_t more = done_bytes < n * unit - done_bytes ? done_bytes : n * unit - done_bytes;
            memcpy(text + done_bytes, text, more);
            done_bytes += more;
        }
        *out = value_string(text, n * unit);
        TRY(render_spend(r, n * unit / 64));
    } else {
        TRY(value_list(r, v.kind, n * unit, out));
        for (size_t i = 0; unit && i < n; i++) memcpy(out->list->items + i * unit, v.list->items, unit * sizeof(Value));
    }
done:
    return st;
}

static bool is_sequence(Value v) { return v.kind == VALUE_STRING || value_is_list(v); }

Status operator_binary(Render *r, Operator op, Value a, Value b, Value *out)
{
    Status st = OK;
    if (op == OP_MOD && a.kind == VALUE_STRING) {
        TRY(format_percent(r, a, b, out));
    } else if (a.kind == VALUE_UNDEFINED || b.kind == VALUE_UNDEFINED) {
        TRY(undefined_error(a.kind == VALUE_UNDEFINED ? a.missing : b.missing));
    } else if (value_is_whole(a) && value_is_whole(b)) {
        TRY(whole(op, value_whole(a), value_whole(b), out));
    } else if (value_is_number(a) && value_is_number(b)) {
        TRY(real(op, value_double(a), value_double(b), out));
    } else if (op == OP_ADD && is_sequence(a) && a.kind == b.kind) {
        TRY(join(r, a, b, out));
    } else if (op == OP_MUL && is_sequence(a) && value_is_whole(b)) {
        TRY(repeat(r, a, value_whole(b), out));
    } else if (op == OP_MUL && is_sequence(b) && value_is_whole(a)) {
        TRY(repeat(r, b, value_whole(a), out));
    } else if (op == OP_ADD && (a.kind == VALUE_STRING || value_is_list(a))) {
        RAISE(FORMAT, "can only concatenate %s (not \"%s\") to %s; write `~` or `| string`", value_type(a),
              value_type(b), value_type(a));
    } else {
        RAISE(FORMAT, "unsupported operand type(s) for %s: '%s' and '%s'", symbols[op], value_type(a), value_type(b));
    }
done:
    return st;
}
