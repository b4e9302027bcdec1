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
    AddedTokens added;
    TokenizerConfig config;
    const char **files;
};

/* The token's text as decoding sees it; NULL: none. */
const char *tokenizer_token(const Tokenizer *t, int32_t id, size_t *size);
/* tokenizer_config.json and special_tokens_map.json of a directory into t->config; the list of files. */
Status tokenizer_config_load(const char *dir, Tokenizer *t);
/* Of the ByteLevel pre-tokenizer. */
bool byte_level_adds_space(const void *data);
/* Room for `more` tokens in an encoding. */
Status encoding_reserve(Encoding *e, int64_t more, unsigned flags);
/* Appends all of part; type_id -1 keeps the part's own. */
Status encoding_append(Encoding *e, const Encoding *part, int32_t type_id, unsigned flags);

#endif
