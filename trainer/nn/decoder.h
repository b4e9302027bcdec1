/* The decoder that Llama (Touvron et al. 2023) made the usual one: RMS norms before attention and before a gated MLP,
 * rotary positions, grouped heads. Its relatives differ in what a DecoderSpec says. Names of parameters are those of
 * transformers ("model.layers.0.self_attn.q_proj.weight"). */
#ifndef HONE_NN_DECODER_H
#define HONE_NN_DECODER_H

#include "trainer/base/arena.h"
#include "trainer/nn/layers.h"
#include "trainer/nn/rope.h"

typedef struct DecoderSpec {
    int64_t vocab_size, hidden, inner, num_layers, heads, kv_heads, head_dim;
    int64_t padding;   /* the token whose embedding is not trained; -1: none */
    float std;         /* of the weights that are drawn */
    float eps, norm_offset;
    Activation act;
    bool qkv_bias, o_bias, mlp_bias;
    bool head_norms;   /* of each head of q and k, before the rotation (qwen3) */
    bool branch_norms; /* of what attention and the MLP give, before they are added (gemma2) */
    float attention_scale, attention_softcap, attention_dropout;
    float embedding_scale;       /* 1: none */
    const int32_t *windows;      /* [num_layers] of attention, 0: none; NULL: none anywhere */
    RopeSpec rope;
} DecoderSpec;

typedef struct DecoderLayer {
    RmsNorm before_attention, after_attention, before_mlp, after_mlp; /* after_: weight NULL: none */
    Linear q, k, v, o, gate, up, down;
    RmsNorm q_norm, k_norm; /* weight NULL: none */
    Attention attention;
    Activation act;
    Rope *rope;
} DecoderLayer;

typedef struct Decoder {
    Embedding embedding;
    DecoderLayer *layers;
    int64_t num_layers;
    RmsNorm norm;
    Rope rope;
    float embedding_scale;
} Decoder;

/* Declares the parameters in transformers' order, the head apart. What spec borrows must live as long. Fails only for
 * memory. */
Status decoder_declare(Decoder *d, Parameters *ps, const DecoderSpec *spec);
/* The normed hidden states [T, hidden]. */
Tensor *decoder_forward(Tape *t, Decoder *d, const Batch *batch);
void decoder_free(Decoder *d); /* its tables; before the stream that it ran on */

#endif
