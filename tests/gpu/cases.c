/* cases.h. A case's floor is its kernel's: bytes moved at least, FLOPs of products at least. */
#include "tests/gpu/cases.h"

#define E(b) ((double)dtype_bytes((b)->dtype))
#define WORK(name) static void name(const Bench *b)
#define FLOOR(name, value)                                                                                             \
    static double name(const Bench *b) { return value; }
#define HIDDEN ((double)b->n.rows * (double)b->n.hidden) /* elements */
#define WIDE ((double)b->n.rows * (double)b->n.wide)
#define PARAMETERS ((double)b->n.parameters)
#define LOGITS ((double)b->n.logit_rows * (double)b->n.vocab)

FLOOR(one_hidden_read_one_written, 2 * HIDDEN * E(b))
FLOOR(two_hidden_read_one_written, 3 * HIDDEN * E(b))
FLOOR(one_wide_read_one_written, 2 * WIDE * E(b))
FLOOR(two_wide_read_one_written, 3 * WIDE * E(b))
FLOOR(three_wide_read_two_written, 5 * WIDE * E(b))

/* ---- the machine ------------------------------ */
WORK(copy) { b->k->copy(b->s, b->c, b->a, (size_t)(b->n.rows * b->n.wide) * dtype_bytes(b->dtype)); }
WORK(square)
{
    int64_t n = b->n.square;
    b->k->linear_forward(b->s, b->dtype, b->dtype, b->c, NULL, b->a, b->b, NULL, n, n, n, IN_OUT, ACT_NONE);
}
FLOOR(square_flops, 2.0 * (double)b->n.square * (double)b->n.square * (double)b->n.square)

/* ---- products ------------------------------ */
WORK(linear_qkv)
{
    b->k->linear_forward(b->s, b->dtype, b->dtype, b->c, NULL, b->a, b->b, b->b, b->n.rows, b->n.hidden,
                         3 * b->n.hidden, IN_OUT, ACT_NONE);
}
WORK(linear_gelu) /* pre and y in one array of c and one of b's room would overlap: g is f32 and as large */
{
    b->k->linear_forward(b->s, b->dtype, b->dtype, b->c, b->g, b->a, b->b, b->b, b->n.rows, b->n.hidden, b->n.wide,
                         IN_OUT, ACT_GELU_TANH);
}
WORK(linear_down)
{
    b->k->linear_forward(b->s, b->dtype, b->dtype, b->c, NULL, b->a, b->b, b->b, b->n.rows, b->n.wide, b->n.hidden,
                         IN_OUT, ACT_NONE);
}
WORK(linear_dx)
{
    b->k->linear_backward_input(b->s, b->dtype, b->dtype, b->c, b->a, b->b, b->n.rows, b->n.hidden, b->n.wide, IN_OUT,
                                false);
}
WORK(linear_dw)
{
    b->k->linear_backward_weight(b->s, b->dtype, b->g, b->stat, b->a, b->b, b->n.rows, b->n.hidden, b->n.wide, IN_OUT,
                                 true);
}
FLOOR(qkv_flops, 6 * HIDDEN * (double)b->n.hidden)
FLOOR(mlp_flops, 2 * WIDE * (double)b->n.hidden)
WORK(head_and_loss)
{
    b->k->linear_cross_entropy(b->s, b->dtype, b->dtype, b->stat, b->c, b->g, b->a, b->b, b->labels, b->n.rows,
                               b->n.hidden, b->n.vocab, 1e-4f, 0, 0, 0, true);
}
FLOOR(head_flops, 6 * HIDDEN * (double)b->n.vocab)

