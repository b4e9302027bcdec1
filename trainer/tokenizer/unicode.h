/* UTF-8 and the Unicode data that tokenizing needs. The tables are generated from the tokenizers library's behaviour
 * (scripts/reference/unicode_table.py, letter_table.py), so they equal that library's whatever Unicode version PCRE2 or
 * the C library has. Functions on constant data: any thread. */
#ifndef HONE_TOKENIZER_UNICODE_H
#define HONE_TOKENIZER_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UNICODE_END 0x110000u /* one past the last code point */

/* General categories, in the order of their two-letter names. */
#define UNICODE_CATEGORIES(X)                                                                                          \
    X(CN) X(CC) X(CF) X(CO) X(CS) X(LL) X(LM) X(LO) X(LT) X(LU) X(MC) X(ME) X(MN) X(ND) X(NL) X(NO) X(PC) X(PD) X(PE)  \
    X(PF) X(PI) X(PO) X(PS) X(SC) X(SK) X(SM) X(SO) X(ZL) X(ZP) X(ZS)
#define UNICODE_SCRIPTS(X)                                                                                             \
    X(COMMON) X(INHERITED) X(ARABIC) X(ARMENIAN) X(BENGALI) X(BOPOMOFO) X(CYRILLIC) X(DEVANAGARI) X(ETHIOPIC)         \
    X(GEORGIAN) X(GREEK) X(GUJARATI) X(GURMUKHI) X(HAN) X(HANGUL) X(HEBREW) X(HIRAGANA) X(KANNADA) X(KATAKANA) X(KHMER)\
    X(LAO) X(LATIN) X(MALAYALAM) X(MONGOLIAN) X(MYANMAR) X(SINHALA) X(TAMIL) X(TELUGU) X(THAI) X(TIBETAN)

#define UNICODE_AS_CATEGORY(name) UNICODE_##name,
#define UNICODE_AS_SCRIPT(name) SCRIPT_##name,
typedef enum UnicodeCategory { UNICODE_CATEGORIES(UNICODE_AS_CATEGORY) UNICODE_CATEGORY_COUNT } UnicodeCategory;
typedef enum UnicodeScript { SCRIPT_NONE, UNICODE_SCRIPTS(UNICODE_AS_SCRIPT) SCRIPT_COUNT } UnicodeScript;

enum {
    UNICODE_SPACE = 1,             /* \s, \w, \d of Split's and ByteLevel's regex engine */
    UNICODE_WORD = 2,
    UNICODE_DIGIT = 4,
    UNICODE_RUST_SPACE = 8,        /* char::is_whitespace; \s around added tokens */
    UNICODE_RUST_WORD = 16,        /* \w of the Whitespace pre-tokenizer and of single_word */
    UNICODE_RUST_NUMERIC = 32,     /* char::is_numeric: Digits */
    UNICODE_RUST_PUNCTUATION = 64, /* Punctuation */
    UNICODE_CLASS_WORD = 128,      /* \w in brackets: there Oniguruma leaves out Latin-1's superscripts and fractions */
};

typedef struct UnicodeRecord {
    uint8_t category, script, flags;
} UnicodeRecord;

extern const UnicodeRecord unicode_records[];
extern const uint32_t unicode_ranges[]; /* first code point << 11 | record; up to the next range's first */
extern const size_t unicode_range_count;
extern const uint32_t unicode_fold_extra[][2]; /* ASCII letter, non-ASCII code point that (?i:letter) matches */
extern const size_t unicode_fold_extra_count;
extern const uint32_t unicode_canonical[][2], unicode_compatible[][2]; /* code point, place in pool << 5 | length */
extern const size_t unicode_canonical_count, unicode_compatible_count;
extern const uint32_t unicode_pool[];
extern const uint32_t unicode_pairs[][3]; /* first, second, composed */
extern const size_t unicode_pair_count;
extern const uint32_t unicode_combining[][3]; /* first, last, class */
extern const size_t unicode_combining_count;

extern const int32_t unicode_lowers[][4]; /* first, last, step, what is added */
extern const size_t unicode_lower_count;
extern const uint32_t unicode_lower_long[3]; /* the code point that becomes two */
extern const uint32_t unicode_marks[][2];    /* first, last */
extern const size_t unicode_mark_count;
extern const uint32_t unicode_bert_controls[][2], unicode_bert_accents[][2]; /* first, last: what BertNormalizer
                                                                                drops */
extern const size_t unicode_bert_controls_count, unicode_bert_accents_count;

/* The record of a code point below UNICODE_END; a binary search: for rare questions. */
const UnicodeRecord *unicode_find(uint32_t c);

/* Combining class; only the order of classes is meaningful. */
unsigned unicode_combining_class(uint32_t c);
/* The full decomposition of c: code points in *out, borrowed; their number, 0 when c stays itself. Not Hangul. */
unsigned unicode_decompose(uint32_t c, bool compatible, const uint32_t **out);
/* The primary composite of two code points, 0 when there is none. Hangul included. */
uint32_t unicode_compose(uint32_t first, uint32_t second);

/* Lower case as Lowercase makes it: one code point or two, their number. */
unsigned unicode_lower(uint32_t c, uint32_t out[2]);
bool unicode_is_mark(uint32_t c); /* what StripAccents takes away */

/* The offset of the first byte that is not part of valid UTF-8, or size. */
size_t utf8_valid_bytes(const char *text, size_t size);
bool utf8_is_ascii(const char *text, size_t size);
size_t utf8_encode(uint32_t c, char out[4]); /* its bytes */

/* Length of the valid sequence that begins with this byte. */
static inline unsigned utf8_length(unsigned char lead)
{
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/* The code point at s, which must begin valid UTF-8; *length its bytes. */
static inline uint32_t utf8_decode(const char *s, unsigned *length)
{
    const unsigned char *u = (const unsigned char *)s;
    if (u[0] < 0x80) return *length = 1, u[0];
    if (u[0] < 0xE0) return *length = 2, (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu);
    if (u[0] < 0xF0) return *length = 3, (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu);
    return *length = 4, (u[0] & 0x07u) << 18 | (u[1] & 0x3Fu) << 12 | (u[2] & 0x3Fu) << 6 | (u[3] & 0x3Fu);
}

/* The start of the code point that ends before s; s > the text's start. */
static inline const char *utf8_previous(const char *s)
{
    do s--;
    while (((unsigned char)*s & 0xC0) == 0x80);
    return s;
}

#endif
