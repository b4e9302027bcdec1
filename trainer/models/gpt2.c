/* GPT-2 (Radford et al. 2019, "Language models are unsupervised multitask learners"), as transformers' GPT2LMHeadModel
 * computes it. */
#include <math.h>
#include <stdio.h>

#include "trainer/models/model.h"
#include "trainer/models/gguf_names.h"

typedef struct Block {
    LayerNorm ln_1, ln_2;
    Linear c_attn, attn_c_proj, c_fc, mlp_c_proj;
    Attention attn;
    Activation act;
    float resid_pdrop;
} Block;

typedef struct Gpt2 {
    Model base;
    Embedding wte, wpe;
    Block *h;
    LayerNorm ln_f;
    float embd_pdrop;
} Gpt2;

/* Pre-norm block (2.3). x: residual stream [T, n_embd]. */
static Tensor *block(Tape *t, const void *layer, Tensor *x, const Batch *batch)
{
    const Block *b = layer;
    (void)batch;
    Tensor *h = layer_norm(t, &b->ln_1, x);
    h = linear(t, &b->c_attn, h); /* [T, 3*n_embd]: q, k, v */
    h = attention_packed(t, &b->attn, h);
    h = linear(t, &b->attn_c_proj, h);
    x = dropout_add(t, h, x, b->resid_pdrop);

    h = layer_norm(t, &b->ln_2, x);
    h = linear_act(t, &b->c_fc, h, b->act);
    h = linear(t, &b->mlp_c_proj, h);
    return dropout_add(t, h, x, b->resid_pdrop);
}

static Tensor *forward(Tape *t, const Model *model, const Batch *batch)
{
    const Gpt2 *m = (const Gpt2 *)model;
    Tensor *x = embedding(t, &m->wte, NULL, batch->ids, batch->rows);
    x = embedding(t, &m->wpe, x, batch->position_ids, batch->rows);
    x = dropout_add(t, x, NULL, m->embd_pdrop);
    for (int64_t i = 0; i < model->num_layers; i++) x = op_recompute(t, block, &m->h[i], x, batch);
    return layer_norm(t, &m->ln_f, x);
}

enum { MOST_LAYERS = 10000 }; /* whose structs alone are some 100 MB: more is a mistake, or meant to hurt */

typedef struct Sizes {
    int64_t embd, heads, inner;
    double std, eps, resid_pdrop, embd_pdrop, attn_pdrop;
    bool scale_attn_weights, scale_by_layer;
    Activation act;
} Sizes;

static Status probability(const cJSON *config, const char *where, const char *key, double *out)
{
    Status st = json_real_or(config, where, key, 0.1, out);
    if (!st && !(*out >= 0 && *out < 1))
        st = status_raise(STATUS_FORMAT, "%s: `%s` must be at least 0 and below 1", where, key);
    return st;
}

static Status read_sizes(Model *m, const char *where, Sizes *s)
{
    Status st = OK;
    bool cross_attention;
    TRY(config_positive(m->config, where, "vocab_size", 50257, &m->vocab_size));
    TRY(config_positive(m->config, where, "n_positions", 1024, &m->max_positions));
    TRY(config_positive(m->config, where, "n_embd", 768, &s->embd));
    TRY(config_positive(m->config, where, "n_layer", 12, &m->num_layers));
    TRY(config_positive(m->config, where, "n_head", 12, &s->heads));
    TRY(config_positive(m->config, where, "n_inner", 4 * s->embd, &s->inner));
    TRY(config_activation(m->config, where, "activation_function", "gelu_new", &s->act));
    TRY(probability(m->config, where, "resid_pdrop", &s->resid_pdrop));
    TRY(probability(m->config, where, "embd_pdrop", &s->embd_pdrop));
    TRY(probability(m->config, where, "attn_pdrop", &s->attn_pdrop));
    TRY(json_real_or(m->config, where, "layer_norm_epsilon", 1e-5, &s->eps));
    TRY(json_real_or(m->config, where, "initializer_range", 0.02, &s->std));
    if (!(s->eps >= 0 && s->eps < 1) || !(s->std >= 0 && s->std <= 100))
        RAISE(FORMAT,
              "%s: layer_norm_epsilon is %g and initializer_range %g; they must be at least 0 and below 1, or 100",
              where, s->eps, s->std);
    if (m->num_layers > MOST_LAYERS)
        RAISE(UNSUPPORTED, "%s: n_layer is %lld; hone takes up to %d", where, (long long)m->num_layers, MOST_LAYERS);
    TRY(json_bool_or(m->config, where, "scale_attn_weights", true, &s->scale_attn_weights));
    TRY(json_bool_or(m->config, where, "scale_attn_by_inverse_layer_idx", false, &s->scale_by_layer));
    TRY(json_bool_or(m->config, where, "add_cross_attention", false, &cross_attention));
    if (cross_attention)
        RAISE(UNSUPPORTED, "%s: add_cross_attention: true is not something hone has; GPT-2 as a decoder only", where);
    if (s->embd % s->heads)
        RAISE(FORMAT, "%s: n_embd %lld is not a multiple of n_head %lld", where, (long long)s->embd,
              (long long)s->heads);
    m->hidden_size = m->kv_width = s->embd;
done:
    return st;
}

