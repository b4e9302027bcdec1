/* Operands: literals, names, signs, subscripts, calls, filters and tests, and lists of expressions. As in jinja2, a
 * filter binds tighter than an operator, and `-x | f` is (-x) | f. */
#include "trainer/template/builtins.h"
#include "trainer/template/parser_internal.h"

#include <string.h>

static Status parse_primary(Parser *p, bool with_member, Node **out);

/* "(a, b, name=c)"; the result in n->list. */
static Status parse_arguments(Parser *p, Node *n)
{
    Status st = OK;
    const Node **last = &n->list;
    bool keywords = false;
    int count = 0;
    TRY(parser_expect(p, "("));
    while (!parser_is(p, ")")) {
        Node *argument = NULL, *value = NULL;
        if (count++ == ARGUMENTS_MOST) PARSE_ERROR(p, UNSUPPORTED, "more than %d arguments", ARGUMENTS_MOST);
        if (n->list) TRY(parser_expect(p, ","));
        if (parser_is(p, ")")) break;
        if (parser_is(p, "*") || parser_is(p, "**"))
            PARSE_ERROR(p, UNSUPPORTED, "`%s` before an argument is not there; write the arguments out", p->at->text);
        if (p->at->type == TOKEN_NAME && p->at[1].type == TOKEN_OPERATOR && p->at[1].size == 1 &&
            *p->at[1].text == '=') {
            TRY(parser_node(p, NODE_KEYWORD, &argument));
            argument->constant = value_string(p->at->text, p->at->size);
            for (const Node *k = n->list; k; k = k->next)
                if (k->kind == NODE_KEYWORD && k->constant.size == p->at->size &&
                    !memcmp(k->constant.text, p->at->text, p->at->size))
                    PARSE_ERROR(p, FORMAT, "the keyword `%.*s` is given twice", (int)p->at->size, p->at->text);
            p->at += 2;
            TRY(parse_expression(p, &value));
            argument->a = value;
            keywords = true;
        } else {
            if (keywords) PARSE_ERROR(p, FORMAT, "an argument without a name follows one with a name");
            TRY(parse_expression(p, &argument));
        }
        *last = argument;
        last = (const Node **)&argument->next;
    }
    p->at++;
done:
    return st;
}

static Status parse_call(Parser *p, Node **node)
{
    Status st = OK;
    Node *n = NULL;
    TRY(parser_node(p, NODE_CALL, &n));
    n->a = *node;
    TRY(parse_arguments(p, n));
    *node = n;
done:
    return st;
}

/* Inside of [ ]: an index or a slice. */
static Status parse_subscript(Parser *p, Node **node)
{
    Status st = OK;
    Node *n = NULL, *part[3] = {NULL, NULL, NULL};
    int colons = 0;
    TRY(parser_node(p, NODE_ITEM, &n));
    p->at++;
    if (parser_is(p, "]")) PARSE_ERROR(p, FORMAT, "nothing between [ and ]");
    for (;;) {
        if (!parser_is(p, ":") && !parser_is(p, "]")) TRY(parse_expression(p, &part[colons]));
        if (colons == 2 || !parser_skip(p, ":")) break;
        colons++;
    }
    if (parser_is(p, ",")) PARSE_ERROR(p, UNSUPPORTED, "[a, b]: only one index is there");
    TRY(parser_expect(p, "]"));
    n->a = *node;
    n->kind = colons ? NODE_SLICE : NODE_ITEM;
    n->b = part[0], n->c = part[1], n->d = part[2];
    *node = n;
done:
    return st;
}

static Status parse_attribute(Parser *p, Node **node)
{
    Status st = OK;
    Node *n = NULL, *key = NULL;
    TRY(parser_node(p, NODE_ATTRIBUTE, &n));
    const Token *name = ++p->at;
    if (name->type == TOKEN_NUMBER && name->number.kind == VALUE_INT) { /* list.0 */
        TRY(parser_node(p, NODE_CONSTANT, &key));
        key->constant = name->number;
        n->kind = NODE_ITEM;
    } else if (name->type != TOKEN_NAME) {
        PARSE_ERROR(p, FORMAT, "expected a name or a number after `.`");
    }
    n->constant = value_string(name->text, name->size);
    n->a = *node;
    n->b = key;
    p->at++;
    *node = n;
done:
    return st;
}

static Status parse_postfix(Parser *p, Node **node)
{
    Status st = OK;
    for (;;) {
        if (parser_is(p, ".")) TRY(parse_attribute(p, node));
        else if (parser_is(p, "[")) TRY(parse_subscript(p, node));
        else if (parser_is(p, "(")) TRY(parse_call(p, node));
        else break;
    }
done:
    return st;
}

