/* Qwen3 (Yang et al. 2025), as transformers' Qwen3ForCausalLM computes it: Llama with a norm of each head of q and k,
 * and a window of attention in the last layers where it is asked for. */
#include "trainer/models/decoder_config.h"
#include "trainer/models/gguf_names.h"

static const DecoderDefaults defaults = {.vocab_size = 151936, .hidden = 4096, .inner = 22016, .num_layers = 32,
                                         .heads = 32, .kv_heads = 32, .head_dim = 128, .max_positions = 32768,
                                         .act_key = "hidden_act", .act = "silu", .window = 4096};

static Status declare(Model *m, const char *where)
{
    Status st = OK;
    DecoderSpec spec = {.head_norms = true};
    TRY(decoder_config_read(m, where, &defaults, &spec));
    TRY(decoder_config_biases(m, where, &spec));
    TRY(decoder_config_last_windows(m, where, defaults.window, &spec.windows));
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

DECODER_TYPE(qwen3, "Qwen3ForCausalLM");

const ModelGguf gguf_qwen3 = {
    .architecture = "qwen3",
    .tensors = decoder_gguf_tensors,
    .keys = decoder_gguf_keys,
    .fixed = (const GgufFixed[]){{"hidden_act", "\"silu\"", .may_lack = true},
                                 {"use_sliding_window", "false", .may_lack = true},
                                 {.config = NULL}},
    .presences = (const GgufPresence[]){{"attention_bias", "blk.0.attn_q.bias"}, {.config = NULL}},
    .rotary = true,
};