static void declare_block(Parameters *ps, Block *b, const Sizes *s, int64_t layer, int64_t num_layers)
{
    char name[64];
#define NAME(part) (snprintf(name, sizeof name, "transformer.h.%d." part, (int)layer), name)
    float std = (float)s->std, residual_std = (float)(s->std / sqrt(2.0 * (double)num_layers));
    int32_t head_dim = (int32_t)(s->embd / s->heads);
    double scale = s->scale_attn_weights ? 1 / sqrt((double)head_dim) : 1;
    if (s->scale_by_layer) scale /= (double)(layer + 1);
    b->ln_1 = layer_norm_declare(ps, NAME("ln_1"), s->embd, (float)s->eps);
    b->c_attn = linear_declare(ps, NAME("attn.c_attn"), s->embd, 3 * s->embd, true, IN_OUT, std);
    b->attn_c_proj = linear_declare(ps, NAME("attn.c_proj"), s->embd, s->embd, true, IN_OUT, residual_std);
    b->ln_2 = layer_norm_declare(ps, NAME("ln_2"), s->embd, (float)s->eps);
    b->c_fc = linear_declare(ps, NAME("mlp.c_fc"), s->embd, s->inner, true, IN_OUT, std);
    b->mlp_c_proj = linear_declare(ps, NAME("mlp.c_proj"), s->inner, s->embd, true, IN_OUT, residual_std);
    b->attn = (Attention){.layer = (int32_t)layer,
                          .spec = {.heads = (int32_t)s->heads,
                                   .kv_heads = (int32_t)s->heads,
                                   .head_dim = head_dim,
                                   .causal = true,
                                   .scale = (float)scale,
                                   .dropout = (float)s->attn_pdrop,
                                   .k_col = s->embd,
                                   .v_col = 2 * s->embd}};
    b->act = s->act;
    b->resid_pdrop = (float)s->resid_pdrop;
#undef NAME
}

static Status declare(Model *model, const char *where)
{
    Status st = OK;
    Gpt2 *m = (Gpt2 *)model;
    Parameters *ps = &model->params;
    Sizes s = {0};
    bool tied;
    TRY(read_sizes(model, where, &s));
    TRY(json_bool_or(model->config, where, "tie_word_embeddings", true, &tied));
    TRY_NEW(model->arena, m->h, model->num_layers);
    m->embd_pdrop = (float)s.embd_pdrop;
    m->wte = embedding_declare(ps, "transformer.wte", model->vocab_size, s.embd, (float)s.std, -1);
    m->wpe = embedding_declare(ps, "transformer.wpe", model->max_positions, s.embd, (float)s.std, -1);
    for (int64_t i = 0; i < model->num_layers; i++) declare_block(ps, &m->h[i], &s, i, model->num_layers);
    m->ln_f = layer_norm_declare(ps, "transformer.ln_f", s.embd, (float)s.eps);
    model_declare_head(model, &m->wte, tied, (float)s.std);
done:
    return st;
}

