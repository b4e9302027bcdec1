/* The tokenizer of a Hugging Face model: tokenizer.json, made into ids, character offsets and text exactly as the
 * tokenizers library (0.23) does it.
 *
 *     Tokenizer *t;
 *     Encoding e = {0};                       // one a thread, used again and again
 *     TRY(tokenizer_load("model/", &t));
 *     TRY(tokenizer_encode(t, text, strlen(text), ENCODE_SPECIAL, &e));
 *     … e.ids[0 .. e.count-1] …
 *     encoding_free(&e);
 *     tokenizer_free(t);
 *
 * A loaded Tokenizer is constant: any number of threads may use it at once, each with its own Encoding (which also
 * holds the thread's cache of words seen). What hone cannot do exactly is refused when loading, by name.
 *
 * "truncation" and "padding" in tokenizer.json are not obeyed: transformers sets both anew at every call from the
 * call's arguments, so for a model directory they mean nothing. */
#ifndef HONE_TOKENIZER_TOKENIZER_H
#define HONE_TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/base/json.h"
#include "trainer/base/status.h"

typedef struct Tokenizer Tokenizer;

/* A model directory (tokenizer.json; tokenizer_config.json and 4.x's special_tokens_map.json where they exist) or a
 * tokenizer.json. */
Status tokenizer_load(const char *path, Tokenizer **out);
/* A tokenizer.json in memory; `name` is for messages. */
Status tokenizer_parse(const char *json, size_t size, const char *name, Tokenizer **out);
void tokenizer_free(Tokenizer *tokenizer); /* NULL is fine */

enum {
    ENCODE_SPECIAL = 1,       /* add what the post-processor adds (add_special_tokens=True, transformers' default) */
    ENCODE_OFFSETS = 2,       /* fill offsets */
    ENCODE_TYPE_IDS = 4,      /* fill type_ids */
    ENCODE_WORD_IDS = 8,      /* fill word_ids */
    ENCODE_SEQUENCE_IDS = 16, /* fill sequence_ids */
};

typedef struct Encoding {
    int32_t *ids;
    int64_t (*offsets)[2]; /* code points of the text: start, end; 0, 0 for what the post-processor added */
    int32_t *type_ids;     /* 0, 1, … as the post-processor says */
    int32_t *word_ids;     /* which of its text's pieces, as the pre-tokenizer cut it; -1: the post-processor's */
    int8_t *sequence_ids;  /* 0, 1: of which text; -1: the post-processor's (special_tokens_mask is 1) */
    int64_t count, capacity;
    int64_t windows; /* 1, and one for each that truncation left over */
    struct EncodeScratch *scratch;
} Encoding;

/* Texts are UTF-8 below 2 GiB. Invalid UTF-8 is an error that gives the offset (the library cannot be given any): who
 * must take it calls text_add_lossy first. out's memory is used again; after an error its count is 0. */
Status tokenizer_encode(const Tokenizer *tokenizer, const char *text, size_t size, unsigned flags, Encoding *out);
/* Two texts as one input; offsets count in each text from 0. */
Status tokenizer_encode_pair(const Tokenizer *tokenizer, const char *first, size_t first_size, const char *second,
                             size_t second_size, unsigned flags, Encoding *out);

typedef enum TruncateStrategy { /* which text gives way; names as transformers has them */
    TRUNCATE_LONGEST_FIRST, TRUNCATE_ONLY_FIRST, TRUNCATE_ONLY_SECOND,
} TruncateStrategy;

typedef struct Truncation {
    int64_t max_length; /* with what the post-processor adds, which must have room: else STATUS_USAGE */
    TruncateStrategy strategy;
    int64_t stride; /* tokens that one window has in common with the next */
    bool left;      /* keep the end of a text */
} Truncation;

typedef struct EncodeInput {
    const char *text, *pair; /* pair NULL: there is none */
    size_t size, pair_size;
    const Truncation *truncation; /* NULL: none */
} EncodeInput;

/* What was cut off is kept as further windows of the same length (return_overflowing_tokens): out holds the first,
 * encoding_window shows another, 0 the first again, until out is used anew. In the library's order. */
Status tokenizer_encode_input(const Tokenizer *tokenizer, const EncodeInput *input, unsigned flags, Encoding *out);
Status encoding_window(const Tokenizer *tokenizer, int64_t window, Encoding *out);
void encoding_free(Encoding *encoding); /* leaves it empty, as {0} */
int64_t tokenizer_added_count(const Tokenizer *tokenizer, bool pair); /* tokens that ENCODE_SPECIAL adds */

/* Appends the text of the ids. skip_special leaves special tokens out. Ids without a token (a vocabulary padded to a
 * round size) give nothing, as in the library. */
Status tokenizer_decode(const Tokenizer *tokenizer, const int32_t *ids, int64_t count, bool skip_special, Text *out);

/* Decoding token by token, for generation: text is appended once it is complete UTF-8 and no longer depends on what
 * follows. */
typedef struct DecodeStream DecodeStream;
Status decode_stream_new(const Tokenizer *tokenizer, bool skip_special, DecodeStream **out); /* borrows the tokenizer */
Status decode_stream_step(DecodeStream *stream, int32_t id, Text *out);
Status decode_stream_end(DecodeStream *stream, Text *out); /* what was held back, U+FFFD for what stayed incomplete */
void decode_stream_free(DecodeStream *stream);             /* NULL is fine */

int32_t tokenizer_vocab_size(const Tokenizer *tokenizer); /* tokens, added ones included (Python's len(tokenizer)) */
int32_t tokenizer_id_limit(const Tokenizer *tokenizer);   /* every id is below; above vocab_size when ids have gaps */
int32_t tokenizer_token_to_id(const Tokenizer *tokenizer, const char *token);    /* -1: none */
const char *tokenizer_id_to_token(const Tokenizer *tokenizer, int32_t id);       /* borrowed; NULL: none */
bool tokenizer_is_special(const Tokenizer *tokenizer, int32_t id);               /* left out by skip_special */

/* What tokenizer_config.json says; ids are -1 where it names no token. */
typedef struct TokenizerConfig {
    int32_t bos_id, eos_id, pad_id, unk_id, cls_id, sep_id, mask_id;
    int64_t model_max_length; /* INT64_MAX when absent or as large as transformers' "none" (1e30) */
    bool pads_left, truncates_left;
} TokenizerConfig;
const TokenizerConfig *tokenizer_config(const Tokenizer *tokenizer);

/* Names of the tokenizer's files that are in the directory it was loaded from (tokenizer.json first), for copying
 * beside a checkpoint. Ends with NULL; borrowed. */
const char *const *tokenizer_files(const Tokenizer *tokenizer);

/* Appends bytes as text: every maximal invalid sequence becomes U+FFFD, as bytes.decode(errors="replace") has it. */
void text_add_lossy(Text *out, const char *bytes, size_t size);

#endif
