/* Llama (Touvron et al. 2023), as transformers' LlamaForCausalLM computes it; SmolLM and many others have this type. */
#include "trainer/models/decoder_config.h"
#include "trainer/models/gguf_names.h"

static const DecoderDefaults defaults = {.vocab_size = 32000, .hidden = 4096, .inner = 11008, .num_layers = 32,
                                         .heads = 32, .max_positions = 2048, .act_key = "hidden_act", .act = "silu"};

static Status declare(Model *m, const char *where)
{
    Status st = OK;
    DecoderSpec spec = {0};
    TRY(decoder_config_read(m, where, &defaults, &spec));
    TRY(decoder_config_biases(m, where, &spec));
    TRY(json_bool_or(m->config, where, "mlp_bias", false, &spec.mlp_bias));
    TRY(decoder_config_declare(m, where, &defaults, &spec));
done:
    return st;
}

static const ModelSetting settings[] = {
    DECODER_SETTINGS,
    {.name = "attention_bias", .type = SETTING_BOOL},
    {.name = "hidden_act", .type = SETTING_TEXT},
    {.name = "mlp_bias", .type = SETTING_BOOL},
    {.name = "pretraining_tp", .type = SETTING_INT_OR_NULL},
    {.name = NULL},
};

DECODER_TYPE(llama, "LlamaForCausalLM");

const ModelGguf gguf_llama = {
    .architecture = "llama",
    .tensors = llama_gguf_tensors,
    .keys = decoder_gguf_keys,
    .fixed = (const GgufFixed[]){{"hidden_act", "\"silu\"", .may_lack = true}, {.config = NULL}},
    .presences = (const GgufPresence[]){{"attention_bias", "blk.0.attn_q.bias"},
                                        {"mlp_bias", "blk.0.ffn_gate.bias"},
                                        {.config = NULL}},
    .rotary = true,
};
