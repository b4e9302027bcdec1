/* Gemma 2 (Gemma Team 2024), as transformers' Gemma2ForCausalLM computes it: four norms a layer that multiply by
 * 1 + weight, a window of attention in every other layer, attention's scores and the logits capped softly, embeddings
 * times sqrt(hidden). */
#include <math.h>

#include "trainer/models/decoder_config.h"
#include "trainer/models/gguf_names.h"

static const DecoderDefaults defaults = {.vocab_size = 256000, .hidden = 2304, .inner = 9216, .num_layers = 26,
                                         .heads = 8, .kv_heads = 4, .head_dim = 256, .max_positions = 8192,
                                         .act_key = "hidden_activation", .act = "gelu_pytorch_tanh",
                                         .tied = true, .pads = true, .window = 4096};

static bool slides(int64_t layer, int64_t from) { return (void)from, layer % 2 == 0; }

/* null: none; missing: the default. */
static Status read_cap(Model *m, const char *where, const char *key, double fallback, float *out)
{
    Status st = OK;
    double cap;
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(m->config, key);
    *out = 0;
    if (given && cJSON_IsNull(given)) return OK;
    TRY(json_real_or(m->config, where, key, fallback, &cap));
    if (!(cap > 0 && cap < 1e9)) RAISE(FORMAT, "%s: `%s` must be positive, or null for none", where, key);
    *out = (float)cap;
done:
    return st;
}

static Status declare(Model *m, const char *where)
{
    Status st = OK;
    DecoderSpec spec = {.norm_offset = 1, .branch_norms = true};
    bool bidirectional;
    int32_t window;
    double scalar;
    TRY(decoder_config_read(m, where, &defaults, &spec));
    TRY(decoder_config_biases(m, where, &spec));
    TRY(json_real_or(m->config, where, "query_pre_attn_scalar", 256, &scalar));
    if (!(scalar > 0)) RAISE(FORMAT, "%s: query_pre_attn_scalar must be positive", where);
    spec.attention_scale = (float)(1 / sqrt(scalar));
    spec.embedding_scale = (float)sqrt((double)spec.hidden);
    TRY(read_cap(m, where, "attn_logit_softcapping", 50, &spec.attention_softcap));
    TRY(read_cap(m, where, "final_logit_softcapping", 30, &m->logit_softcap));
    TRY(json_bool_or(m->config, where, "use_bidirectional_attention", false, &bidirectional));
    if (bidirectional)
        RAISE(UNSUPPORTED, "%s: use_bidirectional_attention: true is not something hone has; a decoder only", where);
    TRY(decoder_config_window(m, where, defaults.window, &window));
    TRY(decoder_config_windows(m, where, window, slides, 0, &spec.windows));
    TRY(decoder_config_declare(m, where, &defaults, &spec));
done:
    return st;
}

static const ModelSetting settings[] = {
    DECODER_SETTINGS,
    {.name = "attention_bias", .type = SETTING_BOOL},
    {.name = "attn_logit_softcapping", .type = SETTING_REAL},
    {.name = "final_logit_softcapping", .type = SETTING_REAL},
    {.name = "hidden_activation", .type = SETTING_TEXT},
    {.name = "layer_types", .type = SETTING_FIXED},
    {.name = "query_pre_attn_scalar", .type = SETTING_INT},
    {.name = "sliding_window", .type = SETTING_INT_OR_NULL},
    {.name = "use_bidirectional_attention", .type = SETTING_BOOL},
    {.name = NULL},
};

DECODER_TYPE(gemma2, "Gemma2ForCausalLM");