/* GPT2Config's, of transformers 5.23; summary_* belong to a head for pairs of choices. */
static const ModelSetting settings[] = {
    {.name = "activation_function", .type = SETTING_TEXT},
    {.name = "add_cross_attention", .type = SETTING_BOOL},
    {.name = "attn_pdrop", .type = SETTING_REAL},
    {.name = "embd_pdrop", .type = SETTING_REAL},
    {.name = "initializer_range", .type = SETTING_REAL},
    {.name = "layer_norm_epsilon", .type = SETTING_REAL},
    {.name = "n_embd", .type = SETTING_INT},
    {.name = "n_head", .type = SETTING_INT},
    {.name = "n_inner", .type = SETTING_INT_OR_NULL},
    {.name = "n_layer", .type = SETTING_INT},
    {.name = "n_positions", .type = SETTING_INT},
    {.name = "reorder_and_upcast_attn", .type = SETTING_BOOL},
    {.name = "resid_pdrop", .type = SETTING_REAL},
    {.name = "scale_attn_by_inverse_layer_idx", .type = SETTING_BOOL},
    {.name = "scale_attn_weights", .type = SETTING_BOOL},
    {.name = "summary_activation", .type = SETTING_TEXT_OR_NULL},
    {.name = "summary_first_dropout", .type = SETTING_REAL},
    {.name = "summary_proj_to_labels", .type = SETTING_BOOL},
    {.name = "summary_type", .type = SETTING_TEXT},
    {.name = "summary_use_proj", .type = SETTING_BOOL},
    {.name = "use_cache", .type = SETTING_BOOL},
    {.name = "vocab_size", .type = SETTING_INT},
    {.name = "hidden_size", .type = SETTING_INT, .stands_for = "n_embd"},
    {.name = "max_position_embeddings", .type = SETTING_INT, .stands_for = "n_positions"},
    {.name = "num_attention_heads", .type = SETTING_INT, .stands_for = "n_head"},
    {.name = "num_hidden_layers", .type = SETTING_INT, .stands_for = "n_layer"},
    {.name = NULL},
};

const ModelType model_gpt2 = {
    .name = "gpt2",
    .architecture = "GPT2LMHeadModel",
    .bytes = sizeof(Gpt2),
    .declare = declare,
    .forward = forward,
    .prefix = "transformer.",
    .ignored = (const char *const[]){".attn.bias", ".attn.masked_bias", NULL},
    .lora_targets = (const char *const[]){"c_attn", NULL},
    .settings = settings,
    .positions_end = true,
    .counts_all_labels = true,
};

static const GgufTensorName gguf_tensors[] = {
    {"transformer.wte", "token_embd", GGUF_SAME},
    {"transformer.wpe", "position_embd", GGUF_SAME},
    {"transformer.h.%.ln_1", "blk.%.attn_norm", GGUF_SAME},
    {"transformer.h.%.attn.c_attn", "blk.%.attn_qkv", GGUF_TRANSPOSED},
    {"transformer.h.%.attn.c_proj", "blk.%.attn_output", GGUF_TRANSPOSED},
    {"transformer.h.%.ln_2", "blk.%.ffn_norm", GGUF_SAME},
    {"transformer.h.%.mlp.c_fc", "blk.%.ffn_up", GGUF_TRANSPOSED},
    {"transformer.h.%.mlp.c_proj", "blk.%.ffn_down", GGUF_TRANSPOSED},
    {"transformer.ln_f", "output_norm", GGUF_SAME},
    {"lm_head", "output", GGUF_SAME},
    {.model = NULL},
};

static const GgufKey gguf_keys[] = {
    {.config = "n_positions", .gguf = "context_length", .type = GGUF_KEY_INT},
    {.config = "n_embd", .gguf = "embedding_length", .type = GGUF_KEY_INT},
    {.config = "n_layer", .gguf = "block_count", .type = GGUF_KEY_INT},
    {"n_inner", "feed_forward_length", GGUF_KEY_INT, .optional = true, .same_as = "n_embd", .times = 4},
    {.config = "n_head", .gguf = "attention.head_count", .type = GGUF_KEY_INT},
    {.config = "layer_norm_epsilon", .gguf = "attention.layer_norm_epsilon", .type = GGUF_KEY_REAL},
    {.config = NULL},
};

const ModelGguf gguf_gpt2 = {
    .architecture = "gpt2",
    .tensors = gguf_tensors,
    .keys = gguf_keys,
    .fixed = (const GgufFixed[]){{"activation_function", "\"gelu_new\"", .may_lack = true},
                                 {"scale_attn_weights", "true", .may_lack = true},
                                 {"scale_attn_by_inverse_layer_idx", "false", .may_lack = true},
                                 {.config = NULL}},
    .default_pre = "gpt-2",
};
