/* What forward (attention.c) and backward (attention_backward.c) share: which keys a block of queries sees, their
 * scores, packing, dropout.
 *
 * Queries lie in lanes. A block of QUERIES queries is packed as Q^T [head_dim, QUERIES]; scores of a block of KEYS keys
 * are then S^T = K Q^T [KEYS, QUERIES], a row for each key. So maxima and sums over keys run down the lanes, masks are
 * one comparison a vector, keys and values are only ever broadcast (any stride, any head_dim), and dropout's four words
 * of a counter belong to four rows.
 * All of it is f32: what is stored in fewer bits is widened where blocks are packed, keys and values in front of their
 * products (forward a part at a time, backward once for a head).
 *
 * Both block sizes divide into fours, so that a quad of dropout's columns is never cut. Blocks begin at the sequence's
 * first query and key: a sequence's bits do not depend on what else is in the batch. */
#ifndef HONE_KERNELS_CPU_ATTENTION_H
#define HONE_KERNELS_CPU_ATTENTION_H

#include "kernels/cpu/families.h"
#include "kernels/cpu/tile.h"
#include "kernels/cpu/typed.h"

enum { VECTORS = 2, QUERIES = VECTORS * VF, KEYS = 48 };

/* One query head of one sequence: arrays begin at its first row. */
typedef struct Head {
    Dtype dtype, kv_dtype; /* of q and all else; of k and v, which backward has widened */
    const void *q, *k, *v;
    int64_t q_stride, k_stride, v_stride;
    int64_t len_q, len_k, dim;
    int64_t offset, window; /* len_k - len_q; window 0: none */
    float scale, softcap;
    bool causal;
    bool drop;
    uint32_t key0, key1, op, sample, threshold; /* dropout's counters */
    float keep_scale;                           /* 1 / (1 - p); 1 */
} Head;

/* Keys [from, to) of a block against queries [i0, i0 + count): vectors [first, last) of queries see some of them. */
typedef struct Part {
    int64_t i0, count, from, to, first, last;
    bool masked; /* not every query of the part sees every key */
    const float *k, *v; /* of the part: part_keys */
    int64_t k_stride, v_stride;
} Part;

