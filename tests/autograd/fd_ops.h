/* The ops as functions of their inputs, for finite differences and for running out of memory: one line of `ops` a way
 * of using an op. */
#ifndef HONE_TESTS_AUTOGRAD_FD_OPS_H
#define HONE_TESTS_AUTOGRAD_FD_OPS_H

#include "trainer/autograd/ops.h"

/* Rows of activations, and two widths: what they mean is the op's. */
typedef struct Shape { int64_t rows, a, b; } Shape;

enum { FD_INPUTS = 6, FD_ROWS = 16 };
/* Where the kernels work, made by fd_open. */
static int32_t *fd_ids, *fd_labels; /* [rows], of the shape's tables */
static float *fd_cos, *fd_sin;      /* [positions, a / 2] */

typedef struct FdOp {
    const char *name;
    int inputs;
    const char *sizes; /* of each input: "ra" is [rows, a], "1b" is [1, b], "ba" [b, a]; upper case: a parameter */
    Tensor *(*run)(Tape *t, Tensor **in, Shape s);
    bool loss;         /* makes its gradients itself, with fd_scale */
} FdOp;

static const float fd_scale = 0.37f;

#define FD(name) static Tensor *fd_##name(Tape *t, Tensor **in, Shape s)
#define UNUSED_SHAPE (void)s

/* relu has a kink, where differences lie: its goldens are exact */
FD(linear) { UNUSED_SHAPE; return op_linear(t, in[0], in[1], in[2], OUT_IN, ACT_NONE); }
FD(linear_in_out) { UNUSED_SHAPE; return op_linear(t, in[0], in[1], NULL, IN_OUT, ACT_NONE); }
FD(linear_gelu) { UNUSED_SHAPE; return op_linear(t, in[0], in[1], in[2], OUT_IN, ACT_GELU); }
FD(linear_gelu_tanh) { UNUSED_SHAPE; return op_linear(t, in[0], in[1], in[2], IN_OUT, ACT_GELU_TANH); }
FD(linear_silu) { UNUSED_SHAPE; return op_linear(t, in[0], in[1], in[2], OUT_IN, ACT_SILU); }
FD(linear_tanh) { UNUSED_SHAPE; return op_linear(t, in[0], in[1], in[2], OUT_IN, ACT_TANH); }
FD(linear_shared_bias)
{
    UNUSED_SHAPE;
    Tensor *y = op_linear(t, in[0], in[1], in[3], OUT_IN, ACT_NONE);
    return op_dropout_add(t, op_linear(t, in[0], in[2], in[3], OUT_IN, ACT_NONE), y, 0);
}
FD(gated) { UNUSED_SHAPE; return op_gated(t, in[0], in[1], ACT_SILU); }
FD(gated_itself) { UNUSED_SHAPE; return op_gated(t, in[0], in[0], ACT_GELU); }
FD(layer_norm) { UNUSED_SHAPE; return op_layer_norm(t, in[0], in[1], in[2], 0.3f); }
FD(layer_norm_nobias) { UNUSED_SHAPE; return op_layer_norm(t, in[0], in[1], NULL, 0.3f); }
FD(layer_norm_shared_bias)
{
    UNUSED_SHAPE;
    return op_layer_norm(t, op_layer_norm(t, in[0], in[1], in[3], 0.3f), in[2], in[3], 0.3f);
}
FD(rms_norm) { UNUSED_SHAPE; return op_rms_norm(t, in[0], in[1], 0.3f, 0); }
FD(rms_norm_offset) { UNUSED_SHAPE; return op_rms_norm(t, in[0], in[1], 0.3f, 1); }
FD(rms_norm_heads) { UNUSED_SHAPE; return op_rms_norm(t, in[0], in[1], 0.3f, 0); }
FD(lora) { UNUSED_SHAPE; return op_lora_up(t, in[0], op_lora_down(t, in[1], in[2], NULL, 0), 0, in[3], 0.7f); }
FD(lora_of_results)
{
    UNUSED_SHAPE;
    Tensor *x = op_linear(t, in[0], in[1], NULL, OUT_IN, ACT_NONE);
    Tensor *u = op_lora_down(t, x, in[3], NULL, 0);
    return op_lora_up(t, op_linear(t, x, in[2], NULL, OUT_IN, ACT_NONE), u, 0, in[4], 0.7f);
}
FD(activation) { UNUSED_SHAPE; return op_activation(t, in[0], ACT_GELU_TANH); }
FD(activation_of_result)
{
    UNUSED_SHAPE;
    return op_activation(t, op_linear(t, in[0], in[1], NULL, OUT_IN, ACT_NONE), ACT_SILU);
}
FD(dropout_alone) /* of what another op reads too */
{
    UNUSED_SHAPE;
    t->op = 3;
    return op_dropout_add(t, op_dropout(t, in[0], 0.4f), in[0], 0);
}
FD(scaled) { UNUSED_SHAPE; return op_scale(t, in[0], 1.7f); }
FD(scaled_result) { UNUSED_SHAPE; return op_scale(t, op_linear(t, in[0], in[1], NULL, OUT_IN, ACT_NONE), 1.7f); }
FD(embedding) { return op_embedding(t, NULL, in[0], fd_ids, s.rows, -1); }
FD(embedding_onto)
{
    return op_embedding(t, op_embedding(t, NULL, in[0], fd_ids, s.rows, -1), in[1], fd_ids, s.rows, -1);
}
FD(embedding_of_input) { return op_embedding(t, in[1], in[0], fd_ids, s.rows, -1); }
FD(sum) { UNUSED_SHAPE; return op_dropout_add(t, in[0], in[1], 0); }
FD(sum_of_itself) { UNUSED_SHAPE; return op_dropout_add(t, in[0], in[0], 0); }
FD(dropout_add) { UNUSED_SHAPE; t->op = 3; return op_dropout_add(t, in[0], in[1], 0.4f); }
FD(dropout) { UNUSED_SHAPE; t->op = 3; return op_dropout_add(t, in[0], NULL, 0.4f); }
FD(dropout_of_result) /* in place, on what another op made */
{
    UNUSED_SHAPE;
    t->op = 3;
    return op_dropout_add(t, op_linear(t, in[0], in[1], in[2], OUT_IN, ACT_NONE), NULL, 0.4f);
}

