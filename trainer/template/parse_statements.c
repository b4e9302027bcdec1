/* Statements: one function a tag, one line each in a table. What only other uses of Jinja need is refused by name. */
#include "trainer/template/builtins.h"
#include "trainer/template/parser_internal.h"

#include <string.h>

static const char STATEMENTS[] = "break, call, continue, filter, for, generation, if, macro, raw, set, with";

static Status parse_if(Parser *p, Node *n)
{
    Status st = OK;
    const Node **last = &n->list;
    for (bool more = true; more;) {
        Node *branch = NULL, *test = NULL;
        TRY(parser_node(p, NODE_BRANCH, &branch));
        bool otherwise = parser_is_name(p, "else");
        p->at++;
        if (!otherwise) TRY(parse_tuple(p, false, false, TUPLE_PLAIN, &test));
        branch->a = test;
        p->conditions++;
        TRY(parser_body(p, otherwise ? "endif" : "elif|else|endif", &branch->body));
        p->conditions--;
        *last = branch;
        last = (const Node **)&branch->next;
        more = !parser_is_name(p, "endif");
    }
    p->at++;
done:
    return st;
}

static Status parse_for(Parser *p, Node *n)
{
    Status st = OK;
    Node *a = NULL, *b = NULL, *c = NULL;
    p->at++;
    p->for_depth++;
    TRY(parse_target(p, false, TUPLE_TARGET, &a));
    if (!parser_skip_name(p, "in")) TRY(parser_unexpected(p, "`in`"));
    TRY(parse_tuple(p, false, false, TUPLE_ITERATED, &b));
    p->frames++;
    if (parser_skip_name(p, "if")) TRY(parse_expression(p, &c));
    if (parser_is_name(p, "recursive"))
        PARSE_ERROR(p, UNSUPPORTED, "`recursive` loops are not there; a macro may call itself");
    p->loops++;
    n->a = a, n->b = b, n->c = c;
    TRY(parser_body(p, "endfor|else", &n->body));
    p->loops--;
    if (parser_skip_name(p, "else")) TRY(parser_body(p, "endfor", &n->otherwise));
    p->frames--;
    p->at++;
    p->for_depth--;
done:
    return st;
}

static Status parse_set(Parser *p, Node *n)
{
    Status st = OK;
    Node *target = NULL, *value = NULL;
    p->at++;
    TRY(parse_target(p, true, TUPLE_PLAIN, &target));
    n->a = target;
    if (parser_skip(p, "=")) {
        TRY(parse_tuple(p, true, false, TUPLE_PLAIN, &value));
        parser_see(p, target, true);
    } else {
        n->kind = NODE_SET_BLOCK;
        parser_see(p, target, true);
        p->frames++;
        if (parser_is(p, "|")) {
            TRY(parser_node(p, NODE_CAPTURED, &value));
            TRY(parse_filters(p, value, false, &value));
        }
        TRY(parser_whole_body(p, "endset", &n->body));
        p->frames--;
    }
    n->b = value;
done:
    return st;
}

/* "(a, b=1)" */
static Status signature(Parser *p, Node *n)
{
    Status st = OK;
    const Node **last = &n->list;
    bool defaults = false;
    TRY(parser_expect(p, "("));
    while (!parser_is(p, ")")) {
        Node *parameter = NULL, *value = NULL;
        if (n->list) TRY(parser_expect(p, ","));
        if (p->at->type != TOKEN_NAME) TRY(parser_unexpected(p, "a parameter's name"));
        TRY(parser_node(p, NODE_PARAMETER, &parameter));
        TRY(parser_intern(p, p->at++, &parameter->name));
        if (parser_skip(p, "=")) TRY(parse_expression(p, &value));
        if (!value && defaults) PARSE_ERROR(p, FORMAT, "a parameter without a default follows one with a default");
        defaults |= value != NULL;
        parameter->a = value;
        *last = parameter;
        last = (const Node **)&parameter->next;
    }
    p->at++;
done:
    return st;
}

/* The body of what is a function in Jinja: no loop outside can be left from it. */
static Status function_body(Parser *p, const char *end, Node *n)
{
    int loops = p->loops, callers = p->callers;
    p->loops = 0;
    p->macros++;
    p->frames++;
    Status st = parser_whole_body(p, end, &n->body);
    n->uses_caller = p->callers > callers;
    p->macros--;
    p->frames--;
    p->loops = loops;
    return st;
}

