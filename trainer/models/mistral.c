/* Mistral 7B (Jiang et al. 2023), as transformers' MistralForCausalLM computes it: Llama with a window of attention in
 * every layer. */
#include "trainer/models/decoder_config.h"
#include "trainer/models/gguf_names.h"

static const DecoderDefaults defaults = {.vocab_size = 32000, .hidden = 4096, .inner = 14336, .num_layers = 32,
                                         .heads = 32, .kv_heads = 8, .max_positions = 131072,
                                         .act_key = "hidden_act", .act = "silu", .window = 4096};

static Status declare(Model *m, const char *where)
{
    Status st = OK;
    DecoderSpec spec = {0};
    int32_t window, *windows;
    TRY(decoder_config_read(m, where, &defaults, &spec));
    TRY(decoder_config_window(m, where, defaults.window, &window));
    TRY_NEW(m->arena, windows, m->num_layers);
    for (int64_t i = 0; i < m->num_layers; i++) windows[i] = window;
    spec.windows = windows;
    TRY(decoder_config_declare(m, where, &defaults, &spec));
done:
    return st;
}

static const ModelSetting settings[] = {
    DECODER_SETTINGS,
    {.name = "hidden_act", .type = SETTING_TEXT},
    {.name = "sliding_window", .type = SETTING_INT_OR_NULL},
    {.name = NULL},
};

DECODER_TYPE(mistral, "MistralForCausalLM");

/* llama.cpp takes it for Llama, without a window. */
const ModelGguf gguf_mistral = {
    .architecture = "llama",
    .tensors = llama_gguf_tensors,
    .keys = decoder_gguf_keys,
    .fixed = (const GgufFixed[]){{"hidden_act", "\"silu\"", .may_lack = true}, {.config = NULL}},
    .rotary = true,
    .window = true,
};
