/* What stands after `is`. */
#include <string.h>

#include "trainer/template/builtins.h"
#include "trainer/template/text.h"

#define IS(name, condition)                                          \
    Status test_##name(Render *r, const Call *c, Value *out)         \
    {                                                                \
        (void)r;                                                     \
        Value v = c->subject;                                        \
        *out = value_bool(condition);                                \
        return OK;                                                   \
    }
IS(boolean, v.kind == VALUE_BOOL)
IS(callable, v.kind == VALUE_MACRO || v.kind == VALUE_METHOD || v.kind == VALUE_GLOBAL || v.kind == VALUE_LOOP ||
                 v.kind == VALUE_UNDEFINED)
IS(defined, v.kind != VALUE_UNDEFINED)
IS(false, v.kind == VALUE_BOOL && !v.truth)
IS(float, v.kind == VALUE_REAL)
IS(integer, v.kind == VALUE_INT)
IS(iterable, value_is_iterable(v) || v.kind == VALUE_LOOP)
IS(mapping, v.kind == VALUE_DICT)
IS(none, v.kind == VALUE_NONE)
IS(number, value_is_number(v))
IS(sequence, v.kind == VALUE_STRING || value_is_list(v) || v.kind == VALUE_RANGE || v.kind == VALUE_DICT ||
                 v.kind == VALUE_UNDEFINED)
IS(string, v.kind == VALUE_STRING)
IS(true, v.kind == VALUE_BOOL && v.truth)
IS(undefined, v.kind == VALUE_UNDEFINED)

#define COMPARES(name, op)                                                  \
    Status test_##name(Render *r, const Call *c, Value *out)                \
    {                                                                       \
        *out = value_bool(false);                                           \
        return operator_compare(r, op, c->subject, c->given[0], &out->truth); \
    }
COMPARES(eq, OP_EQ)
COMPARES(ne, OP_NE)
COMPARES(lt, OP_LT)
COMPARES(le, OP_LE)
COMPARES(gt, OP_GT)
COMPARES(ge, OP_GE)
COMPARES(in, OP_IN)

/* Whether there is a filter or a test of this name. */
static Status is_known(Value v, const Builtin *(*find)(const char *, size_t), Value *out)
{
    Status st = OK;
    if (v.kind == VALUE_LIST || v.kind == VALUE_DICT) RAISE(FORMAT, "unhashable type: '%s'", value_type(v));
    *out = value_bool(v.kind == VALUE_STRING && find(v.text, v.size));
done:
    return st;
}

Status test_filter(Render *r, const Call *c, Value *out) { return (void)r, is_known(c->subject, builtin_filter, out); }
Status test_test(Render *r, const Call *c, Value *out) { return (void)r, is_known(c->subject, builtin_test, out); }

static Status rest_is(Render *r, Value v, Value divisor, int64_t rest, Value *out)
{
    Status st = OK;
    Value left;
    bool equal;
    TRY(operator_binary(r, OP_MOD, v, divisor, &left));
    TRY(values_equal(r, left, value_int(rest), &equal));
    *out = value_bool(equal);
done:
    return st;
}

Status test_even(Render *r, const Call *c, Value *out) { return rest_is(r, c->subject, value_int(2), 0, out); }
Status test_odd(Render *r, const Call *c, Value *out) { return rest_is(r, c->subject, value_int(2), 1, out); }
Status test_divisibleby(Render *r, const Call *c, Value *out) { return rest_is(r, c->subject, c->given[0], 0, out); }

static Status cased(Render *r, const Call *c, BuiltinFunction *method, Value *out)
{
    Status st = OK;
    Call text = *c;
    TRY(value_str(r, c->subject, &text.subject));
    TRY(method(r, &text, out));
done:
    return st;
}

Status test_lower(Render *r, const Call *c, Value *out) { return cased(r, c, text_islower, out); }
Status test_upper(Render *r, const Call *c, Value *out) { return cased(r, c, text_isupper, out); }

/* Objects have no identity here: true, false and none are what templates ask for. */
Status test_sameas(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value a = c->subject, b = c->given[0];
    (void)r;
    bool same = a.kind == b.kind && (a.kind == VALUE_NONE || (a.kind == VALUE_BOOL && a.truth == b.truth));
    if (a.kind == b.kind && a.kind != VALUE_NONE && a.kind != VALUE_BOOL)
        RAISE(UNSUPPORTED, "`is sameas` is there for true, false and none; compare with ==");
    *out = value_bool(same);
done:
    return st;
}
