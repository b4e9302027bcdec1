/* What the parser's files share: parser.c, parse_statements.c, parse_operators.c and parse_expression.c. */
#ifndef HONE_TEMPLATE_PARSER_INTERNAL_H
#define HONE_TEMPLATE_PARSER_INTERNAL_H

#include "trainer/template/lexer.h"
#include "trainer/template/parser.h"

typedef struct Parser {
    Arena *arena;
    const Token *at; /* the current token; the last is TOKEN_END */
    const char **names;
    size_t name_count, name_capacity;
    uint16_t *slots; /* a hash table of names: number + 1, 0: empty */
    int depth;   /* of expressions and blocks inside each other */
    int loops;   /* loops that break and continue may leave */
    int for_depth, macros;
    int safes;   /* uses of the filter `safe` that are not known to be printed at once */
    int callers; /* times that `caller` was read so far */
    int frames, conditions; /* bodies with a scope of their own, and branches of {% if %}, that this is in */
    bool *seen, *hidden;    /* names read or set in the template's own scope; Parsed's hidden */
    bool in_target, has_generation;
} Parser;

enum { PARSE_DEPTH = 100, NAMES_MOST = 4096, SLOTS = 4 * NAMES_MOST, ARGUMENTS_MOST = 255 };

/* What a list of expressions may end with besides the tag's end. */
typedef enum TupleEnd { TUPLE_PLAIN, TUPLE_TARGET /* before in */, TUPLE_ITERATED /* before if, recursive */ } TupleEnd;

#define PARSE_ERROR(p, code, ...)                                                                                      \
    do {                                                                                                               \
        status_raise(STATUS_##code, __VA_ARGS__);                                                                      \
        st = status_prefix(STATUS_##code, "line %u", (p)->at->line);                                                   \
        goto done;                                                                                                     \
    } while (0)

bool parser_is(const Parser *p, const char *operator_text); /* the current token is this operator */
bool parser_is_name(const Parser *p, const char *name);
bool parser_skip(Parser *p, const char *operator_text);
bool parser_skip_name(Parser *p, const char *name);
void parser_see(Parser *p, const Node *name, bool set); /* a name is read, or set */
Status parser_expect(Parser *p, const char *operator_text);
Status parser_node(Parser *p, NodeKind kind, Node **out); /* of the current line */
Status parser_intern(Parser *p, const Token *name, int *out);
Status parser_enter(Parser *p); /* one level deeper; p->depth-- when left */

Status parser_unexpected(Parser *p, const char *wanted); /* the error */
Status parser_tag_end(Parser *p);
/* The end of the tag, then all up to a tag whose name is one of `end` ("endif|else"); p stands at that name, or, where
 * it is the whole body, behind it. */
Status parser_body(Parser *p, const char *end, const Node **out);
Status parser_whole_body(Parser *p, const char *end, const Node **out);

/* p stands at the tag's name; afterwards at the end of its last tag. */
Status parse_statement(Parser *p, Node **out);
Status parse_expression(Parser *p, Node **out);
Status parse_or(Parser *p, Node **out);                       /* no `a if b` */
Status parse_unary(Parser *p, bool with_filter, Node **out);
/* A node with two children, on the line of the first. */
Status parse_two(Parser *p, NodeKind kind, Operator op, Node *a, Node *b, Node **out);
Status parse_tuple(Parser *p, bool with_choice, bool parenthesized, TupleEnd end, Node **out);
Status parse_target(Parser *p, bool with_member, TupleEnd end, Node **out);
Status parse_filters(Parser *p, Node *subject, bool at_name, Node **out); /* at_name: no | before the first */

#endif
