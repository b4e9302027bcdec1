/* What the parser's two files share: regex_parse.c (structure) and regex_class.c (characters). */
#ifndef HONE_TOKENIZER_REGEX_PARSER_H
#define HONE_TOKENIZER_REGEX_PARSER_H

#include "trainer/tokenizer/regex_parse.h"

typedef struct Group {
    size_t start; /* of its "(" in items */
    bool ignore_case, assertion;
} Group;

enum { GROUP_DEPTH = 64, CLASS_DEPTH = 16, NONE = -1 };

typedef struct Parser {
    const char *pattern, *at, *end;
    Arena *arena;
    RegexProgram *out;
    Group groups[GROUP_DEPTH];
    int depth;
    bool ignore_case;
    ptrdiff_t operand; /* start of what a quantifier would repeat, NONE */
    uint32_t literal;  /* the literal just before, 0 */
} Parser;

#define REFUSE(p, ...)                                                                                                 \
    do {                                                                                                               \
        st = status_raise(STATUS_UNSUPPORTED, __VA_ARGS__);                                                            \
        st = status_prefix(st, "regular expression, byte %td", (p)->at - (p)->pattern);                                \
        goto done;                                                                                                     \
    } while (0)

static inline bool regex_letter(uint32_t c) { return (c | 32) - 'a' < 26; }

/* Adds the code points [first, end), and what they match when case is ignored. */
Status regex_add_folded(Parser *p, CodeSet *set, uint32_t first, uint32_t end);
/* After a backslash: adds a class to set (*is_class), or gives a literal in *c. */
Status regex_parse_escape(Parser *p, CodeSet *set, bool in_brackets, bool *is_class, uint32_t *c);
/* After "[": up to and with its "]". The result is tidy. */
Status regex_parse_class(Parser *p, CodeSet *out, int depth);

#endif
