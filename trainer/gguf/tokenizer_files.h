/* The small files beside tokenizer.json, and the tokens that play a part. */
#ifndef HONE_GGUF_TOKENIZER_FILES_H
#define HONE_GGUF_TOKENIZER_FILES_H

#include "trainer/gguf/gguf.h"

typedef struct TokenizerIds {
    int64_t bos, eos, unknown, padding, separator, mask, eot, eom; /* -1: none */
    bool adds_bos, adds_eos;
    const char **texts; /* of all tokens; NULL: none of that id */
    size_t count;
} TokenizerIds;

/* adds_bos: what is meant where a byte-level tokenizer's file does not say. */
Status tokenizer_ids_read(const Gguf *g, bool byte_level, bool adds_bos, TokenizerIds *out);
Status tokenizer_ids_check(const Gguf *g, TokenizerIds *ids); /* each has a text, or it is no id */
/* tokenizer_config.json (with the chat template) and generation_config.json. */
Status tokenizer_configs_write(const Gguf *g, const TokenizerIds *ids, const char *dir);

#endif