/* b heads of keys, twice as many of queries, size a. */
static AttentionSpec fd_spec(Shape s)
{
    return (AttentionSpec){
        .heads = 2 * (int32_t)s.b, .kv_heads = (int32_t)s.b, .head_dim = (int32_t)s.a, .causal = true, .scale = 0.7f};
}
static Tensor *fd_attend(Tape *t, Tensor *q, Tensor *k, Tensor *v, const AttentionSpec *spec)
{
    return op_attention(t, q, k, v, spec);
}
FD(attention) { AttentionSpec p = fd_spec(s); return fd_attend(t, in[0], in[1], in[2], &p); }
FD(attention_bidirectional)
{
    AttentionSpec p = fd_spec(s);
    p.causal = false;
    return fd_attend(t, in[0], in[1], in[2], &p);
}
FD(attention_window) { AttentionSpec p = fd_spec(s); p.window = 2; return fd_attend(t, in[0], in[1], in[2], &p); }
FD(attention_softcap) { AttentionSpec p = fd_spec(s); p.softcap = 0.8f; return fd_attend(t, in[0], in[1], in[2], &p); }
FD(attention_dropout)
{
    AttentionSpec p = fd_spec(s);
    p.dropout = 0.4f;
    t->op = 3;
    return fd_attend(t, in[0], in[1], in[2], &p);
}
FD(attention_packed)
{
    AttentionSpec p = fd_spec(s);
    p.kv_heads = p.heads = 1;
    p.k_col = s.a, p.v_col = 2 * s.a; /* and the last of the tensor's four parts is not read */
    return fd_attend(t, in[0], in[0], in[0], &p);
}
FD(attention_of_itself) /* q, k and v are the same columns */
{
    AttentionSpec p = fd_spec(s);
    p.kv_heads = p.heads = 1;
    return fd_attend(t, in[0], in[0], in[0], &p);
}
FD(attention_shared_keys) /* keys are values; queries are apart in the same tensor */
{
    AttentionSpec p = fd_spec(s);
    p.kv_heads = p.heads = 1;
    p.k_col = p.v_col = s.a;
    return fd_attend(t, in[0], in[0], in[0], &p);
}
FD(rope) { return op_rope(t, in[0], fd_cos, fd_sin, 2 * (int32_t)s.b, (int32_t)s.a, (int32_t)s.a / 2 * 2); }
FD(rope_of_result)
{
    return op_rope(t, op_linear(t, in[0], in[1], NULL, OUT_IN, ACT_NONE), fd_cos, fd_sin, 1, (int32_t)s.b,
                   (int32_t)s.b / 4 * 2);
}

FD(cross_entropy)
{
    UNUSED_SHAPE;
    return op_cross_entropy(t, in[0], fd_labels,
                            &(LossSpec){.scale = fd_scale, .smoothing = 0.1f, .softcap = 1.5f, .z_loss = 0.02f});
}
FD(cross_entropy_of_result)
{
    UNUSED_SHAPE;
    return op_cross_entropy(t, op_linear(t, in[0], in[1], NULL, OUT_IN, ACT_NONE), fd_labels,
                            &(LossSpec){.scale = fd_scale});
}
FD(linear_cross_entropy)
{
    UNUSED_SHAPE;
    return op_linear_cross_entropy(t, in[0], in[1], fd_labels, &(LossSpec){.scale = fd_scale});
}
FD(linear_cross_entropy_all)
{
    UNUSED_SHAPE;
    LossSpec spec = {.scale = fd_scale, .smoothing = 0.1f, .softcap = 1.5f, .z_loss = 0.02f};
    return op_linear_cross_entropy(t, in[0], in[1], fd_labels, &spec);
}

