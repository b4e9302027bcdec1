/* Tokens to a syntax tree, as jinja2's parser.py makes it. */
#ifndef HONE_TEMPLATE_PARSER_H
#define HONE_TEMPLATE_PARSER_H

#include "trainer/base/arena.h"
#include "trainer/template/node.h"

typedef struct Parsed {
    const Node *body;
    const char **names; /* variables, macros and parameters by number */
    size_t name_count;
    int loop, caller; /* the numbers of these names */
    /* By name: it is set before it is read, in the template's own scope and under no condition: then an input of this
     * name is never seen, not by a loop's or macro's body either that comes before (jinja2's compiler resolves names
     * so). */
    const bool *hidden;
    bool has_generation;
} Parsed;

/* Everything lies in arena. A mistake, or what there is not, is an error "line N: …". */
Status parser_run(const char *text, size_t size, Arena *arena, Parsed *out);

#endif
