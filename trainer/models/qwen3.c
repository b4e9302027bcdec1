/* Qwen3 (Yang et al. 2025), as transformers' Qwen3ForCausalLM computes it: Llama with a norm of each head of q and k,
 * and a window of attention in the last layers where it is asked for. */
#include "trainer/models/decoder_config.h"

static const DecoderDefaults defaults = {.vocab_size = 151936, .hidden = 4096, .inner = 22016, .num_layers = 32,
                                         .heads = 32, .kv_heads = 32, .head_dim = 128, .max_positions = 32768,
                                         .act_key = "hidden_act", .act = "silu", .window = 4096};

static bool slides(int64_t layer, int64_t from) { return layer >= from; }

static Status declare(Model *m, const char *where)
{
    Status st = OK;
    DecoderSpec spec = {.head_norms = true};
    bool use_window, bias;
    int32_t window = 0;
    int64_t full_layers;
    TRY(decoder_config_read(m, where, &defaults, &spec));
    TRY(json_bool_or(m->config, where, "attention_bias", false, &bias));
    spec.qkv_bias = spec.o_bias = bias;
    TRY(json_bool_or(m->config, where, "use_sliding_window", false, &use_window));
    if (use_window) TRY(decoder_config_window(m, where, defaults.window, &window));
    TRY(json_int_or(m->config, where, "max_window_layers", 28, &full_layers));
    TRY(decoder_config_windows(m, where, window, slides, full_layers, &spec.windows));
    TRY(decoder_config_declare(m, where, &defaults, &spec));
done:
    return st;
}

static const ModelSetting settings[] = {
    DECODER_SETTINGS,
    {.name = "attention_bias", .type = SETTING_BOOL},
    {.name = "hidden_act", .type = SETTING_TEXT},
    {.name = "layer_types", .type = SETTING_FIXED},
    {.name = "max_window_layers", .type = SETTING_INT},
    {.name = "sliding_window", .type = SETTING_INT_OR_NULL},
    {.name = "use_sliding_window", .type = SETTING_BOOL},
    {.name = NULL},
};

const ModelType model_qwen3 = {
    .name = "qwen3",
    .architecture = "Qwen3ForCausalLM",
    .bytes = sizeof(DecoderModel),
    .declare = declare,
    .forward = decoder_model_forward,
    .close = decoder_model_close,
    .prefix = "model.",
    .ignored = (const char *const[]){".rotary_emb.inv_freq", NULL},
    .settings = settings,
};