/* Outputs that are made again from outputs that are made again: more of them than the tape has slots. */
FD(remade_chain)
{
    UNUSED_SHAPE;
    Tensor *g = op_rms_norm(t, op_layer_norm(t, in[0], in[2], in[3], 0.3f), in[2], 0.3f, 0);
    Tensor *u = op_rms_norm(t, op_layer_norm(t, in[1], in[2], in[3], 0.3f), in[2], 0.3f, 0);
    Tensor *y = op_gated(t, g, u, ACT_SILU);
    for (int i = 0; i < 3; i++) y = op_rms_norm(t, y, in[2], 0.3f, 0);
    return op_gated(t, op_gated(t, y, g, ACT_SILU), op_gated(t, y, u, ACT_SILU), ACT_GELU);
}

static const FdOp fd_ops[] = {
    {"linear", 3, "raBA1B", fd_linear, false},
    {"linear_in_out", 2, "raAB", fd_linear_in_out, false},
    {"linear_gelu", 3, "raBA1B", fd_linear_gelu, false},
    {"linear_gelu_tanh", 3, "raAB1B", fd_linear_gelu_tanh, false},
    {"linear_silu", 3, "raBA1B", fd_linear_silu, false},
    {"linear_tanh", 3, "raBA1B", fd_linear_tanh, false},
    {"linear_shared_bias", 4, "raBABA1B", fd_linear_shared_bias, false},
    {"gated", 2, "rara", fd_gated, false},
    {"gated_itself", 1, "ra", fd_gated_itself, false},
    {"layer_norm", 3, "ra1A1A", fd_layer_norm, false},
    {"layer_norm_nobias", 2, "ra1A", fd_layer_norm_nobias, false},
    {"layer_norm_shared_bias", 4, "ra1A1A1A", fd_layer_norm_shared_bias, false},
    {"rms_norm", 2, "ra1A", fd_rms_norm, false},
    {"rms_norm_offset", 2, "ra1A", fd_rms_norm_offset, false},
    {"rms_norm_heads", 2, "r41A", fd_rms_norm_heads, false},
    {"lora", 4, "rarbbBaB", fd_lora, false},
    {"lora_of_results", 5, "rabAaBbBaB", fd_lora_of_results, false},
    {"activation", 1, "ra", fd_activation, false},
    {"activation_of_result", 2, "raBA", fd_activation_of_result, false},
    {"dropout_alone", 1, "ra", fd_dropout_alone, false},
    {"scaled", 1, "ra", fd_scaled, false},
    {"scaled_result", 2, "raBA", fd_scaled_result, false},
    {"embedding", 1, "BA", fd_embedding, false},
    {"embedding_onto", 2, "BABA", fd_embedding_onto, false},
    {"embedding_of_input", 2, "BAra", fd_embedding_of_input, false},
    {"sum", 2, "rara", fd_sum, false},
    {"sum_of_itself", 1, "ra", fd_sum_of_itself, false},
    {"dropout_add", 2, "rara", fd_dropout_add, false},
    {"dropout", 1, "ra", fd_dropout, false},
    {"dropout_of_result", 3, "raBA1B", fd_dropout_of_result, false},
    {"attention", 3, "rqrkrk", fd_attention, false},
    {"attention_bidirectional", 3, "rqrkrk", fd_attention_bidirectional, false},
    {"attention_window", 3, "rqrkrk", fd_attention_window, false},
    {"attention_softcap", 3, "rqrkrk", fd_attention_softcap, false},
    {"attention_dropout", 3, "rqrkrk", fd_attention_dropout, false},
    {"attention_packed", 1, "r4", fd_attention_packed, false},
    {"attention_of_itself", 1, "ra", fd_attention_of_itself, false},
    {"attention_shared_keys", 1, "r4", fd_attention_shared_keys, false},
    {"rope", 1, "rq", fd_rope, false},
    {"rope_of_result", 2, "raBA", fd_rope_of_result, false},
    {"cross_entropy", 1, "ra", fd_cross_entropy, true},
    {"cross_entropy_of_result", 2, "raBA", fd_cross_entropy_of_result, true},
    {"linear_cross_entropy", 2, "raBA", fd_linear_cross_entropy, true},
    {"linear_cross_entropy_all", 2, "raBA", fd_linear_cross_entropy_all, true},
    {"remade_chain", 4, "rara1A1A", fd_remade_chain, false},
};
enum { FD_OPS = sizeof fd_ops / sizeof *fd_ops };

/* rows or columns of an input: r, a, b, 1; q: all heads of queries, k: of keys, 4: four heads of size a */
static inline int64_t fd_size(char c, Shape s)
{
    switch (c) {
    case 'r': return s.rows;
    case 'a': case 'A': return s.a;
    case 'b': case 'B': return s.b;
    case 'q': return 2 * s.b * s.a;
    case 'k': return s.b * s.a;
    case '4': return 4 * s.a;
    default: return 1;
    }
}
static inline bool fd_is_param(const char *sizes) { return sizes[1] == 'A' || sizes[1] == 'B'; }

#endif