/* ---- attention ------------------------------ */
static AttentionShape shape_of(const Bench *b)
{
    int64_t stride = 3 * b->n.hidden;
    return (AttentionShape){.cu_seqlens_q = b->cu,
                            .cu_seqlens_k = b->cu,
                            .num_seqs = (int32_t)b->n.seqs,
                            .max_seqlen_q = (int32_t)b->n.length,
                            .max_seqlen_k = (int32_t)b->n.length,
                            .heads = (int32_t)b->n.heads,
                            .kv_heads = (int32_t)b->n.heads,
                            .head_dim = (int32_t)b->n.head_dim,
                            .q_stride = stride,
                            .k_stride = stride,
                            .v_stride = stride,
                            .out_stride = b->n.hidden,
                            .scale = 0.125f,
                            .causal = true};
}
static void *at(const Bench *b, void *p, int64_t elements)
{
    return (char *)p + elements * (int64_t)dtype_bytes(b->dtype);
}
WORK(attention_forward)
{
    AttentionShape shape = shape_of(b);
    b->k->attention_forward(b->s, b->dtype, b->c, b->stat, b->a, at(b, b->a, b->n.hidden), at(b, b->a, 2 * b->n.hidden),
                            &shape, NULL);
}
WORK(attention_backward) /* g: dq, dk, dv; c: what the forward left */
{
    AttentionShape shape = shape_of(b);
    int64_t h = b->n.hidden;
    b->k->attention_backward(b->s, b->dtype, b->g, at(b, b->g, h), at(b, b->g, 2 * h), b->b, b->a, at(b, b->a, h),
                             at(b, b->a, 2 * h), b->c, b->stat, &shape, NULL);
}
static double visible_pairs(const Bench *b)
{
    return (double)b->n.seqs * (double)b->n.heads * (double)b->n.length * ((double)b->n.length + 1) / 2;
}
FLOOR(attention_flops, 4 * (double)b->n.head_dim * visible_pairs(b))
FLOOR(attention_backward_flops, 10 * (double)b->n.head_dim * visible_pairs(b))
FLOOR(attention_bytes, 4 * HIDDEN * E(b))
FLOOR(attention_backward_bytes, 8 * HIDDEN * E(b))
WORK(rope)
{
    b->k->rope(b->s, b->dtype, b->c, b->cos, b->sin, b->positions, b->n.rows, (int32_t)b->n.heads,
               (int32_t)b->n.head_dim, (int32_t)b->n.head_dim, b->n.hidden, false);
}

/* ---- norms ------------------------------ */
WORK(layer_norm_forward)
{
    b->k->layer_norm_forward(b->s, b->dtype, b->c, b->stat, b->stat2, b->a, b->b, b->b, b->n.rows, b->n.hidden, 1e-5f);
}
WORK(layer_norm_backward)
{
    b->k->layer_norm_backward(b->s, b->dtype, b->c, b->g, b->g + b->n.hidden, b->a, b->b, b->stat, b->stat2, b->b,
                              b->n.rows, b->n.hidden, false, true);
}
WORK(rms_norm_forward)
{
    b->k->rms_norm_forward(b->s, b->dtype, b->c, b->stat, b->a, b->b, b->n.rows, b->n.hidden, 1e-5f, 0);
}
WORK(rms_norm_backward)
{
    b->k->rms_norm_backward(b->s, b->dtype, b->c, b->g, b->a, b->b, b->stat, b->b, b->n.rows, b->n.hidden, 0, false,
                            true);
}

/* ---- elementwise ------------------------------ */
#define N_WIDE (b->n.rows * b->n.wide)
WORK(activation_forward) { b->k->activation_forward(b->s, b->dtype, b->c, b->a, N_WIDE, ACT_GELU_TANH); }
WORK(activation_backward) { b->k->activation_backward(b->s, b->dtype, b->c, b->a, b->b, N_WIDE, ACT_GELU_TANH); }
WORK(gated_forward) { b->k->gated_forward(b->s, b->dtype, b->c, b->a, b->b, N_WIDE, ACT_SILU); }
WORK(gated_backward) { b->k->gated_backward(b->s, b->dtype, b->c, b->g, b->a, b->a, b->b, N_WIDE, ACT_SILU); }
WORK(add) { b->k->add(b->s, b->dtype, b->c, b->a, N_WIDE); }
WORK(scale) { b->k->scale(b->s, b->dtype, b->c, 1, N_WIDE); }
WORK(fill_zero) { b->k->fill_zero(b->s, b->c, (size_t)N_WIDE * dtype_bytes(b->dtype)); }
FLOOR(wide_written, WIDE *E(b))
static Dropout dropout_of(const Bench *b)
{
    return (Dropout){.p = 0.1f, .seed = 1, .cu_seqlens = b->cu, .sample = b->sample, .num_seqs = (int32_t)b->n.seqs};
}
WORK(dropout_add_forward)
{
    Dropout dropout = dropout_of(b);
    b->k->dropout_add_forward(b->s, b->dtype, b->c, b->a, b->b, b->n.rows, b->n.hidden, &dropout);
}
WORK(dropout_backward)
{
    Dropout dropout = dropout_of(b);
    b->k->dropout_backward(b->s, b->dtype, b->c, b->a, b->n.rows, b->n.hidden, &dropout, false);
}
WORK(embedding_forward)
{
    b->k->embedding_forward(b->s, b->dtype, b->dtype, b->c, b->a, b->ids, b->n.rows, b->n.hidden, false);
}
WORK(embedding_backward)
{
    b->k->embedding_backward(b->s, b->dtype, b->g, b->a, b->ids, b->n.rows, b->n.hidden, b->n.vocab, -1, true);
}
FLOOR(embedding_backward_bytes, HIDDEN *(E(b) + 8)) /* rows of the table that ids name: at most as many as ids */

