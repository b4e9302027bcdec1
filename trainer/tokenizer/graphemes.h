/* Grapheme clusters (UAX 29, extended), as unicode-segmentation 1.13 cuts them. */
#ifndef HONE_TOKENIZER_GRAPHEMES_H
#define HONE_TOKENIZER_GRAPHEMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum GraphemeClass {
    GRAPHEME_OTHER, GRAPHEME_CR, GRAPHEME_LF, GRAPHEME_CONTROL, GRAPHEME_EXTEND, GRAPHEME_ZWJ, GRAPHEME_SPACING_MARK,
    GRAPHEME_PREPEND, GRAPHEME_L, GRAPHEME_V, GRAPHEME_T, GRAPHEME_LV, GRAPHEME_LVT, GRAPHEME_REGIONAL,
    GRAPHEME_PICTOGRAPH, GRAPHEME_CONSONANT,
} GraphemeClass;

enum { GRAPHEME_LINKER = 32, GRAPHEME_JOINS = 64 }; /* InCB=Linker, InCB=Extend: beside the class */

extern const uint32_t grapheme_ranges[][3]; /* first, last, class and flags; not Hangul syllables */
extern const size_t grapheme_range_count;

/* What the rules must know of the characters before. {0} at a text's start. */
typedef struct GraphemeState {
    GraphemeClass before;
    bool any;            /* there is one */
    bool after_pictograph, joined_pictograph; /* pictograph, extends; and a joiner */
    bool after_consonant, linked;             /* consonant, extends; a linker among them */
    bool odd_regional;   /* an odd number of regional indicators before */
} GraphemeState;

/* Whether a cluster begins at c, which comes next. */
bool grapheme_begins(GraphemeState *s, uint32_t c);

#endif
