/* What the config.json files of Llama and its relatives have in common. */
#ifndef HONE_MODELS_DECODER_CONFIG_H
#define HONE_MODELS_DECODER_CONFIG_H

#include "trainer/models/model.h"
#include "trainer/nn/decoder.h"

/* A model's own struct: these two. */
typedef struct DecoderModel {
    Model base;
    Decoder decoder;
} DecoderModel;

/* What a type's config means where a key is missing. */
typedef struct DecoderDefaults {
    int64_t vocab_size, hidden, inner, num_layers, heads;
    int64_t kv_heads; /* 0: as many as heads */
    int64_t head_dim; /* 0: hidden / heads */
    int64_t max_positions;
    const char *act_key, *act; /* the key's name, and its value */
    bool tied;
    bool pads;      /* pad_token_id is 0 where it is missing, else there is none */
    int64_t window; /* of keys that only some types have */
} DecoderDefaults;

/* Fills in the model's sizes and of *out all but biases, norms, windows, soft-capping. */
Status decoder_config_read(Model *m, const char *where, const DecoderDefaults *d, DecoderSpec *out);
/* sliding_window: null is 0; the default where it is missing. */
Status decoder_config_window(Model *m, const char *where, int64_t fallback, int32_t *out);
/* attention_bias: of q, k, v and o. */
Status decoder_config_biases(Model *m, const char *where, DecoderSpec *spec);
/* Windows by layer_types; where that is missing, those of layers for which `slides` says so. In the model's arena. */
Status decoder_config_windows(Model *m, const char *where, int32_t window, bool (*slides)(int64_t layer, int64_t from),
                              int64_t from, const int32_t **out);
/* Qwen's: use_sliding_window, and the layers from max_window_layers on where layer_types is missing. */
Status decoder_config_last_windows(Model *m, const char *where, int64_t fallback, const int32_t **out);
/* Declares the decoder and its head. */
Status decoder_config_declare(Model *m, const char *where, const DecoderDefaults *d, const DecoderSpec *spec);
Tensor *decoder_model_forward(Tape *t, const Model *m, const Batch *batch);
void decoder_model_close(Model *m);

/* rope_parameters, or rope_theta and rope_scaling as files of transformers 4 have them. */
Status rope_config_read(Model *m, const char *where, int64_t head_dim, RopeSpec *out);

/* The rest of a type, whose file has `declare` and `settings`. */
#define DECODER_TYPE(type, class)                                             \
    const ModelType model_##type = {                                          \
        .name = #type,                                                        \
        .architecture = class,                                                \
        .bytes = sizeof(DecoderModel),                                        \
        .declare = declare,                                                   \
        .forward = decoder_model_forward,                                     \
        .close = decoder_model_close,                                         \
        .prefix = "model.",                                                   \
        .ignored = (const char *const[]){".rotary_emb.inv_freq", NULL},       \
        .lora_targets = (const char *const[]){"q_proj", "v_proj", NULL},      \
        .settings = settings,                                                 \
    }

/* Lines of a type's `settings`. */
#define DECODER_SETTINGS                                                \
    {.name = "attention_dropout", .type = SETTING_REAL},                \
    {.name = "head_dim", .type = SETTING_INT_OR_NULL},                  \
    {.name = "hidden_size", .type = SETTING_INT},                       \
    {.name = "initializer_range", .type = SETTING_REAL},                \
    {.name = "intermediate_size", .type = SETTING_INT},                 \
    {.name = "max_position_embeddings", .type = SETTING_INT},           \
    {.name = "num_attention_heads", .type = SETTING_INT},               \
    {.name = "num_hidden_layers", .type = SETTING_INT},                 \
    {.name = "num_key_value_heads", .type = SETTING_INT_OR_NULL},       \
    {.name = "rms_norm_eps", .type = SETTING_REAL},                     \
    {.name = "rope_parameters", .type = SETTING_FIXED},                 \
    {.name = "rope_scaling", .type = SETTING_FIXED},                    \
    {.name = "rope_theta", .type = SETTING_REAL},                       \
    {.name = "use_cache", .type = SETTING_BOOL},                        \
    {.name = "vocab_size", .type = SETTING_INT}

#endif
