/* The first half of regex_compile: Oniguruma's syntax into PCRE2's, over numbered classes. */
#ifndef HONE_TOKENIZER_REGEX_PARSE_H
#define HONE_TOKENIZER_REGEX_PARSE_H

#include "trainer/tokenizer/codeset.h"

enum { REGEX_ATOM = 256 }; /* an item from here on is atom number item - REGEX_ATOM, below a byte of PCRE2's syntax */

typedef struct RegexProgram {
    int32_t *items;
    size_t count, capacity;
    CodeSet *atoms; /* distinct */
    size_t atom_count, atom_capacity;
} RegexProgram;

/* In arena. */
Status regex_parse(const char *pattern, size_t size, Arena *arena, RegexProgram *out);

#endif
