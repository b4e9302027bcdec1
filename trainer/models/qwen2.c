/* Qwen2 and Qwen2.5 (Yang et al. 2024), as transformers' Qwen2ForCausalLM computes them: Llama with biases of q, k and
 * v, and a window of attention in the last layers where it is asked for. */
#include "trainer/models/decoder_config.h"
#include "trainer/models/gguf_names.h"

static const DecoderDefaults defaults = {.vocab_size = 151936, .hidden = 4096, .inner = 22016, .num_layers = 32,
                                         .heads = 32, .kv_heads = 32, .max_positions = 32768,
                                         .act_key = "hidden_act", .act = "silu", .window = 4096};

static Status declare(Model *m, const char *where)
{
    Status st = OK;
    DecoderSpec spec = {.qkv_bias = true};
    TRY(decoder_config_read(m, where, &defaults, &spec));
    TRY(decoder_config_last_windows(m, where, defaults.window, &spec.windows));
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

DECODER_TYPE(qwen2, "Qwen2ForCausalLM");

const ModelGguf gguf_qwen2 = {
    .architecture = "qwen2",
    .tensors = decoder_gguf_tensors,
    .keys = decoder_gguf_keys,
    .fixed = (const GgufFixed[]){{"hidden_act", "\"silu\"", .may_lack = true},
                                 {"use_sliding_window", "false", .may_lack = true},
                                 {.config = NULL}},
    .rotary = true,
};