static const GgufTensorName gguf_tensors[] = {
    {"model.embed_tokens", "token_embd", GGUF_SAME},
    {"model.layers.%.input_layernorm", "blk.%.attn_norm", GGUF_PLUS_ONE},
    {"model.layers.%.self_attn.q_proj", "blk.%.attn_q", GGUF_SAME},
    {"model.layers.%.self_attn.k_proj", "blk.%.attn_k", GGUF_SAME},
    {"model.layers.%.self_attn.v_proj", "blk.%.attn_v", GGUF_SAME},
    {"model.layers.%.self_attn.o_proj", "blk.%.attn_output", GGUF_SAME},
    {"model.layers.%.post_attention_layernorm", "blk.%.post_attention_norm", GGUF_PLUS_ONE},
    {"model.layers.%.pre_feedforward_layernorm", "blk.%.ffn_norm", GGUF_PLUS_ONE},
    {"model.layers.%.post_feedforward_layernorm", "blk.%.post_ffw_norm", GGUF_PLUS_ONE},
    {"model.layers.%.mlp.gate_proj", "blk.%.ffn_gate", GGUF_SAME},
    {"model.layers.%.mlp.up_proj", "blk.%.ffn_up", GGUF_SAME},
    {"model.layers.%.mlp.down_proj", "blk.%.ffn_down", GGUF_SAME},
    {"model.norm", "output_norm", GGUF_PLUS_ONE},
    {"lm_head", "output", GGUF_SAME},
    {.model = NULL},
};

static const GgufKey gguf_keys[] = {
    {.config = "max_position_embeddings", .gguf = "context_length", .type = GGUF_KEY_INT},
    {.config = "hidden_size", .gguf = "embedding_length", .type = GGUF_KEY_INT},
    {.config = "num_hidden_layers", .gguf = "block_count", .type = GGUF_KEY_INT},
    {.config = "intermediate_size", .gguf = "feed_forward_length", .type = GGUF_KEY_INT},
    {.config = "num_attention_heads", .gguf = "attention.head_count", .type = GGUF_KEY_INT},
    {.config = "num_key_value_heads", .gguf = "attention.head_count_kv", .type = GGUF_KEY_INT},
    {.config = "head_dim", .gguf = "attention.key_length", .type = GGUF_KEY_INT},
    {.config = "rms_norm_eps", .gguf = "attention.layer_norm_rms_epsilon", .type = GGUF_KEY_REAL},
    {.config = "attn_logit_softcapping", .gguf = "attn_logit_softcapping", .type = GGUF_KEY_REAL},
    {.config = "final_logit_softcapping", .gguf = "final_logit_softcapping", .type = GGUF_KEY_REAL},
    {"query_pre_attn_scalar", "hone.query_pre_attn_scalar", GGUF_KEY_INT, .optional = true},
    {.config = NULL},
};

/* No key of llama.cpp's says by what scores are scaled: it takes the width of a head of the model with 46 layers by the
 * hidden size, and that of the others by the head. */
static Status finish_gguf(cJSON *config, const char *where)
{
    Status st = OK;
    int64_t layers, hidden, heads, head_dim;
    if (cJSON_GetObjectItemCaseSensitive(config, "query_pre_attn_scalar")) return OK;
    TRY(config_positive(config, where, "num_hidden_layers", defaults.num_layers, &layers));
    TRY(config_positive(config, where, "hidden_size", defaults.hidden, &hidden));
    TRY(config_positive(config, where, "num_attention_heads", defaults.heads, &heads));
    TRY(config_positive(config, where, "head_dim", defaults.head_dim, &head_dim));
    cJSON *scalar = json_new_int(layers == 46 ? hidden / heads : head_dim);
    if (!scalar || !cJSON_AddItemToObject(config, "query_pre_attn_scalar", scalar)) RAISE(MEMORY, "out of memory");
done:
    return st;
}

const ModelGguf gguf_gemma2 = {
    .architecture = "gemma2",
    .tensors = gguf_tensors,
    .keys = gguf_keys,
    .fixed = (const GgufFixed[]){{"hidden_activation", "\"gelu_pytorch_tanh\"", .may_lack = true},
                                 {"attention_bias", "false", .may_lack = true},
                                 {.config = NULL}},
    .rotary = true,
    .window = true,
    .alternates = true,
    .spaces_apart = true,
    .finish = finish_gguf,
};
