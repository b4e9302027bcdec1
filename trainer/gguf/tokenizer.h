/* Between a directory's tokenizer files and the keys tokenizer.* of a GGUF file. */
#ifndef HONE_GGUF_TOKENIZER_H
#define HONE_GGUF_TOKENIZER_H

#include "trainer/base/json.h"
#include "trainer/gguf/gguf.h"
#include "trainer/gguf/write.h"
#include "trainer/models/gguf_names.h"

/* Kinds of tokenizers, in tokenizer.ggml.model. */
#define GGUF_BYTE_LEVEL "gpt2" /* GGUF's name for byte-level BPE, whatever the model */
#define GGUF_SENTENCEPIECE "llama"

/* ---- byte-level BPE: what a name in tokenizer.ggml.pre stands for ---- */
typedef struct GgufPre {
    const char *names; /* separated by spaces */
    /* Of tokenizer.json, as the models that the names come from have them; "null": none. */
    const char *normalizer, *pre_tokenizer, *post_processor, *decoder;
    bool ignore_merges, adds_bos; /* adds_bos: where the file does not say */
} GgufPre;

#define GGUF_PRES "gpt-2, smollm, starcoder, refact, llama-bpe, smaug-bpe, qwen2, deepseek-r1-qwen, tekken, gpt-4o"
const GgufPre *gguf_pre_find(const char *name); /* NULL: unknown */
/* The first name of what a tokenizer.json's parts are equal to (offsets aside); NULL: none. */
const char *gguf_pre_name(Arena *arena, const cJSON *normalizer, const cJSON *pre_tokenizer, bool ignore_merges);

/* ---- SentencePiece: merges that scores imply ---- */
typedef struct GgufMerge {
    uint32_t left, right, token; /* ids */
} GgufMerge;

typedef enum GgufTokenType {
    GGUF_NORMAL = 1, GGUF_UNKNOWN, GGUF_CONTROL, GGUF_USER_DEFINED, GGUF_UNUSED, GGUF_BYTE
} GgufTokenType;

/* Every way to put a token together from two others, best score first, as transformers' generate_merges orders them.
 * texts[i].data NULL: no token. In arena. */
Status gguf_merges_of(Arena *arena, const char *where, const GgufString *texts, const unsigned char *types,
                      const float *scores, size_t count, GgufMerge **out, size_t *merges);

/* ---- files ---- */
/* Writes tokenizer.json, tokenizer_config.json and generation_config.json into dir. pre: instead of the file's; NULL:
 * the file's. rows: of the embedding. A file without a tokenizer gets a warning and generation_config.json only. */
Status gguf_tokenizer_read(const Gguf *g, const ModelGguf *names, const char *pre, int64_t rows, const char *dir);
/* The keys of a directory's tokenizer; config: its config.json. A directory without gets a warning. */
Status gguf_tokenizer_write(const char *dir, const cJSON *config, const char *pre, int64_t rows, Arena *arena,
                            GgufWriter *w);

#endif
