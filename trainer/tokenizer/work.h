/* A text on its way through the tokenizer: the current (normalized) text, where its bytes come from, and its pieces.
 *
 * Normalizers and some pre-tokenizers write the text anew; pre-tokenizers split pieces; the model turns each piece
 * without an id into tokens. One Work belongs to one thread and is used again for the next text: buffers grow to what
 * was needed and stay. Texts and positions are below 2^31 bytes. */
#ifndef HONE_TOKENIZER_WORK_H
#define HONE_TOKENIZER_WORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/base/status.h"
#include "trainer/tokenizer/regex.h"
#include "trainer/tokenizer/unicode.h"

typedef struct Piece {
    uint32_t start, end; /* bytes of Work.text; never empty */
    int32_t id;          /* an added token's; -1: for the model */
    uint32_t base;       /* until the pre-tokenizers: the byte of the caller's text where the piece began */
} Piece;

typedef struct Span {
    uint32_t start, end;
} Span;

/* A growing array's memory. */
typedef struct Buffer {
    void *data;
    size_t capacity; /* bytes */
} Buffer;

typedef enum SplitBehavior { /* what becomes of a match */
    SPLIT_REMOVED, SPLIT_ISOLATED, SPLIT_MERGED_WITH_PREVIOUS, SPLIT_MERGED_WITH_NEXT, SPLIT_CONTIGUOUS,
} SplitBehavior;

typedef struct Work {
    const char *text;
    size_t size;
    bool wants_spans; /* offsets are asked for: keep origin, fill spans */
    bool wants_words; /* fill words */
    const Span *origin; /* for each byte of text, the bytes of the caller's text it comes from; NULL: it is that text */
    bool byte_level;  /* each byte of a piece stands for its character in the byte-level alphabet */

    Piece *pieces;
    size_t piece_count;

    int32_t *ids; /* the tokens so far */
    Span *spans;  /* their bytes of text; when wants_spans */
    int32_t *words; /* their pieces; when wants_words */
    size_t token_count;

    RegexScratch *regex;
    void *model; /* the model's own scratch, freed with model_free */
    void (*model_free)(void *);
    uint64_t model_serial; /* whose it is: see model_scratch.h */

    Buffer piece_memory[2], id_memory, span_memory, word_memory, text_memory[2], origin_memory[2], match_memory;
    Buffer scratch;
    int piece_side, text_side; /* which of the two is current */
    size_t new_pieces;
    char *new_text;
    Span *new_origin;
    size_t new_size;
} Work;

Status work_new(Work **out);
void work_free(Work *w); /* NULL is fine */
/* Begins with one piece, the whole (valid UTF-8, borrowed); an empty text has none. */
Status work_begin(Work *w, const char *text, size_t size, bool wants_spans, bool wants_words);

/* Room for `need` bytes; keeps what is there. */
Status buffer_reserve(Buffer *b, size_t need);

/* Splitting: work_split_begin, then for each old piece in order work_keep or some work_cut, then work_split_end.
 * Empty cuts are left out. */
void work_split_begin(Work *w);
Status work_cut(Work *w, size_t start, size_t end, int32_t id);
void work_split_end(Work *w);

/* Splits every piece that has no id by a matcher, which calls work_match for each match of a piece in order. */
typedef struct Matches Matches;
Status work_match(Matches *m, size_t start, size_t end); /* bytes within the piece */
typedef Status Matcher(const void *context, Work *w, const char *piece, size_t size, Matches *m);
Status work_split(Work *w, Matcher *matcher, const void *context, SplitBehavior behavior, bool invert);

/* Writing anew: work_rewrite_begin, then for all of the text in order work_copy or work_write, work_piece_done after
 * each piece, then work_rewrite_end. */
Status work_rewrite_begin(Work *w, size_t expected);
/* Bytes [start, end) of the old text as they are. */
Status work_copy(Work *w, size_t start, size_t end);
/* `size` bytes that come from where byte `from` of the old text comes from. */
Status work_write(Work *w, const char *bytes, size_t size, size_t from);
/* `size` bytes that come from nowhere, at the beginning of a piece. */
Status work_insert(Work *w, const char *bytes, size_t size, const Piece *old);
Status work_piece_done(Work *w, const Piece *old); /* the piece that now ends; it keeps its id */
void work_rewrite_end(Work *w);

/* Where a byte of text comes from. */
Span work_origin(const Work *w, size_t byte);

/* Spells byte_level out: every byte becomes its character. For whoever must see characters. */
Status work_spell_bytes(Work *w);

/* Appends a token of piece number `piece`: bytes of text. */
Status work_token(Work *w, int32_t id, size_t piece, size_t start, size_t end);

#endif
