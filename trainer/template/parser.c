/* Statements. Recursive descent; what only other uses of Jinja need is refused by name. */
#include "trainer/template/builtins.h"
#include "trainer/template/parser_internal.h"

#include <string.h>

static const char STATEMENTS[] = "break, call, continue, filter, for, generation, if, macro, raw, set, with";

static bool token_is(const Token *t, TokenType type, const char *text)
{
    return t->type == type && t->size == strlen(text) && memcmp(t->text, text, t->size) == 0;
}

bool parser_is(const Parser *p, const char *text) { return token_is(p->at, TOKEN_OPERATOR, text); }
bool parser_is_name(const Parser *p, const char *name) { return token_is(p->at, TOKEN_NAME, name); }

bool parser_skip(Parser *p, const char *text)
{
    bool is = parser_is(p, text);
    p->at += is;
    return is;
}

bool parser_skip_name(Parser *p, const char *name)
{
    bool is = parser_is_name(p, name);
    p->at += is;
    return is;
}

static Status unexpected(Parser *p, const char *wanted)
{
    Status st = OK;
    const Token *t = p->at;
    const char *what = t->type == TOKEN_TEXT ? "text" : t->type == TOKEN_BLOCK_END || t->type == TOKEN_PRINT_END
        ? "the end of the tag" : t->type == TOKEN_END ? "the end of the template" : NULL;
    if (what) PARSE_ERROR(p, FORMAT, "expected %s, found %s", wanted, what);
    PARSE_ERROR(p, FORMAT, "expected %s, found `%.*s`", wanted, (int)(t->size < 80 ? t->size : 80), t->text);
done:
    return st;
}

Status parser_expect(Parser *p, const char *text)
{
    if (parser_skip(p, text)) return OK;
    char wanted[16] = "`";
    strcat(strncat(wanted, text, 8), "`");
    return unexpected(p, wanted);
}

Status parser_node(Parser *p, NodeKind kind, Node **out)
{
    Status st = OK;
    TRY_NEW(p->arena, *out, 1);
    **out = (Node){.kind = kind, .line = p->at->line};
done:
    return st;
}

Status parser_intern(Parser *p, const Token *name, int *out)
{
    Status st = OK;
    uint32_t slot = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < name->size; i++) slot = (slot ^ (unsigned char)name->text[i]) * 16777619u;
    if (!p->slots) TRY_NEW(p->arena, p->slots, SLOTS);
    for (;; slot++) {
        unsigned found = p->slots[slot %= SLOTS];
        if (!found) break;
        const char *known = p->names[found - 1];
        if (strncmp(known, name->text, name->size) || known[name->size]) continue;
        *out = (int)found - 1;
        goto done;
    }
    if (p->name_count == NAMES_MOST) PARSE_ERROR(p, UNSUPPORTED, "more than %d names", NAMES_MOST);
    p->names = arena_grow(p->arena, p->names, &p->name_capacity, p->name_count + 1, sizeof *p->names);
    TRY_MEMORY(p->names);
    *out = (int)p->name_count;
    char *copy = arena_strndup(p->arena, name->text, name->size);
    TRY_MEMORY(copy);
    p->names[p->name_count++] = copy;
    p->slots[slot] = (uint16_t)p->name_count;
done:
    return st;
}

void parser_see(Parser *p, const Node *n, bool set)
{
    if (p->frames) return;
    for (const Node *item = n->list; item && (n->kind == NODE_TUPLE || n->kind == NODE_LIST); item = item->next)
        parser_see(p, item, set);
    if (n->kind != NODE_NAME && n->kind != NODE_MEMBER && n->kind != NODE_MACRO) return;
    if (!p->seen[n->name] && set && n->kind != NODE_MEMBER && !p->conditions) p->hidden[n->name] = true;
    p->seen[n->name] = true;
}

Status parser_enter(Parser *p)
{
    Status st = OK;
    if (p->depth >= PARSE_DEPTH)
        PARSE_ERROR(p, UNSUPPORTED, "more than %d expressions and blocks inside each other", PARSE_DEPTH);
    p->depth++;
done:
    return st;
}

static Status tag_end(Parser *p)
{
    if (p->at->type != TOKEN_BLOCK_END) return unexpected(p, "%}");
    p->at++;
    return OK;
}

static bool is_safe(const Node *n) { return n->kind == NODE_FILTER && !strcmp(n->builtin->name, "safe"); }

/* What `safe` returns is a kind of string of its own, which escapes what is added to it. Where it is printed at once
 * that does not show; elsewhere it is refused. n: what the tag prints, or NULL. */