/* The filter or test whose name is at p. */
static Status find_builtin(Parser *p, bool test, Node *n)
{
    Status st = OK;
    const Token *name = p->at;
    const char *there;
    if (name->type != TOKEN_NAME) PARSE_ERROR(p, FORMAT, "expected the name of a %s", test ? "test" : "filter");
    n->builtin = (test ? builtin_test : builtin_filter)(name->text, name->size);
    if (!n->builtin) {
        TRY(builtin_names(p->arena, test ? "tests" : "filters", &there));
        PARSE_ERROR(p, UNSUPPORTED, "there is no %s `%.*s`; there is %s", test ? "test" : "filter",
                    (int)(name->size < 80 ? name->size : 80), name->text, there);
    }
    p->at++;
done:
    return st;
}

Status parse_filters(Parser *p, Node *subject, bool at_name, Node **out)
{
    Status st = OK;
    *out = subject;
    while (at_name || parser_skip(p, "|")) {
        Node *n = NULL;
        at_name = false;
        TRY(parser_node(p, NODE_FILTER, &n));
        TRY(find_builtin(p, false, n));
        p->safes += !strcmp(n->builtin->name, "safe");
        if (parser_is(p, "(")) TRY(parse_arguments(p, n));
        n->a = *out;
        *out = n;
    }
done:
    return st;
}

/* After "is". */
static Status parse_test(Parser *p, Node **node)
{
    Status st = OK;
    Node *n = NULL, *argument = NULL;
    TRY(parser_node(p, NODE_TEST, &n));
    bool not = parser_skip_name(p, "not");
    TRY(find_builtin(p, true, n));
    n->a = *node;
    const Token *t = p->at;
    bool begins = (t->type == TOKEN_NAME && !parser_is_name(p, "else") && !parser_is_name(p, "or") &&
                   !parser_is_name(p, "and")) ||
                  t->type == TOKEN_STRING || t->type == TOKEN_NUMBER || parser_is(p, "[") || parser_is(p, "{");
    if (parser_is(p, "(")) {
        TRY(parse_arguments(p, n));
    } else if (begins) {
        if (parser_is_name(p, "is")) PARSE_ERROR(p, FORMAT, "tests cannot be chained with `is`");
        TRY(parse_primary(p, false, &argument));
        TRY(parse_postfix(p, &argument));
        n->list = argument;
    }
    *node = n;
    if (not) {
        TRY(parser_node(p, NODE_NOT, &n));
        n->a = *node;
        *node = n;
    }
done:
    return st;
}

Status parse_unary(Parser *p, bool with_filter, Node **out)
{
    Status st = OK;
    TRY(parser_enter(p));
    if (parser_is(p, "-") || parser_is(p, "+")) {
        Node *n = NULL, *inner = NULL;
        TRY(parser_node(p, parser_is(p, "-") ? NODE_MINUS : NODE_PLUS, &n));
        p->at++;
        TRY(parse_unary(p, false, &inner));
        n->a = inner;
        *out = n;
    } else {
        TRY(parse_primary(p, false, out));
    }
    TRY(parse_postfix(p, out));
    while (with_filter) {
        if (parser_is(p, "|")) TRY(parse_filters(p, *out, false, out));
        else if (parser_skip_name(p, "is")) TRY(parse_test(p, out));
        else if (parser_is(p, "(")) TRY(parse_call(p, out));
        else break;
    }
    p->depth--;
done:
    return st;
}

/* [a, b], {a: b} */
static Status parse_items(Parser *p, bool dict, Node **out)
{
    Status st = OK;
    const char *close = dict ? "}" : "]";
    Node *n = NULL;
    TRY(parser_node(p, dict ? NODE_DICT : NODE_LIST, &n));
    const Node **last = &n->list;
    p->at++;
    while (!parser_is(p, close)) {
        Node *item = NULL, *value = NULL;
        if (n->list) TRY(parser_expect(p, ","));
        if (parser_is(p, close)) break;
        TRY(parse_expression(p, &item));
        if (dict) {
            TRY(parser_expect(p, ":"));
            TRY(parse_expression(p, &value));
            TRY(parse_two(p, NODE_PAIR, 0, item, value, &item));
        }
        *last = item;
        last = (const Node **)&item->next;
    }
    p->at++;
    *out = n;
done:
    return st;
}

static Status parse_name(Parser *p, bool with_member, Node **out)
{
    static const struct {
        const char *name;
        Value value;
    } constants[] = {{"true", {VALUE_BOOL, {true}}},   {"True", {VALUE_BOOL, {true}}},
                     {"false", {VALUE_BOOL, {false}}}, {"False", {VALUE_BOOL, {false}}},
                     {"none", {VALUE_NONE, {false}}},  {"None", {VALUE_NONE, {false}}}};
    Status st = OK;
    Node *n = NULL;
    TRY(parser_node(p, NODE_NAME, &n));
    *out = n;
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
        if (parser_skip_name(p, constants[i].name)) {
            n->kind = NODE_CONSTANT;
            n->constant = constants[i].value;
            goto done;
        }
    if (p->macros && (parser_is_name(p, "varargs") || parser_is_name(p, "kwargs")))
        PARSE_ERROR(p, UNSUPPORTED, "`%.*s` of a macro is not there; name its parameters", (int)p->at->size,
                    p->at->text);
    p->callers += parser_is_name(p, "caller");
    TRY(parser_intern(p, p->at++, &n->name));
    if (with_member && parser_skip(p, ".")) {
        if (p->at->type != TOKEN_NAME) PARSE_ERROR(p, FORMAT, "expected the name of an attribute");
        n->kind = NODE_MEMBER;
        n->constant = value_string(p->at->text, p->at->size);
        p->at++;
    }
    if (!p->in_target || n->kind == NODE_MEMBER) parser_see(p, n, false);
done:
    return st;
}

