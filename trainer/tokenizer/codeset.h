/* Sets of code points as sorted ranges: what the character classes of a regular expression mean. In an arena. */
#ifndef HONE_TOKENIZER_CODESET_H
#define HONE_TOKENIZER_CODESET_H

#include "trainer/base/arena.h"
#include "trainer/tokenizer/unicode.h"

typedef struct CodeSet {
    uint32_t (*ranges)[2]; /* first, end (exclusive); sorted and apart after codeset_tidy */
    size_t count, capacity;
} CodeSet;

/* Adding leaves a set untidy; every other function wants and gives tidy ones. */
Status codeset_add(Arena *arena, CodeSet *set, uint32_t first, uint32_t end);
Status codeset_add_set(Arena *arena, CodeSet *set, const CodeSet *other);
/* Code points whose record has one of the flags; all others when negated. */
Status codeset_add_flags(Arena *arena, CodeSet *set, unsigned flags, bool negated);
/* By the name in \p{name}: a general category (Lu, L, Letter), a script (Han), Any, Space, Word, Digit.
 * STATUS_UNSUPPORTED with a message for others. */
Status codeset_add_property(Arena *arena, CodeSet *set, const char *name, size_t length, bool negated,
                            bool in_brackets);
void codeset_tidy(CodeSet *set);
Status codeset_invert(Arena *arena, CodeSet *set);
Status codeset_intersect(Arena *arena, CodeSet *set, const CodeSet *other);
bool codeset_equal(const CodeSet *a, const CodeSet *b);
bool codeset_has(const CodeSet *set, uint32_t c);

#endif
