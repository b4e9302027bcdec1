/* Truth, equality, order, membership, length and iteration, as Python has them. */
#include <string.h>

#include "trainer/template/letters.h"
#include "trainer/template/loop.h"
#include "trainer/template/render.h"

bool value_truth(Value v)
{
    switch (v.kind) {
    case VALUE_ABSENT: case VALUE_UNDEFINED: case VALUE_NONE: return false;
    case VALUE_BOOL: return v.truth;
    case VALUE_INT: return v.integer != 0;
    case VALUE_REAL: return v.real != 0;
    case VALUE_STRING: return v.size > 0;
    case VALUE_LIST: case VALUE_TUPLE: case VALUE_RANGE: case VALUE_VIEW: return v.list->count > 0;
    case VALUE_DICT: return v.dict->count > 0;
    default: return true;
    }
}

static Status lists_equal(Render *r, const List *a, const List *b, bool *out)
{
    Status st = OK;
    *out = a->count == b->count;
    for (size_t i = 0; *out && i < a->count; i++) TRY(values_equal(r, a->items[i], b->items[i], out));
done:
    return st;
}

static Status dicts_equal(Render *r, const Dict *a, const Dict *b, bool *out)
{
    Status st = OK;
    *out = a->count == b->count;
    for (size_t i = 0; *out && i < a->count; i++) {
        const Value *other;
        TRY(dict_find(r, b, a->pairs[i].key, &other));
        *out = other != NULL;
        if (other) TRY(values_equal(r, a->pairs[i].value, *other, out));
    }
done:
    return st;
}

/* An int and a float compare exactly, beyond 2^53 too. */
static int number_order(Value a, Value b)
{
    if (value_is_whole(a) && value_is_whole(b)) {
        int64_t x = value_whole(a), y = value_whole(b);
        return x < y ? -1 : x > y;
    }
    long double x = a.kind == VALUE_REAL ? (long double)a.real : (long double)value_whole(a);
    long double y = b.kind == VALUE_REAL ? (long double)b.real : (long double)value_whole(b);
    return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2; /* 2: NaN */
}

Status values_equal(Render *r, Value a, Value b, bool *out)
{
    Status st = OK;
    TRY(render_spend(r, 1));
    TRY(render_deeper(r));
    if (value_is_number(a) && value_is_number(b)) *out = number_order(a, b) == 0;
    else if (a.kind != b.kind) *out = false;
    else if (a.kind == VALUE_NONE || a.kind == VALUE_UNDEFINED) *out = true;
    else if (a.kind == VALUE_STRING) {
        *out = a.size == b.size && !memcmp(a.text, b.text, a.size);
        TRY(render_spend(r, a.size == b.size ? a.size / 64 : 0));
    }
    else if (a.kind == VALUE_LIST || a.kind == VALUE_TUPLE || a.kind == VALUE_RANGE)
        TRY(lists_equal(r, a.list, b.list, out));
    else if (a.kind == VALUE_DICT) TRY(dicts_equal(r, a.dict, b.dict, out));
    else if (a.kind == VALUE_VIEW)
        RAISE(UNSUPPORTED, "comparing %s is not there; compare with `| list`", value_type(a));
    else *out = a.list == b.list; /* the same object */
    r->depth--;
done:
    return st;
}

Status value_less(Render *r, const char *operator_text, Value a, Value b, bool *out)
{
    Status st = OK;
    TRY(render_spend(r, 1));
    TRY(render_deeper(r));
    if (value_is_number(a) && value_is_number(b)) {
        *out = number_order(a, b) == -1;
    } else if (a.kind == VALUE_STRING && b.kind == VALUE_STRING) { /* UTF-8: the order of code points */
        size_t n = a.size < b.size ? a.size : b.size;
        int order = memcmp(a.text, b.text, n);
        TRY(render_spend(r, n / 64));
        *out = order < 0 || (order == 0 && a.size < b.size);
    } else if (value_is_list(a) && a.kind == b.kind) {
        size_t i = 0;
        bool equal = true;
        for (; i < a.list->count && i < b.list->count; i++) {
            TRY(values_equal(r, a.list->items[i], b.list->items[i], &equal));
            if (!equal) break;
        }
        *out = a.list->count < b.list->count;
        if (!equal) TRY(value_less(r, operator_text, a.list->items[i], b.list->items[i], out));
    } else if (a.kind == VALUE_UNDEFINED || b.kind == VALUE_UNDEFINED) {
        TRY(undefined_error(a.kind == VALUE_UNDEFINED ? a.missing : b.missing));
    } else {
        RAISE(FORMAT, "'%s' not supported between instances of '%s' and '%s'", operator_text, value_type(a),
              value_type(b));
    }
    r->depth--;
done:
    return st;
}

