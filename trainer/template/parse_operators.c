/* Operators, from the loosest to the tightest: if, or, and, not, comparisons, + -, ~, * / // %, **. Signs, subscripts,
 * filters and tests, which bind tighter, are in parse_expression.c. As in jinja2's parser.py. */
#include "trainer/template/parser_internal.h"

#include <string.h>


Status parse_two(Parser *p, NodeKind kind, Operator op, Node *a, Node *b, Node **out)
{
    Status st = OK;
    Node *n = NULL;
    TRY(parser_node(p, kind, &n));
    n->op = op;
    n->a = a;
    n->b = b;
    n->line = a->line;
    *out = n;
done:
    return st;
}

Status parse_expression(Parser *p, Node **out)
{
    Status st = OK;
    TRY(parser_enter(p));
    TRY(parse_or(p, out));
    while (parser_skip_name(p, "if")) {
        Node *test = NULL, *otherwise = NULL, *choice = NULL;
        TRY(parse_or(p, &test));
        if (parser_skip_name(p, "else")) TRY(parse_expression(p, &otherwise));
        TRY(parse_two(p, NODE_CHOICE, 0, *out, test, &choice));
        choice->c = otherwise;
        *out = choice;
    }
    p->depth--;
done:
    return st;
}

static Status parse_not(Parser *p, Node **out);

static Status parse_and(Parser *p, Node **out)
{
    Status st = OK;
    TRY(parse_not(p, out));
    while (parser_skip_name(p, "and")) {
        Node *right = NULL;
        TRY(parse_not(p, &right));
        TRY(parse_two(p, NODE_AND, 0, *out, right, out));
    }
done:
    return st;
}

Status parse_or(Parser *p, Node **out)
{
    Status st = OK;
    TRY(parse_and(p, out));
    while (parser_skip_name(p, "or")) {
        Node *right = NULL;
        TRY(parse_and(p, &right));
        TRY(parse_two(p, NODE_OR, 0, *out, right, out));
    }
done:
    return st;
}

/* The operator at p, of those given as "text" pairs; p moves on. */
typedef struct Symbol {
    const char *text;
    Operator op;
} Symbol;

static bool take(Parser *p, const Symbol *symbols, size_t count, Operator *op)
{
    for (size_t i = 0; i < count; i++)
        if (parser_skip(p, symbols[i].text)) {
            *op = symbols[i].op;
            return true;
        }
    return false;
}

static Status parse_power(Parser *p, Node **out)
{
    Status st = OK;
    TRY(parse_unary(p, true, out));
    while (parser_skip(p, "**")) {
        Node *right = NULL;
        TRY(parse_unary(p, true, &right));
        TRY(parse_two(p, NODE_BINARY, OP_POW, *out, right, out));
    }
done:
    return st;
}

static Status parse_product(Parser *p, Node **out)
{
    static const Symbol symbols[] = {{"*", OP_MUL}, {"/", OP_DIV}, {"//", OP_FLOORDIV}, {"%", OP_MOD}};
    Status st = OK;
    Operator op;
    TRY(parse_power(p, out));
    while (take(p, symbols, 4, &op)) {
        Node *right = NULL;
        TRY(parse_power(p, &right));
        TRY(parse_two(p, NODE_BINARY, op, *out, right, out));
    }
done:
    return st;
}

static Status parse_concat(Parser *p, Node **out)
{
    Status st = OK;
    TRY(parse_product(p, out));
    if (!parser_is(p, "~")) goto done;
    Node *n = NULL, *last = *out;
    TRY(parser_node(p, NODE_CONCAT, &n));
    n->list = *out;
    while (parser_skip(p, "~")) {
        Node *right = NULL;
        TRY(parse_product(p, &right));
        last->next = right;
        last = right;
    }
    *out = n;
done:
    return st;
}

static Status parse_sum(Parser *p, Node **out)
{
    static const Symbol symbols[] = {{"+", OP_ADD}, {"-", OP_SUB}};
    Status st = OK;
    Operator op;
    TRY(parse_concat(p, out));
    while (take(p, symbols, 2, &op)) {
        Node *right = NULL;
        TRY(parse_concat(p, &right));
        TRY(parse_two(p, NODE_BINARY, op, *out, right, out));
    }
done:
    return st;
}

static bool take_comparison(Parser *p, Operator *op)
{
    static const Symbol symbols[] = {{"==", OP_EQ}, {"!=", OP_NE}, {"<=", OP_LE},
                                     {">=", OP_GE}, {"<", OP_LT},  {">", OP_GT}};
    if (take(p, symbols, 6, op)) return true;
    if (parser_skip_name(p, "in")) return *op = OP_IN, true;
    if (parser_is_name(p, "not") && p->at[1].type == TOKEN_NAME && p->at[1].size == 2 &&
        !memcmp(p->at[1].text, "in", 2))
        return p->at += 2, *op = OP_NOT_IN, true;
    return false;
}

static Status parse_comparison(Parser *p, Node **out)
{
    Status st = OK;
    Node *n = NULL;
    const Node **last = NULL;
    Operator op;
    TRY(parse_sum(p, out));
    while (take_comparison(p, &op)) {
        Node *operand = NULL, *right = NULL;
        if (!n) {
            TRY(parse_two(p, NODE_COMPARE, 0, *out, NULL, &n));
            last = &n->list;
        }
        TRY(parse_sum(p, &right));
        TRY(parse_two(p, NODE_OPERAND, op, right, NULL, &operand));
        *last = operand;
        last = (const Node **)&operand->next;
    }
    if (n) *out = n;
done:
    return st;
}

static Status parse_not(Parser *p, Node **out)
{
    Status st = OK;
    if (!parser_is_name(p, "not")) return parse_comparison(p, out);
    Node *n = NULL, *inner = NULL;
    TRY(parser_enter(p));
    TRY(parser_node(p, NODE_NOT, &n));
    p->at++;
    TRY(parse_not(p, &inner));
    n->a = inner;
    *out = n;
    p->depth--;
done:
    return st;
}
