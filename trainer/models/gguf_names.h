/* What a model type is called in GGUF files (ggml's docs/gguf.md, and llama.cpp's converter where that is silent): its
 * architecture, keys, tensors, and in which shape and order the tensors lie there. */
#ifndef HONE_MODELS_GGUF_NAMES_H
#define HONE_MODELS_GGUF_NAMES_H

#include "trainer/models/model.h"

/* How a tensor of the file is made from the model's. */
typedef enum GgufChange {
    GGUF_SAME,
    GGUF_TRANSPOSED,  /* [in, out] is [out, in] there */
    GGUF_PAIRED_Q,    /* rows of each of num_attention_heads heads: i and i + half a head are neighbours there */
    GGUF_PAIRED_KV,   /* the same of num_key_value_heads heads */
    GGUF_PLUS_ONE,    /* a norm's weight that is an offset from 1 is the whole there */
} GgufChange;

/* Without .weight and .bias; % is the layer's number. */
typedef struct GgufTensorName {
    const char *model, *gguf;
    GgufChange change;
} GgufTensorName;

typedef enum GgufKeyType { GGUF_KEY_INT, GGUF_KEY_REAL } GgufKeyType;
typedef struct GgufKey {
    const char *config, *gguf; /* gguf: after "architecture." */
    GgufKeyType type;
    bool optional;
    const char *same_as; /* what an absent one of the config is equal to, or `times` that; NULL: nothing */
    int times;           /* 0: once */
} GgufKey;

/* What the architecture means and no key says: the config has this value, or cannot become a GGUF file. */
typedef struct GgufFixed {
    const char *config, *json;
    bool may_lack; /* the type's default when the config lacks the key */
} GgufFixed;

/* A bool of the config that is what `tensor` is there for. */
typedef struct GgufPresence {
    const char *config, *tensor;
} GgufPresence;

typedef struct ModelGguf {
    const char *architecture;
    const GgufTensorName *tensors; /* these lists end with a NULL name, and may be NULL */
    const GgufKey *keys;
    const GgufFixed *fixed;
    const GgufPresence *presences;
    bool rotary;             /* rope.* keys and factors */
    bool window;             /* attention.sliding_window is the config's sliding_window; absent: null */
    bool alternates;         /* the window is that of every other layer */
    bool spaces_apart;       /* SentencePiece: tokens merge in the order of their ids, and none begins with a space that
                                was not there */
    const char *default_pre; /* tokenizer.ggml.pre of files that lack it; NULL: none */
    /* The rest, if any; config: what the keys have given so far. prefix: "architecture". */
    Status (*finish)(cJSON *config, const char *where);
} ModelGguf;

/* The types that GGUF has, sorted: each file has a gguf_TYPE. */
#define GGUF_MODELS(MODEL) MODEL(gemma2) MODEL(gpt2) MODEL(llama) MODEL(mistral) MODEL(qwen2) MODEL(qwen3)

const ModelGguf *model_gguf(const char *model_type); /* of config.json; NULL: GGUF lacks the type */
/* By general.architecture; where several types have that, the one called model_type ("": not known), or else one with
 * windows of attention if the file has them, or else the first. NULL: none. */
const ModelGguf *model_gguf_find(const char *architecture, const char *model_type, bool window,
                                 const ModelType **type);
const char *model_gguf_list(Arena *arena); /* "gemma2 gpt2 llama …"; NULL: no memory */
/* The tensor's name there, into `out`; false: it has none. */
bool model_gguf_tensor(const ModelGguf *names, const char *parameter, char *out, size_t size, GgufChange *change);

/* For Llama and its relatives. */
extern const GgufTensorName decoder_gguf_tensors[]; /* of those that differ in nothing but names */
extern const GgufTensorName llama_gguf_tensors[];   /* with q and k paired */
extern const GgufKey decoder_gguf_keys[];

#endif