static Status parse_strings(Parser *p, Node *n)
{
    Status st = OK;
    n->constant = value_string(p->at->text, p->at->size);
    for (p->at++; p->at->type == TOKEN_STRING; p->at++) { /* "a" "b" */
        char *joined = arena_alloc(p->arena, n->constant.size + p->at->size + 1);
        TRY_MEMORY(joined);
        memcpy(joined, n->constant.text, n->constant.size);
        memcpy(joined + n->constant.size, p->at->text, p->at->size);
        n->constant = value_string(joined, n->constant.size + p->at->size);
        if (arena_bytes(p->arena) > (size_t)256 << 20) PARSE_ERROR(p, UNSUPPORTED, "too many strings side by side");
    }
done:
    return st;
}

static Status parse_primary(Parser *p, bool with_member, Node **out)
{
    Status st = OK;
    const Token *t = p->at;
    if (t->type == TOKEN_NAME) return parse_name(p, with_member, out);
    if (parser_is(p, "[")) return parse_items(p, false, out);
    if (parser_is(p, "{")) return parse_items(p, true, out);
    if (parser_skip(p, "(")) {
        TRY(parse_tuple(p, true, true, TUPLE_PLAIN, out));
        TRY(parser_expect(p, ")"));
        goto done;
    }
    TRY(parser_node(p, NODE_CONSTANT, out));
    if (t->type == TOKEN_STRING) {
        TRY(parse_strings(p, *out));
    } else if (t->type == TOKEN_NUMBER) {
        (*out)->constant = t->number;
        p->at++;
    } else if (t->type == TOKEN_OPERATOR) {
        PARSE_ERROR(p, FORMAT, "expected an expression, found `%s`", t->text);
    } else {
        PARSE_ERROR(p, FORMAT, "expected an expression, found the end of the tag");
    }
done:
    return st;
}

static bool tuple_ends(const Parser *p, TupleEnd end)
{
    if (p->at->type == TOKEN_BLOCK_END || p->at->type == TOKEN_PRINT_END || parser_is(p, ")")) return true;
    return (end == TUPLE_TARGET && parser_is_name(p, "in")) ||
           (end == TUPLE_ITERATED && parser_is_name(p, "recursive"));
}

/* Elements by parse_expression, parse_or, or, as targets, parse_primary. */
static Status parse_list(Parser *p, bool targets, bool with_choice, bool with_member, TupleEnd end, bool parenthesized,
                         Node **out)
{
    Status st = OK;
    Node *tuple = NULL;
    bool many = false;
    TRY(parser_enter(p));
    TRY(parser_node(p, NODE_TUPLE, &tuple));
    const Node **last = &tuple->list;
    while (!tuple_ends(p, end)) {
        Node *item = NULL;
        if (targets) TRY(parse_primary(p, with_member, &item));
        else if (with_choice) TRY(parse_expression(p, &item));
        else TRY(parse_or(p, &item));
        *last = item;
        last = (const Node **)&item->next;
        if (!parser_skip(p, ",")) break;
        many = true;
    }
    if (!many && !tuple->list && !parenthesized) PARSE_ERROR(p, FORMAT, "expected an expression");
    *out = many || !tuple->list ? tuple : (Node *)tuple->list;
    p->depth--;
done:
    return st;
}

Status parse_tuple(Parser *p, bool with_choice, bool parenthesized, TupleEnd end, Node **out)
{
    return parse_list(p, false, with_choice, false, end, parenthesized, out);
}

static Status check_target(Parser *p, Node *n, int depth)
{
    Status st = OK;
    if (n->kind == NODE_NAME) {
        if (p->for_depth && !strcmp(p->names[n->name], "loop"))
            PARSE_ERROR(p, FORMAT, "`loop` cannot be set inside of a loop");
    } else if ((n->kind == NODE_TUPLE || n->kind == NODE_LIST) && depth < 16) {
        for (const Node *item = n->list; item; item = item->next) TRY(check_target(p, (Node *)item, depth + 1));
    } else if (n->kind != NODE_MEMBER) {
        PARSE_ERROR(p, FORMAT, "only names and attributes of namespaces can be set");
    }
done:
    return st;
}

Status parse_target(Parser *p, bool with_member, TupleEnd end, Node **out)
{
    Status st = OK;
    p->in_target = true;
    TRY(parse_list(p, true, false, with_member, end, false, out));
    p->in_target = false;
    TRY(check_target(p, *out, 0));
done:
    return st;
}