/* ---- f32 ------------------------------ */
WORK(cross_entropy)
{
    b->k->cross_entropy(b->s, b->stat, b->v, b->w, b->labels, b->n.logit_rows, b->n.vocab, 1e-4f, 0, 0, 0);
}
FLOOR(cross_entropy_bytes, 8 * LOGITS)
WORK(sum_squares) { b->k->sum_squares(b->s, b->partials, b->g, b->n.parameters); }
FLOOR(sum_squares_bytes, 4 * PARAMETERS)
WORK(adamw)
{
    b->k->adamw(b->s, b->w, b->m, b->v, NULL, b->g, b->n.parameters, b->one, 1e-5, 0.9, 0.999, 1e-8, 0.01, 0.5, 0.5);
}
FLOOR(adamw_bytes, 28 * PARAMETERS)
WORK(sgd) { b->k->sgd(b->s, b->w, b->m, NULL, b->g, b->n.parameters, b->one, 1e-5, 0, 0.9, 0, false, false); }
FLOOR(sgd_bytes, 20 * PARAMETERS)
WORK(convert) { b->k->convert(b->s, DTYPE_BF16, b->c, DTYPE_F32, b->w, b->n.parameters); }
FLOOR(convert_bytes, 6 * PARAMETERS)

/* The first two tell the machine's rates, against which all are held. */
const Case cases[] = {
    {"copy", "[T,4H]", copy, one_wide_read_one_written, NULL, false},
    {"product", "square", square, NULL, square_flops, false},
    {"linear_forward", "[T,H]x[H,3H]", linear_qkv, NULL, qkv_flops, false},
    {"linear_forward gelu", "[T,H]x[H,4H]", linear_gelu, NULL, mlp_flops, false},
    {"linear_forward", "[T,4H]x[4H,H]", linear_down, NULL, mlp_flops, false},
    {"linear_backward_input", "[T,4H]x[4H,H]", linear_dx, NULL, mlp_flops, false},
    {"linear_backward_weight", "[H,T]x[T,4H]", linear_dw, NULL, mlp_flops, false},
    {"linear_cross_entropy", "[T,H]x[H,V]", head_and_loss, NULL, head_flops, false},
    {"attention_forward", "causal", attention_forward, attention_bytes, attention_flops, false},
    {"attention_backward", "causal", attention_backward, attention_backward_bytes, attention_backward_flops, false},
    {"rope", "[T,H]", rope, one_hidden_read_one_written, NULL, false},
    {"layer_norm_forward", "[T,H]", layer_norm_forward, one_hidden_read_one_written, NULL, false},
    {"layer_norm_backward", "[T,H]", layer_norm_backward, two_hidden_read_one_written, NULL, false},
    {"rms_norm_forward", "[T,H]", rms_norm_forward, one_hidden_read_one_written, NULL, false},
    {"rms_norm_backward", "[T,H]", rms_norm_backward, two_hidden_read_one_written, NULL, false},
    {"activation_forward", "[T,4H] gelu", activation_forward, one_wide_read_one_written, NULL, false},
    {"activation_backward", "[T,4H] gelu", activation_backward, two_wide_read_one_written, NULL, false},
    {"gated_forward", "[T,4H] silu", gated_forward, two_wide_read_one_written, NULL, false},
    {"gated_backward", "[T,4H] silu", gated_backward, three_wide_read_two_written, NULL, false},
    {"dropout_add_forward", "[T,H]", dropout_add_forward, two_hidden_read_one_written, NULL, false},
    {"dropout_backward", "[T,H]", dropout_backward, one_hidden_read_one_written, NULL, false},
    {"embedding_forward", "[T,H]", embedding_forward, one_hidden_read_one_written, NULL, false},
    {"embedding_backward", "[T,H]", embedding_backward, embedding_backward_bytes, NULL, false},
    {"add", "[T,4H]", add, two_wide_read_one_written, NULL, false},
    {"scale", "[T,4H]", scale, one_wide_read_one_written, NULL, false},
    {"fill_zero", "[T,4H]", fill_zero, wide_written, NULL, false},
    {"cross_entropy", "[R,V]", cross_entropy, cross_entropy_bytes, NULL, true},
    {"sum_squares", "[P]", sum_squares, sum_squares_bytes, NULL, true},
    {"adamw", "[P]", adamw, adamw_bytes, NULL, true},
    {"sgd momentum", "[P]", sgd, sgd_bytes, NULL, true},
    {"convert to bf16", "[P]", convert, convert_bytes, NULL, true},
};
const int case_count = sizeof cases / sizeof *cases;
