/* Tokens, names, and what stands between the tags. Recursive descent. */
#include "trainer/template/builtins.h"
#include "trainer/template/parser_internal.h"

#include <string.h>

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

Status parser_unexpected(Parser *p, const char *wanted)
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
    return parser_unexpected(p, wanted);
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

Status parser_tag_end(Parser *p)
{
    if (p->at->type != TOKEN_BLOCK_END) return parser_unexpected(p, "%}");
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
            if (p->at->type != TOKEN_PRINT_END) TRY(parser_unexpected(p, "}}"));
            p->at++;
        } else {
            const Token *name = ++p->at;
            if (name->type != TOKEN_NAME) TRY(parser_unexpected(p, "a tag's name"));
            bool ending = false;
            for (const char *e = ends; e && *e && !ending; e += strcspn(e, "|"), e += *e == '|')
                ending = strcspn(e, "|") == name->size && !memcmp(e, name->text, name->size);
            if (ending) break;
            TRY(parse_statement(p, &n));
            TRY(check_safes(p, NULL));
            TRY(parser_tag_end(p));
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
Status parser_body(Parser *p, const char *end, const Node **out)
{
    Status st = OK;
    parser_skip(p, ":");
    TRY(parser_tag_end(p));
    TRY(statements(p, end, out));
done:
    return st;
}

Status parser_whole_body(Parser *p, const char *end, const Node **out)
{
    Status st = parser_body(p, end, out);
    if (!st) p->at++;
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
