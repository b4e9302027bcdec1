/* Expressions to values. Errors are given the line of the innermost expression that failed. */
#include <string.h>

#include "trainer/template/builtins.h"
#include "trainer/template/call.h"

static Status name_value(Render *r, const Node *n, Value *out)
{
    Status st = OK;
    const char *name = r->template->names[n->name];
    for (const Scope *s = r->scope; s; s = s->parent) {
        TRY(render_spend(r, s->count / 16));
        for (size_t i = 0; i < s->count; i++)
            if (s->variables[i].name == n->name) {
                *out = s->variables[i].value;
                goto done;
            }
    }
    *out = r->inputs[n->name];
    if (out->kind != VALUE_ABSENT) goto done;
    const Builtin *global = builtin_global(name, strlen(name));
    if (global) {
        *out = (Value){.kind = VALUE_GLOBAL, .global = global};
        goto done;
    }
    if (builtin_is_lacking_global(name, strlen(name)))
        RAISE(UNSUPPORTED, "`%s` is not there; there is dict, namespace, raise_exception, range, strftime_now", name);
    TRY(value_undefined(r, (Value){0}, value_string(name, strlen(name)), out));
done:
    return st;
}

static Status list_value(Render *r, const Node *n, Value *out)
{
    Status st = OK;
    size_t count = 0;
    Value list;
    for (const Node *item = n->list; item; item = item->next) count++;
    TRY(value_list(r, n->kind == NODE_TUPLE ? VALUE_TUPLE : VALUE_LIST, count, &list));
    count = 0;
    for (const Node *item = n->list; item; item = item->next) TRY(evaluate(r, item, &list.list->items[count++]));
    *out = list;
done:
    return st;
}

static Status dict_value(Render *r, const Node *n, Value *out)
{
    Status st = OK;
    Value dict, key, value;
    TRY(value_dict(r, &dict));
    for (const Node *pair = n->list; pair; pair = pair->next) {
        TRY(evaluate(r, pair->a, &key));
        TRY(evaluate(r, pair->b, &value));
        TRY(dict_put(r, dict.dict, key, value));
    }
    *out = dict;
done:
    return st;
}

static Status concat(Render *r, const Node *n, Value *out)
{
    Status st = OK;
    Text t = {0};
    Value part;
    for (const Node *item = n->list; item; item = item->next) {
        TRY(evaluate(r, item, &part));
        TRY(value_write(r, &t, part));
    }
    TRY(render_keep(r, &t, out));
done:
    text_free(&t);
    return st;
}

static Status comparison(Render *r, const Node *n, Value *out)
{
    Status st = OK;
    Value left, right;
    bool holds = true;
    TRY(evaluate(r, n->a, &left));
    for (const Node *operand = n->list; operand && holds; operand = operand->next) {
        TRY(evaluate(r, operand->a, &right));
        TRY(operator_compare(r, operand->op, left, right, &holds));
        left = right;
    }
    *out = value_bool(holds);
done:
    return st;
}

static Status choice(Render *r, const Node *n, Value *out)
{
    Status st = OK;
    Value test, hint;
    TRY(evaluate(r, n->b, &test));
    if (value_truth(test)) {
        TRY(evaluate(r, n->a, out));
    } else if (n->c) {
        TRY(evaluate(r, n->c, out));
    } else {
        TRY(value_printf(r, &hint,
                         "the inline if-expression on line %u evaluated to false and no else section was defined",
                         n->line));
        TRY(value_undefined_hint(r, hint.text, out));
    }
done:
    return st;
}

static Status sign(Render *r, const Node *n, Value *out)
{
    Status st = OK;
    Value v;
    TRY(evaluate(r, n->a, &v));
    if (v.kind == VALUE_UNDEFINED) TRY(undefined_error(v.missing));
    if (!value_is_number(v))
        RAISE(FORMAT, "bad operand type for unary %c: '%s'", n->kind == NODE_MINUS ? '-' : '+', value_type(v));
    if (n->kind == NODE_PLUS) *out = v.kind == VALUE_BOOL ? value_int(v.truth) : v;
    else if (v.kind == VALUE_REAL) *out = value_real(-v.real);
    else TRY(operator_binary(r, OP_SUB, value_int(0), v, out));
done:
    return st;
}

static Status either(Render *r, const Node *n, Value *out)
{
    Status st = OK;
    TRY(evaluate(r, n->a, out));
    if (value_truth(*out) == (n->kind == NODE_AND)) TRY(evaluate(r, n->b, out));
done:
    return st;
}

static Status binary(Render *r, const Node *n, Value *out)
{
    Status st = OK;
    Value a, b;
    TRY(evaluate(r, n->a, &a));
    TRY(evaluate(r, n->b, &b));
    TRY(operator_binary(r, n->op, a, b, out));
done:
    return st;
}

static Status subscript(Render *r, const Node *n, Value *out)
{
    Status st = OK;
    Value a, key[3] = {{0}, {0}, {0}};
    const Node *const parts[3] = {n->b, n->c, n->d};
    TRY(evaluate(r, n->a, &a));
    if (n->kind == NODE_ATTRIBUTE) {
        TRY(value_attribute(r, a, n->constant, out));
        goto done;
    }
    for (int i = 0; i < 3; i++)
        if (parts[i]) TRY(evaluate(r, parts[i], &key[i]));
    if (n->kind == NODE_ITEM) TRY(value_item(r, a, key[0], out));
    else TRY(value_slice(r, a, key[0], key[1], key[2], out));
done:
    return st;
}

static Status any(Render *r, const Node *n, Value *out)
{
    Status st = OK;
    switch (n->kind) {
    case NODE_CONSTANT: *out = n->constant; return OK;
    case NODE_CAPTURED: *out = r->captured; return OK;
    case NODE_NAME: return name_value(r, n, out);
    case NODE_TUPLE: case NODE_LIST: return list_value(r, n, out);
    case NODE_DICT: return dict_value(r, n, out);
    case NODE_ATTRIBUTE: case NODE_ITEM: case NODE_SLICE: return subscript(r, n, out);
    case NODE_CALL: return call_expression(r, n, NULL, out);
    case NODE_FILTER: case NODE_TEST: return call_builtin(r, n, out);
    case NODE_NOT:
        TRY(evaluate(r, n->a, out));
        *out = value_bool(!value_truth(*out));
        break;
    case NODE_MINUS: case NODE_PLUS: return sign(r, n, out);
    case NODE_AND: case NODE_OR: return either(r, n, out);
    case NODE_BINARY: return binary(r, n, out);
    case NODE_CONCAT: return concat(r, n, out);
    case NODE_COMPARE: return comparison(r, n, out);
    case NODE_CHOICE: return choice(r, n, out);
    default: RAISE(BUG, "template: node %d is no expression", (int)n->kind);
    }
done:
    return st;
}

Status evaluate(Render *r, const Node *n, Value *out)
{
    Status st = OK;
    TRY(render_spend(r, 1));
    TRY(render_deeper(r));
    st = any(r, n, out);
    r->depth--;
done:
    if (st && !r->failed_line) r->failed_line = n->line;
    return st;
}