static Status parse_macro(Parser *p, Node *n)
{
    Status st = OK;
    p->at++;
    if (p->at->type != TOKEN_NAME) TRY(parser_unexpected(p, "the macro's name"));
    TRY(parser_intern(p, p->at++, &n->name));
    parser_see(p, n, true);
    p->frames++;
    TRY(signature(p, n));
    p->frames--;
    TRY(function_body(p, "endmacro", n));
done:
    return st;
}

static Status parse_call_block(Parser *p, Node *n)
{
    Status st = OK;
    Node *call = NULL;
    p->at++;
    if (parser_is(p, "(")) TRY(signature(p, n));
    TRY(parse_expression(p, &call));
    if (call->kind != NODE_CALL) PARSE_ERROR(p, FORMAT, "{%% call %%} needs a call");
    n->a = call;
    TRY(function_body(p, "endcall", n));
done:
    return st;
}

static Status parse_filter_block(Parser *p, Node *n)
{
    Status st = OK;
    Node *captured = NULL;
    p->at++;
    TRY(parser_node(p, NODE_CAPTURED, &captured));
    p->frames++;
    TRY(parse_filters(p, captured, true, &captured));
    n->b = captured;
    TRY(parser_whole_body(p, "endfilter", &n->body));
    p->frames--;
done:
    return st;
}

static Status parse_with(Parser *p, Node *n)
{
    Status st = OK;
    const Node **last = &n->list;
    p->at++;
    while (p->at->type != TOKEN_BLOCK_END) {
        Node *pair = NULL, *target = NULL, *value = NULL;
        if (n->list) TRY(parser_expect(p, ","));
        TRY(parser_node(p, NODE_PAIR, &pair));
        TRY(parse_target(p, false, TUPLE_PLAIN, &target));
        TRY(parser_expect(p, "="));
        TRY(parse_expression(p, &value));
        pair->a = target, pair->b = value;
        *last = pair;
        last = (const Node **)&pair->next;
    }
    p->frames++;
    TRY(parser_whole_body(p, "endwith", &n->body));
    p->frames--;
done:
    return st;
}

static Status parse_generation(Parser *p, Node *n)
{
    p->at++;
    p->has_generation = true;
    return function_body(p, "endgeneration", n);
}

static Status parse_leave(Parser *p, Node *n)
{
    Status st = OK;
    if (!p->loops)
        PARSE_ERROR(p, FORMAT, "`%s` outside of a loop", n->kind == NODE_BREAK ? "break" : "continue");
    p->at++;
done:
    return st;
}

/* p stands at the tag's name; afterwards at the end of its last tag. */
Status parse_statement(Parser *p, Node **out)
{
    static const struct {
        const char *name;
        NodeKind kind;
        Status (*parse)(Parser *, Node *);
    } all[] = {
        {"if", NODE_IF, parse_if},
        {"for", NODE_FOR, parse_for},
        {"set", NODE_SET, parse_set},
        {"macro", NODE_MACRO, parse_macro},
        {"call", NODE_CALL_BLOCK, parse_call_block},
        {"filter", NODE_FILTER_BLOCK, parse_filter_block},
        {"with", NODE_WITH, parse_with},
        {"generation", NODE_GENERATION, parse_generation},
        {"break", NODE_BREAK, parse_leave},
        {"continue", NODE_CONTINUE, parse_leave},
    };
    static const char *const lacking[] = {"autoescape", "block", "extends", "from", "import",
                                          "include",    "print", "do",      "trans"};
    Status st = OK;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (parser_is_name(p, all[i].name)) {
            TRY(parser_node(p, all[i].kind, out));
            TRY(all[i].parse(p, *out));
            goto done;
        }
    for (size_t i = 0; i < sizeof lacking / sizeof *lacking; i++)
        if (parser_is_name(p, lacking[i]))
            PARSE_ERROR(p, UNSUPPORTED, "{%% %s %%} is not there; there is %s", lacking[i], STATEMENTS);
    PARSE_ERROR(p, FORMAT, "unknown tag `%.*s`; there is %s", (int)(p->at->size < 80 ? p->at->size : 80), p->at->text,
                STATEMENTS);
done:
    return st;
}