Status operator_compare(Render *r, Operator op, Value a, Value b, bool *out)
{
    Status st = OK;
    bool equal = false;
    const char *symbol = op == OP_LT ? "<" : op == OP_LE ? "<=" : op == OP_GT ? ">" : ">=";
    switch (op) {
    case OP_EQ: case OP_NE:
        TRY(values_equal(r, a, b, out));
        *out ^= op == OP_NE;
        break;
    case OP_IN: case OP_NOT_IN:
        TRY(value_contains(r, b, a, out));
        *out ^= op == OP_NOT_IN;
        break;
    default:
        if (op == OP_GT || op == OP_GE) TRY(value_less(r, symbol, b, a, out));
        else TRY(value_less(r, symbol, a, b, out));
        if (op == OP_LE || op == OP_GE) TRY(values_equal(r, a, b, &equal));
        *out |= equal;
    }
done:
    return st;
}

Status value_contains(Render *r, Value container, Value item, bool *out)
{
    Status st = OK;
    Value items;
    *out = false;
    if (container.kind == VALUE_STRING) {
        if (item.kind != VALUE_STRING)
            RAISE(FORMAT, "'in <string>' requires string as left operand, not %s", value_type(item));
        TRY(render_spend(r, container.size / 64));
        *out = !item.size || memmem(container.text, container.size, item.text, item.size);
    } else if (container.kind == VALUE_DICT) {
        const Value *found;
        TRY(dict_find(r, container.dict, item, &found));
        *out = found != NULL;
    } else {
        if (!value_is_iterable(container))
            RAISE(FORMAT, "argument of type '%s' is not iterable", value_type(container));
        TRY(value_items(r, container, &items));
        for (size_t i = 0; !*out && i < items.list->count; i++) TRY(values_equal(r, items.list->items[i], item, out));
    }
done:
    return st;
}

Status value_length(Render *r, Value v, int64_t *out)
{
    Status st = OK;
    switch (v.kind) {
    case VALUE_UNDEFINED: *out = 0; break;
    case VALUE_STRING:
        TRY(render_spend(r, v.size / 64));
        *out = (int64_t)letter_count(v.text, v.size);
        break;
    case VALUE_LIST: case VALUE_TUPLE: case VALUE_RANGE: case VALUE_VIEW: *out = (int64_t)v.list->count; break;
    case VALUE_DICT: *out = (int64_t)v.dict->count; break;
    case VALUE_LOOP: TRY(loop_length(r, v.loop, out)); break;
    default: RAISE(FORMAT, "object of type '%s' has no len()", value_type(v));
    }
done:
    return st;
}

bool value_is_iterable(Value v)
{
    return v.kind == VALUE_UNDEFINED || v.kind == VALUE_DICT || (v.kind >= VALUE_STRING && v.kind <= VALUE_ITERATOR);
}

Status value_items(Render *r, Value v, Value *out)
{
    Status st = OK;
    size_t count = 0, n;
    switch (v.kind) {
    case VALUE_LIST: case VALUE_TUPLE: case VALUE_RANGE: case VALUE_VIEW:
        *out = (Value){.kind = VALUE_LIST, .list = v.list};
        break;
    case VALUE_ITERATOR:
        TRY(value_list(r, VALUE_LIST, 0, out));
        out->list->items = v.list->items + v.list->next;
        out->list->count = v.list->count - v.list->next;
        v.list->next = v.list->count;
        break;
    case VALUE_UNDEFINED: TRY(value_list(r, VALUE_LIST, 0, out)); break;
    case VALUE_DICT:
        TRY(value_list(r, VALUE_LIST, v.dict->count, out));
        for (; count < v.dict->count; count++) out->list->items[count] = v.dict->pairs[count].key;
        break;
    case VALUE_STRING:
        TRY(value_list(r, VALUE_LIST, letter_count(v.text, v.size), out));
        for (size_t i = 0; i < v.size; i += n, count++) {
            letter_decode(v.text + i, &n);
            out->list->items[count] = value_string(v.text + i, n);
        }
        break;
    case VALUE_LOOP: RAISE(UNSUPPORTED, "iterating over `loop` itself is not there");
    default: RAISE(FORMAT, "'%s' object is not iterable", value_type(v));
    }
done:
    return st;
}