static Status check_safes(Parser *p, const Node *n)
{
    Status st = OK;
    for (const Node *part = n && n->kind == NODE_CONCAT ? n->list : n; part; part = part->next)
        p->safes -= is_safe(part);
    if (p->safes > 0)
        PARSE_ERROR(p, UNSUPPORTED, "`| safe` is there as the last filter of what is printed; leave it out elsewhere");
done:
    return st;
}

static Status statement(Parser *p, Node **out);

/* Text, prints and statements up to a tag whose name is one of `ends` ("endif|else"); p stands at that name. NULL: up
 * to the template's end. */
static Status statements(Parser *p, const char *ends, const Node **out)
{
    Status st = OK;
    Node *first = NULL, **last = &first;
    TRY(parser_enter(p));
    for (;;) {
        const Token *t = p->at;
        if (t->type == TOKEN_END) {
            if (ends) PARSE_ERROR(p, FORMAT, "the template ends where {%% %s %%} was expected", ends);
            break;
        }
        Node *n = NULL;
        if (t->type == TOKEN_TEXT) {
            TRY(parser_node(p, NODE_TEXT, &n));
            n->constant = value_string(t->text, t->size);
            p->at++;
        } else if (t->type == TOKEN_PRINT_BEGIN) {
            TRY(parser_node(p, NODE_PRINT, &n));
            p->at++;
            Node *printed = NULL;
            TRY(parse_tuple(p, true, false, TUPLE_PLAIN, &printed));
            TRY(check_safes(p, printed));
            n->a = printed;
            if (p->at->type != TOKEN_PRINT_END) TRY(unexpected(p, "}}"));
            p->at++;
        } else {
            const Token *name = ++p->at;
            if (name->type != TOKEN_NAME) TRY(unexpected(p, "a tag's name"));
            bool ending = false;
            for (const char *e = ends; e && *e && !ending; e += strcspn(e, "|"), e += *e == '|')
                ending = strcspn(e, "|") == name->size && !memcmp(e, name->text, name->size);
            if (ending) break;
            TRY(statement(p, &n));
            TRY(check_safes(p, NULL));
            TRY(tag_end(p));
        }
        *last = n;
        last = &n->next;
    }
    *out = first;
done:
    p->depth--;
    return st;
}

/* The end of the tag, the body, the closing tag's name. */
static Status body(Parser *p, const char *end, const Node **out)
{
    Status st = OK;
    parser_skip(p, ":");
    TRY(tag_end(p));
    TRY(statements(p, end, out));
done:
    return st;
}

static Status whole_body(Parser *p, const char *end, const Node **out)
{
    Status st = body(p, end, out);
    if (!st) p->at++;
    return st;
}

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
        TRY(body(p, otherwise ? "endif" : "elif|else|endif", &branch->body));
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
    if (!parser_skip_name(p, "in")) TRY(unexpected(p, "`in`"));
    TRY(parse_tuple(p, false, false, TUPLE_ITERATED, &b));
    p->frames++;
    if (parser_skip_name(p, "if")) TRY(parse_expression(p, &c));
    if (parser_is_name(p, "recursive"))
        PARSE_ERROR(p, UNSUPPORTED, "`recursive` loops are not there; a macro may call itself");
    p->loops++;
    n->a = a, n->b = b, n->c = c;
    TRY(body(p, "endfor|else", &n->body));
    p->loops--;
    if (parser_skip_name(p, "else")) TRY(body(p, "endfor", &n->otherwise));
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
        TRY(whole_body(p, "endset", &n->body));
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
        if (p->at->type != TOKEN_NAME) TRY(unexpected(p, "a parameter's name"));
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
    Status st = whole_body(p, end, &n->body);
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
    if (p->at->type != TOKEN_NAME) TRY(unexpected(p, "the macro's name"));
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
    TRY(whole_body(p, "endfilter", &n->body));
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
    TRY(whole_body(p, "endwith", &n->body));
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
static Status statement(Parser *p, Node **out)
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

Status parser_run(const char *text, size_t size, Arena *arena, Parsed *out)
{
    Status st = OK;
    Parser p = {.arena = arena};
    Token *tokens;
    size_t count;
    TRY_NEW(arena, p.seen, NAMES_MOST);
    TRY_NEW(arena, p.hidden, NAMES_MOST);
    TRY(lexer_run(text, size, arena, &tokens, &count));
    p.at = tokens;
    TRY(parser_intern(&p, &(Token){.text = "loop", .size = 4}, &out->loop));
    TRY(parser_intern(&p, &(Token){.text = "caller", .size = 6}, &out->caller));
    TRY(statements(&p, NULL, &out->body));
    out->names = p.names;
    out->hidden = p.hidden;
    out->name_count = p.name_count;
    out->has_generation = p.has_generation;
done:
    return st;
}
