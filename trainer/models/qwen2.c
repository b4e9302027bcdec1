/* Qwen2 and Qwen2.5 (Yang et al. 2024), as transformers' Qwen2ForCausalLM computes them: Llama with biases of q, k and
 * v, and a window of attention in the last layers where it is asked for. */
#include "trainer/models/decoder_config.h"

static const DecoderDefaults defaults = {.vocab_size = 151936, .hidden = 4096, .inner = 22016, .num_layers = 32,
                                         .heads = 32, .kv_heads = 32, .max_positions = 32768,
                                         .act_key = "hidden_act", .act = "silu", .window = 4096};

static bool slides(int64_t layer, int64_t from) { return layer >= from; }

static Status declare(Model *m, const char *where)
{
    Status st = OK;
    DecoderSpec spec = {.qkv_bias = true};
    bool use_window;
    int32_t window = 0;
    int64_t full_layers;
    TRY(decoder_config_read(m, where, &defaults, &spec));
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
    {.name = "hidden_act", .type = SETTING_TEXT},
    {.name = "layer_types", .type = SETTING_FIXED},
    {.name = "max_window_layers", .type = SETTING_INT},
    {.name = "sliding_window", .type = SETTING_INT_OR_NULL},
    {.name = "use_sliding_window", .type = SETTING_BOOL},
    {.name = NULL},
};

const ModelType model_qwen2 = {
    .name = "qwen2",
    .architecture = "Qwen2ForCausalLM",
    .bytes = sizeof(DecoderModel),
    .declare = declare,
    .forward = decoder_model_forward,
    .close = decoder_model_close,
    .prefix = "model.",
    .ignored = (const char *const[]){".rotary_emb.inv_freq", NULL},
    .settings = settings,
};
