/* on_device.h: attention. */
#include "tests/cuda_emulator/on_device_call.h"

static int64_t strided(int64_t rows, int64_t stride, int64_t width) { return rows ? (rows - 1) * stride + width : 0; }

static void shape_arrays(Call *c, const AttentionShape *a)
{
    c->raw_in(a->cu_seqlens_q, (a->num_seqs + 1) * 4), c->raw_in(a->cu_seqlens_k, (a->num_seqs + 1) * 4);
}

static AttentionShape shape_at(Call *c, const AttentionShape *a)
{
    AttentionShape moved = *a;
    moved.cu_seqlens_q = c->at(a->cu_seqlens_q), moved.cu_seqlens_k = c->at(a->cu_seqlens_k);
    return moved;
}

static void attention_forward(Stream *s, Dtype d, void *out, float *lse, const void *q, const void *k, const void *v,
                              const AttentionShape *a, const Dropout *dropout)
{
    Call c(s, d);
    Dropout moved;
    int64_t rows_q = a->cu_seqlens_q[a->num_seqs], rows_k = a->cu_seqlens_k[a->num_seqs];
    int64_t wide = a->heads * a->head_dim, narrow = a->kv_heads * a->head_dim;
    c.out(out, strided(rows_q, a->out_stride, wide)), c.raw_out(lse, a->heads * rows_q * 4),
        c.in(q, strided(rows_q, a->q_stride, wide));
    c.in(k, strided(rows_k, a->k_stride, narrow)), c.in(v, strided(rows_k, a->v_stride, narrow));
    shape_arrays(&c, a), c.dropout_in(dropout), c.place();
    AttentionShape shape = shape_at(&c, a);
    kernels_cuda()->attention_forward(s, c.dtype(), c.at(out), c.at(lse), c.at(q), c.at(k), c.at(v), &shape,
                                      c.dropout_at(dropout, &moved));
}

static void attention_backward(Stream *s, Dtype d, void *dq, void *dk, void *dv, const void *dout, const void *q,
                               const void *k, const void *v, const void *out, const float *lse, const AttentionShape *a,
                               const Dropout *dropout)
{
    Call c(s, d);
    Dropout moved;
    int64_t rows_q = a->cu_seqlens_q[a->num_seqs], rows_k = a->cu_seqlens_k[a->num_seqs];
    int64_t wide = a->heads * a->head_dim, narrow = a->kv_heads * a->head_dim;
    c.out(dq, strided(rows_q, a->q_stride, wide)), c.out(dk, strided(rows_k, a->k_stride, narrow));
    c.out(dv, strided(rows_k, a->v_stride, narrow));
    c.in(dout, strided(rows_q, a->out_stride, wide)), c.in(out, strided(rows_q, a->out_stride, wide));
    c.in(q, strided(rows_q, a->q_stride, wide)), c.in(k, strided(rows_k, a->k_stride, narrow));
    c.in(v, strided(rows_k, a->v_stride, narrow)), c.raw_in(lse, a->heads * rows_q * 4);
    shape_arrays(&c, a), c.dropout_in(dropout), c.place();
    AttentionShape shape = shape_at(&c, a);
    kernels_cuda()->attention_backward(s, c.dtype(), c.at(dq), c.at(dk), c.at(dv), c.at(dout), c.at(q), c.at(k),
                                       c.at(v), c.at(out), c.at(lse), &shape, c.dropout_at(dropout, &moved));
}

void on_device_attention(Kernels *k)
{
    ON_DEVICE(attention_forward);
    ON_DEVICE(attention_backward);
}
