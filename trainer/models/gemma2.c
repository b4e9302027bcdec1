/* Gemma 2 (Gemma Team 2024), as transformers' Gemma2ForCausalLM computes it: four norms a layer that multiply by
 * 1 + weight, a window of attention in every other layer, attention's scores and the logits capped softly, embeddings
 * times sqrt(hidden). */
#include <math.h>

#include "trainer/models/decoder_config.h"

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
