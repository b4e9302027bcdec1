/* See second_model.h. */
#include "tests/support/second_model.h"

#include <math.h>
#include <stdio.h>

enum { HEADS = 4, KV_HEADS = 2, POSITIONS = 256 };

typedef struct Mlp { RmsNorm norm; Linear gate, up, down; float dropout; } Mlp;
typedef struct Layer {
    RmsNorm norm;
    Linear q, k, v, o;
    Attention attn;
    Mlp mlp;
    const float *cos, *sin;
    float dropout;
} Layer;
typedef struct Second {
    Model base;
    Embedding embed;
    Layer *layers;
    RmsNorm shared;
    Linear odd;
    float *cos, *sin;
} Second;

/* The inner recomputed block. */
static Tensor *mlp(Tape *t, const void *layer, Tensor *x, const Batch *batch)
{
    const Mlp *m = layer;
    (void)batch;
    Tensor *h = rms_norm(t, &m->norm, x);
    h = op_gated(t, linear(t, &m->gate, h), linear(t, &m->up, h), ACT_SILU);
    return dropout_add(t, linear(t, &m->down, h), x, m->dropout);
}

static Tensor *block(Tape *t, const void *layer, Tensor *x, const Batch *batch)
{
    const Layer *l = layer;
    int32_t head_dim = l->attn.spec.head_dim;
    Tensor *h = rms_norm(t, &l->norm, x);
    Tensor *q = op_rope(t, linear(t, &l->q, h), l->cos, l->sin, HEADS, head_dim, head_dim);
    Tensor *k = op_rope(t, linear(t, &l->k, h), l->cos, l->sin, KV_HEADS, head_dim, head_dim);
    h = attention(t, &l->attn, q, k, linear(t, &l->v, h));
    x = dropout_add(t, linear(t, &l->o, h), x, l->dropout);
    return op_recompute(t, mlp, &l->mlp, x, batch);
}

static Tensor *forward(Tape *t, const Model *model, const Batch *batch)
{
    const Second *m = (const Second *)model;
    Tensor *x = embedding(t, &m->embed, NULL, batch->ids, batch->rows);
    for (int64_t i = 0; i < model->num_layers; i++) x = op_recompute(t, block, &m->layers[i], x, batch);
    if (batch->num_seqs % 2) x = dropout_add(t, linear(t, &m->odd, x), x, 0); /* the branch */
    return rms_norm(t, &m->shared, x);
}

const ModelType model_second = {
    .name = "second", .architecture = "SecondForCausalLM", .bytes = sizeof(Second), .forward = forward};

static void declare_layer(Second *m, Layer *l, int i, int64_t hidden, float dropout)
{
    Parameters *ps = &m->base.params;
    int64_t head_dim = hidden / HEADS, inner = 2 * hidden + 8;
    char name[64];
#define NAME(part) (snprintf(name, sizeof name, "layers.%d." part, i), name)
#define LINEAR(part, in, out) linear_declare(ps, NAME(part), in, out, false, OUT_IN, 0.1f)
    *l = (Layer){.norm = m->shared, .dropout = dropout, .cos = m->cos, .sin = m->sin};
    l->q = LINEAR("q", hidden, hidden);
    l->k = LINEAR("k", hidden, KV_HEADS * head_dim);
    l->v = LINEAR("v", hidden, KV_HEADS * head_dim);
    l->o = LINEAR("o", hidden, hidden);
    l->attn = (Attention){.layer = i,
                          .spec = {.heads = HEADS,
                                   .kv_heads = KV_HEADS,
                                   .head_dim = (int32_t)head_dim,
                                   .causal = true,
                                   .scale = 1 / sqrtf((float)head_dim),
                                   .dropout = dropout}};
    l->mlp = (Mlp){.norm = rms_norm_declare(ps, NAME("norm"), hidden, 1e-6f, 0), .dropout = dropout};
    l->mlp.gate = LINEAR("gate", hidden, inner);
    l->mlp.up = LINEAR("up", hidden, inner);
    l->mlp.down = LINEAR("down", inner, hidden);
}

Status second_model_new(int hidden, int num_layers, int vocab_size, float dropout, Model **out)
{
    Status st = OK;
    Arena *arena;
    Second *m = NULL;
    TRY(arena_new(&arena));
    TRY_NEW(arena, m, 1);
    m->base = (Model){.type = &model_second,
                      .arena = arena,
                      .vocab_size = vocab_size,
                      .hidden_size = hidden,
                      .num_layers = num_layers,
                      .max_positions = POSITIONS,
                      .kv_width = hidden / 2};
    parameters_init(&m->base.params, arena);
    int rotary = hidden / HEADS / 2;
    TRY_NEW(arena, m->cos, POSITIONS * rotary);
    TRY_NEW(arena, m->sin, POSITIONS * rotary);
    TRY_NEW(arena, m->layers, num_layers);
    for (int i = 0; i < POSITIONS * rotary; i++) {
        double angle = i / rotary * pow(1e4, -(double)(i % rotary) / rotary);
        m->cos[i] = (float)cos(angle), m->sin[i] = (float)sin(angle);
    }
    m->embed = embedding_declare(&m->base.params, "embed", vocab_size, hidden, 0.1f, -1);
    m->shared = rms_norm_declare(&m->base.params, "shared", hidden, 1e-6f, 0);
    for (int i = 0; i < num_layers; i++) declare_layer(m, &m->layers[i], i, hidden, dropout);
    m->odd = linear_declare(&m->base.params, "odd", hidden, hidden, true, OUT_IN, 0.1f);
    m->base.head = m->embed.weight;
    TRY(parameters_layout(&m->base.params));
    *out = &m->base;
done:
    return st;
}
