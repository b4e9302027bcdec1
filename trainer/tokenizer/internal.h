/* The tokenizer inside. */
#ifndef HONE_TOKENIZER_INTERNAL_H
#define HONE_TOKENIZER_INTERNAL_H

#include "trainer/tokenizer/added_tokens.h"
#include "trainer/tokenizer/component.h"
#include "trainer/tokenizer/tokenizer.h"

struct Tokenizer {
    Arena *arena;
    ComponentList normalizers, pre_tokenizers, models, post_processors, decoders;
    const ModelType *model;
    const void *model_data;
    bool needs_origin, trims; /* a pre-tokenizer asks where text comes from; a post-processor mends offsets */
    AddedTokens added;
    TokenizerConfig config;
    const char **files;
};

/* A window of one text's tokens on its way to the post-processors. */
typedef struct Segment {
    Encoding tokens; /* borrowed columns */
    int sequence;    /* 0, 1 */
    bool is_first;   /* the first window: only there does the library set type ids */
} Segment;

/* One text's tokens, and the windows that truncation made of them. */
typedef struct Part {
    Encoding all;
    Buffer spaces;  /* Span for each token: white space its text begins and ends with; when offsets are trimmed */
    Buffer windows; /* Span: first token, end */
    int64_t window_count;
    Buffer offsets; /* of the window shown, trimmed */
} Part;

struct EncodeScratch {
    Work *work;
    Part parts[2];
    int part_count;
    unsigned flags;
    Buffer characters; /* for each byte of the text, the number of its character */
};

/* The token's text as decoding sees it; NULL: none. */
const char *tokenizer_token(const Tokenizer *t, int32_t id, size_t *size);
/* tokenizer_config.json and special_tokens_map.json of a directory into t->config; the list of files. */
Status tokenizer_config_load(const char *dir, Tokenizer *t);
/* Of the ByteLevel pre-tokenizer. */
bool byte_level_adds_space(const void *data);
/* Whether a Metaspace pre-tokenizer must know where a piece comes from. */
bool metaspace_asks_origin(const void *data);

/* Room for `more` tokens in an encoding. */
Status encoding_reserve(Encoding *e, int64_t more, unsigned flags);
/* Appends all of a segment; in windows that are not the first, type_id is its sequence (as in the library). */
Status encoding_append(Encoding *e, const Segment *segment, int32_t type_id, unsigned flags);
/* Appends tokens that belong to no text. */
Status encoding_append_special(Encoding *e, const int32_t *ids, size_t count, int32_t type_id, unsigned flags);

/* Cuts the parts into windows; added: tokens that the post-processor will add. NULL: one window each. */
Status truncate_parts(Part *parts, int count, const Truncation *truncation, int64_t added);
/* How many windows the parts make together. */
int64_t windows_count(const Tokenizer *t, const struct EncodeScratch *s);
/* White space at both ends of a text, in characters, as ByteLevel's and Roberta's trimming counts it. */
Span spaces_around(const char *text, size_t size);

#endif
