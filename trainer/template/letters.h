/* What Python's str knows of code points: spaces, letters, cases. The table is generated
 * (scripts/reference/case_table.py) from the Python that made the fixtures. Functions on constant data: any thread. */
#ifndef HONE_TEMPLATE_LETTERS_H
#define HONE_TEMPLATE_LETTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LETTER_SPACE = 1,
    LETTER_PRINTABLE = 2,
    LETTER_UPPER = 4,
    LETTER_LOWER = 8,
    LETTER_TITLE = 16,
    LETTER_ALPHA = 32,
    LETTER_DECIMAL = 64,
    LETTER_DIGIT = 128,
    LETTER_NUMERIC = 256,
    LETTER_IGNORABLE = 512, /* for where a word ends, in the lower case of the sigma */
    LETTER_CASED = LETTER_UPPER | LETTER_LOWER | LETTER_TITLE,
};

typedef enum LetterCase { CASE_LOWER, CASE_UPPER, CASE_TITLE } LetterCase;

unsigned letter_flags(uint32_t c);
/* One to three code points; their number. */
unsigned letter_to_case(uint32_t c, LetterCase which, uint32_t out[3]);

/* Generated. */
typedef struct LetterShift {
    uint32_t first, last, step;
    int32_t add;
} LetterShift;
typedef struct LetterSpecial {
    uint32_t from, to[3]; /* 0: none */
} LetterSpecial;
extern const uint32_t letter_ranges[][2]; /* first code point, flags; up to the next range's first */
extern const size_t letter_range_count;
extern const LetterShift *const letter_shifts[3]; /* by LetterCase; sorted by first */
extern const size_t letter_shift_counts[3];
extern const LetterSpecial *const letter_specials[3];
extern const size_t letter_special_counts[3];

/* UTF-8. The length of the valid sequence at text, 0 if there is none. */
size_t letter_bytes(const char *text, size_t size);
/* The code point at valid UTF-8; *bytes its length. */
uint32_t letter_decode(const char *text, size_t *bytes);
size_t letter_encode(uint32_t c, char out[4]);
size_t letter_count(const char *text, size_t size); /* code points */
/* The first byte that is not part of valid UTF-8, or size. */
size_t letter_valid(const char *text, size_t size);

#endif