static inline int64_t at_least(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t up(int64_t a, int64_t unit) { return (a + unit - 1) / unit * unit; }

static inline Head head_of(Dtype dtype, const AttentionShape *a, const Dropout *d, int32_t sequence, int32_t head,
                           const void *q, const void *k, const void *v)
{
    int64_t row_q = a->cu_seqlens_q[sequence], row_k = a->cu_seqlens_k[sequence],
            kv_head = head / (a->heads / a->kv_heads);
    Head h = {.dtype = dtype, .kv_dtype = dtype,
              .q = typed_at(dtype, q, row_q * a->q_stride + (int64_t)head * a->head_dim),
              .k = typed_at(dtype, k, row_k * a->k_stride + kv_head * a->head_dim),
              .v = typed_at(dtype, v, row_k * a->v_stride + kv_head * a->head_dim), .q_stride = a->q_stride, .k_stride
                  = a->k_stride,
              .v_stride = a->v_stride, .len_q = a->cu_seqlens_q[sequence + 1] - row_q,
              .len_k = a->cu_seqlens_k[sequence + 1] - row_k, .dim = a->head_dim,
              .window = a->window > 0 ? a->window : 0, .scale = a->scale, .softcap = a->softcap, .causal = a->causal,
              .keep_scale = 1};
    h.offset = h.len_k - h.len_q;
    if (!d || !(d->p > 0)) return h;
    h.drop = true;
    h.key0 = d->seed, h.key1 = PHILOX_DROPOUT | d->update << 8;
    h.op = d->op | (uint32_t)head << 16, h.sample = (uint32_t)d->sample[sequence];
    h.threshold = dropout_threshold(d->p), h.keep_scale = 1.0f / (1.0f - d->p);
    return h;
}

/* The keys that some query of [i0, i0 + count) sees lie in [*from, *to); *from begins a block. */
static inline void keys_seen(const Head *h, int64_t i0, int64_t count, int64_t *from, int64_t *to)
{
    *from = h->window ? at_least(0, i0 + h->offset - h->window + 1) / KEYS * KEYS : 0;
    *to = h->causal ? at_least(0, at_most(h->len_k, i0 + count + h->offset)) : h->len_k;
}

static inline Part part_of(const Head *h, int64_t i0, int64_t count, int64_t from, int64_t to)
{
    Part p = {.i0 = i0, .count = count, .from = from, .to = to, .first = 0, .last = (count + VF - 1) / VF};
    int64_t shift = i0 + h->offset; /* query i0's own key */
    if (h->causal) p.first = at_least(0, from - shift) / VF;
    if (h->window) p.last = at_most(p.last, up(at_least(0, to - 1 + h->window - shift), VF) / VF);
    p.masked = (h->causal && to - 1 > shift + p.first * VF) ||
               (h->window && from <= shift + p.last * VF - 1 - h->window);
    return p;
}

/* Which of the queries of vector v see key j. */
VEC_FN vi sees(const Head *h, const Part *p, int64_t v, int64_t j)
{
    vi distance = vi_lanes() + (int32_t)(p->i0 + v * VF + h->offset - j), seen = vi_set(-1);
    if (h->causal) seen &= distance >= 0;
    if (h->window) seen &= distance < (int32_t)h->window;
    return seen;
}

static inline void widen_row(Dtype dtype, float *y, const void *x, int64_t n)
{
#define LOOP(d) widen_span(d, y, x, n)
    switch (dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
}

static inline void narrow_row(Dtype dtype, void *y, const float *x, int64_t n)
{
#define LOOP(d) narrow_span(d, y, x, n)
    switch (dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
}

/* The part's keys and values in f32: where they are, or in room [KEYS, dim] twice. */
static inline void part_keys(const Head *h, Part *p, float *room)
{
    p->k = typed_at(h->kv_dtype, h->k, p->from * h->k_stride), p->k_stride = h->k_stride;
    p->v = typed_at(h->kv_dtype, h->v, p->from * h->v_stride), p->v_stride = h->v_stride;
    if (h->kv_dtype == DTYPE_F32) return;
    float *k = room, *v = room + KEYS * h->dim;
    for (int64_t i = 0; i < p->to - p->from; i++) {
        widen_row(h->kv_dtype, k + i * h->dim, typed_at(h->kv_dtype, p->k, i * h->k_stride), h->dim);
        widen_row(h->kv_dtype, v + i * h->dim, typed_at(h->kv_dtype, p->v, i * h->v_stride), h->dim);
    }
    p->k = k, p->v = v, p->k_stride = p->v_stride = h->dim;
}

/* scores [KEYS, QUERIES] of the part from q_t = Q^T: scaled, but neither capped nor masked. */
static inline void part_scores(const Head *h, const Part *p, const float *q_t, float *scores)
{
    Operands o = {.a = p->k, .a_row = p->k_stride, .a_step = 1, .b = q_t + p->first * VF,
                  .b_row = QUERIES, .c = scores + p->first * VF, .c_row = QUERIES};
    product(o, p->to - p->from, p->last - p->first, h->dim, false);
}

/* Dropout's words for keys j … j + 3 (j a multiple of 4) and the queries of vector v. */
VEC_FN void part_words(const Head *h, const Part *p, int64_t v, int64_t j, vu words[4])
{
    vu position = (vu)vi_lanes() + (uint32_t)(p->i0 + v * VF);
    vu_philox(h->key0, h->key1, vu_set((uint32_t)(j / 4)), position, vu_set(h->op), vu_set(h->sample), words);
}

/* t [dim, QUERIES] = factor * x^T of `rows` rows; lanes up to the next whole vector become 0.
 * spare: VF * dim floats. */
static inline void pack_transposed(Dtype dtype, float *t, const void *x, int64_t stride, int64_t rows, int64_t dim,
                                   float factor, float *spare)
{
    for (int64_t i = 0; i < rows; i += VF) {
        const float *from = (const float *)x + i * stride;
        int64_t step = stride, d = 0;
        if (rows - i < VF || dtype != DTYPE_F32) {
            int64_t whole = at_most(rows - i, VF);
            for (int64_t r = 0; r < whole; r++)
                widen_row(dtype, spare + r * dim, typed_at(dtype, x, (i + r) * stride), dim);
            memset(spare + whole * dim, 0, (size_t)((VF - whole) * dim) * sizeof *spare);
            from = spare, step = dim;
        }
        for (; d + 4 <= dim; d += 4) {
            vf a[4];
            for (int64_t r = 0; r < 4; r++) a[r] = vf_get_fours(from + r * step + d, 4 * step) * factor;
            vf_transpose_fours(a);
            for (int64_t r = 0; r < 4; r++) vf_store(t + (d + r) * QUERIES + i, a[r]);
        }
        for (; d < dim; d++)
            for (int64_t r = 0; r < VF; r++) t[d * QUERIES + i + r] = from[r * step + d] * factor;
    }
}

/* x [rows, dim] at `stride` = (t [dim, QUERIES])^T. */
static inline void unpack_transposed(Dtype dtype, void *x, int64_t stride, const float *t, int64_t rows, int64_t dim,
                                     float *spare)
{
    for (int64_t i = 0; i < rows; i += VF) {
        bool direct = rows - i >= VF && dtype == DTYPE_F32;
        float *to = direct ? (float *)x + i * stride : spare;
        int64_t step = direct ? stride : dim, d = 0;
        for (; d + 4 <= dim; d += 4) {
            vf a[4];
            for (int64_t r = 0; r < 4; r++) a[r] = vf_load(t + (d + r) * QUERIES + i);
            vf_transpose_fours(a);
            for (int64_t r = 0; r < 4; r++) vf_put_fours(to + r * step + d, 4 * step, a[r]);
        }
        for (; d < dim; d++)
            for (int64_t r = 0; r < VF; r++) to[r * step + d] = t[d * QUERIES + i + r];
        for (int64_t r = 0; !direct && r < at_most(rows - i, VF); r++)
            narrow_row(dtype, typed_at(dtype, x, (i + r) * stride), spare + r * dim, dim);
    }
}

/* attention_row.c: query i alone: out [dim], *lse (lse may be NULL). work: dim in whole vectors, and len_k floats. */
void VARIANT(attention_row)(const Head *h, int64_t i, void *out, float *lse, float *work);

/* attention_backward.c */
void VARIANT(attention_backward)(Stream *s, Dtype dtype, void *dq, void *dk, void *dv, const void *dout, const void *q,
                                 const void *k, const void *v, const void *out, const float *lse,
                                 const AttentionShape *shape, const Dropout *dropout);

#endif
