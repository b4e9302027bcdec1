/* See decoder.h. */
#include "trainer/nn/decoder.h"

#include <stdio.h>

static Tensor *attend(Tape *t, const DecoderLayer *l, Tensor *h)
{
    const AttentionSpec *spec = &l->attention.spec;
    Tensor *qkv[3], *q, *k;
    linears(t, (const Linear *const[]){&l->q, &l->k, &l->v}, 3, h, qkv);
    q = qkv[0], k = qkv[1];
    if (l->q_norm.weight) q = rms_norm(t, &l->q_norm, q), k = rms_norm(t, &l->k_norm, k);
    q = rope(t, l->rope, q, spec->heads, spec->head_dim);
    k = rope(t, l->rope, k, spec->kv_heads, spec->head_dim);
    return linear(t, &l->o, attention(t, &l->attention, q, k, qkv[2]));
}

static Tensor *block(Tape *t, const void *layer, Tensor *x, const Batch *batch)
{
    const DecoderLayer *l = layer;
    Tensor *inner[2];
    (void)batch;
    Tensor *h = attend(t, l, rms_norm(t, &l->before_attention, x));
    if (l->after_attention.weight) h = rms_norm(t, &l->after_attention, h);
    x = dropout_add(t, h, x, 0);

    h = rms_norm(t, &l->before_mlp, x);
    linears(t, (const Linear *const[]){&l->gate, &l->up}, 2, h, inner);
    h = op_gated(t, inner[0], inner[1], l->act);
    h = linear(t, &l->down, h);
    if (l->after_mlp.weight) h = rms_norm(t, &l->after_mlp, h);
    return dropout_add(t, h, x, 0);
}

Tensor *decoder_forward(Tape *t, Decoder *d, const Batch *batch)
{
    Tensor *x = embedding(t, &d->embedding, NULL, batch->ids, batch->rows);
    if (d->embedding_scale != 1) x = op_scale(t, x, d->embedding_scale);
    for (int64_t i = 0; i < d->num_layers; i++) x = op_recompute(t, block, &d->layers[i], x, batch);
    return rms_norm(t, &d->norm, x);
}

static void declare_layer(DecoderLayer *l, Parameters *ps, const DecoderSpec *s, int32_t i)
{
    char name[96];
#define NAME(part) (snprintf(name, sizeof name, "model.layers.%d." part, i), name)
#define LINEAR(part, in, out, bias) linear_declare(ps, NAME(part), in, out, bias, OUT_IN, s->std)
#define NORM(part, width) rms_norm_declare(ps, NAME(part), width, s->eps, s->norm_offset)
    int64_t q = s->heads * s->head_dim, kv = s->kv_heads * s->head_dim;
    l->q = LINEAR("self_attn.q_proj", s->hidden, q, s->qkv_bias);
    l->k = LINEAR("self_attn.k_proj", s->hidden, kv, s->qkv_bias);
    l->v = LINEAR("self_attn.v_proj", s->hidden, kv, s->qkv_bias);
    l->o = LINEAR("self_attn.o_proj", q, s->hidden, s->o_bias);
    if (s->head_norms) {
        l->q_norm = NORM("self_attn.q_norm", s->head_dim);
        l->k_norm = NORM("self_attn.k_norm", s->head_dim);
    }
    l->gate = LINEAR("mlp.gate_proj", s->hidden, s->inner, s->mlp_bias);
    l->up = LINEAR("mlp.up_proj", s->hidden, s->inner, s->mlp_bias);
    linears_join((const Linear *const[]){&l->q, &l->k, &l->v}, 3);
    linears_join((const Linear *const[]){&l->gate, &l->up}, 2);
    l->down = LINEAR("mlp.down_proj", s->inner, s->hidden, s->mlp_bias);
    l->before_attention = NORM("input_layernorm", s->hidden);
    if (s->branch_norms) {
        l->after_attention = NORM("post_attention_layernorm", s->hidden);
        l->before_mlp = NORM("pre_feedforward_layernorm", s->hidden);
        l->after_mlp = NORM("post_feedforward_layernorm", s->hidden);
    } else {
        l->before_mlp = NORM("post_attention_layernorm", s->hidden);
    }
#undef NAME
#undef LINEAR
#undef NORM
}

Status decoder_declare(Decoder *d, Parameters *ps, const DecoderSpec *s)
{
    Status st = OK;
    TRY_NEW(ps->arena, d->layers, s->num_layers);
    d->num_layers = s->num_layers;
    d->embedding_scale = s->embedding_scale;
    d->rope = (Rope){.spec = s->rope};
    d->embedding = embedding_declare(ps, "model.embed_tokens", s->vocab_size, s->hidden, s->std, s->padding);
    for (int64_t i = 0; i < s->num_layers; i++) {
        DecoderLayer *l = &d->layers[i];
        *l = (DecoderLayer){.act = s->act, .rope = &d->rope};
        l->attention = (Attention){.layer = (int32_t)i,
                                   .spec = {.heads = (int32_t)s->heads,
                                            .kv_heads = (int32_t)s->kv_heads,
                                            .head_dim = (int32_t)s->head_dim,
                                            .scale = s->attention_scale,
                                            .causal = true,
                                            .window = s->windows ? s->windows[i] : 0,
                                            .softcap = s->attention_softcap,
                                            .dropout = s->attention_dropout}};
        declare_layer(l, ps, s, (int32_t)i);
    }
    d->norm = rms_norm_declare(ps, "model.norm", s->hidden, s->eps, s->norm_offset);
done:
    return st;
}

void decoder_free(Decoder *d) { rope_free(&d->rope); }
