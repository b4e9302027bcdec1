/* See gguf_names.h: finding a type's names, and the names that Llama and its relatives share. */
#include "trainer/models/gguf_names.h"

#include <stdio.h>
#include <string.h>

#define DECLARE(name) extern const ModelGguf gguf_##name;
GGUF_MODELS(DECLARE)

#define ENTRY(name) {#name, &gguf_##name},
static const struct {
    const char *type;
    const ModelGguf *gguf;
} entries[] = {GGUF_MODELS(ENTRY)};
enum { COUNT = sizeof entries / sizeof *entries };

const ModelGguf *model_gguf(const char *model_type)
{
    for (int i = 0; i < COUNT; i++)
        if (strcmp(entries[i].type, model_type) == 0) return entries[i].gguf;
    return NULL;
}

const ModelGguf *model_gguf_find(const char *architecture, const char *model_type, bool window,
                                 const ModelType **type)
{
    const ModelGguf *found = NULL;
    int best = 0;
    for (int i = 0; i < COUNT; i++) {
        const ModelGguf *g = entries[i].gguf;
        if (strcmp(g->architecture, architecture)) continue;
        int fit = strcmp(entries[i].type, model_type) == 0 ? 3 : window && g->window ? 2 : 1;
        if (fit > best) best = fit, found = g, *type = model_type_find(entries[i].type);
    }
    return found;
}

const char *model_gguf_list(Arena *arena)
{
    const char *list = "";
    for (int i = 0; i < COUNT && list; i++) {
        const char *name = entries[i].gguf->architecture;
        bool listed = false;
        for (int k = 0; k < i; k++) listed |= strcmp(name, entries[k].gguf->architecture) == 0;
        if (!listed) list = arena_printf(arena, "%s%s%s", list, *list ? " " : "", name);
    }
    return list;
}

/* Whether `name` is `pattern`, whose % stands for a number, which is put for the % of `to`. */
static bool rename_by(const char *pattern, const char *to, const char *name, size_t length, char *out, size_t size)
{
    const char *hole = strchr(pattern, '%');
    size_t before = hole ? (size_t)(hole - pattern) : strlen(pattern), digits = 0;
    if (length < before || strncmp(name, pattern, before)) return false;
    if (hole) {
        while (before + digits < length && name[before + digits] >= '0' && name[before + digits] <= '9') digits++;
        if (!digits || strlen(hole + 1) != length - before - digits ||
            strncmp(hole + 1, name + before + digits, length - before - digits))
            return false;
    } else if (length != before) {
        return false;
    }
    const char *to_hole = strchr(to, '%');
    int n = !hole || !to_hole ? snprintf(out, size, "%s%s", to, name + length)
                              : snprintf(out, size, "%.*s%.*s%s%s", (int)(to_hole - to), to, (int)digits,
                                         name + before, to_hole + 1, name + length);
    return n > 0 && (size_t)n < size;
}

bool model_gguf_tensor(const ModelGguf *names, const char *parameter, char *out, size_t size, GgufChange *change)
{
    const char *dot = strrchr(parameter, '.');
    if (!dot) return false;
    for (const GgufTensorName *t = names->tensors; t->model; t++)
        if (rename_by(t->model, t->gguf, parameter, (size_t)(dot - parameter), out, size)) {
            /* a bias is never transposed */
            *change = t->change == GGUF_TRANSPOSED && strcmp(dot, ".weight") ? GGUF_SAME : t->change;
            return true;
        }
    return false;
}

#define DECODER_TENSORS(q_change, k_change)                                                     \
    {"model.embed_tokens", "token_embd", GGUF_SAME},                                            \
    {"model.layers.%.input_layernorm", "blk.%.attn_norm", GGUF_SAME},                           \
    {"model.layers.%.self_attn.q_proj", "blk.%.attn_q", q_change},                              \
    {"model.layers.%.self_attn.k_proj", "blk.%.attn_k", k_change},                              \
    {"model.layers.%.self_attn.v_proj", "blk.%.attn_v", GGUF_SAME},                             \
    {"model.layers.%.self_attn.o_proj", "blk.%.attn_output", GGUF_SAME},                        \
    {"model.layers.%.self_attn.q_norm", "blk.%.attn_q_norm", GGUF_SAME},                        \
    {"model.layers.%.self_attn.k_norm", "blk.%.attn_k_norm", GGUF_SAME},                        \
    {"model.layers.%.post_attention_layernorm", "blk.%.ffn_norm", GGUF_SAME},                   \
    {"model.layers.%.mlp.gate_proj", "blk.%.ffn_gate", GGUF_SAME},                              \
    {"model.layers.%.mlp.up_proj", "blk.%.ffn_up", GGUF_SAME},                                  \
    {"model.layers.%.mlp.down_proj", "blk.%.ffn_down", GGUF_SAME},                              \
    {"model.norm", "output_norm", GGUF_SAME}, {"lm_head", "output", GGUF_SAME}, {.model = NULL}

const GgufTensorName decoder_gguf_tensors[] = {DECODER_TENSORS(GGUF_SAME, GGUF_SAME)};
const GgufTensorName llama_gguf_tensors[] = {DECODER_TENSORS(GGUF_PAIRED_Q, GGUF_PAIRED_KV)};

const GgufKey decoder_gguf_keys[] = {
    {.config = "max_position_embeddings", .gguf = "context_length", .type = GGUF_KEY_INT},
    {.config = "hidden_size", .gguf = "embedding_length", .type = GGUF_KEY_INT},
    {.config = "num_hidden_layers", .gguf = "block_count", .type = GGUF_KEY_INT},
    {.config = "intermediate_size", .gguf = "feed_forward_length", .type = GGUF_KEY_INT},
    {.config = "num_attention_heads", .gguf = "attention.head_count", .type = GGUF_KEY_INT},
    {"num_key_value_heads", "attention.head_count_kv", GGUF_KEY_INT, .optional = true,
     .same_as = "num_attention_heads"},
    {"head_dim", "attention.key_length", GGUF_KEY_INT, .optional = true},
    {.config = "rms_norm_eps", .gguf = "attention.layer_norm_rms_epsilon", .type = GGUF_KEY_REAL},
    {.config = NULL},
};
