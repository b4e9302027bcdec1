/* Attention backward (Dao et al. 2022, with queries in lanes: attention.h). Probabilities are made again from lse; with
 * D = sum(dout * out):
 *   dV = P^T dout,  dP = dout V^T,  dS = P (dP - D),  dQ = scale dS K,  dK = scale dS^T Q
 * A task owns one key/value head of one sequence, so nothing is shared: it walks its query heads, their blocks of
 * queries, and the keys that these see, always in this order. dK and dV are summed in scratch (rows of whole vectors)
 * and written once. */
#include "kernels/cpu/attention.h"

typedef struct Backward {
    Stream *stream;
    Dtype dtype;
    void *dq, *dk, *dv;
    const void *dout, *q, *k, *v, *out;
    const float *lse;
    const AttentionShape *shape;
    const Dropout *dropout;
} Backward;

/* A thread's memory. _t: [dim, QUERIES]; _rows: [QUERIES, width], width = dim in whole vectors, 0 beyond dim. */
typedef struct Work {
    int64_t width;
    float *q_t, *dout_t, *dq_t, *q_rows, *dout_rows, *p, *ds, *lse, *delta, *spare, *dk, *dv, *k, *v; /* k, v [len_k,
              dim]: widened */
} Work;

static Work work_of(Stream *s, Dtype dtype, int thread, int64_t dim, int64_t len_k)
{
    int64_t width = up(dim, VF), widened = dtype == DTYPE_F32 ? 0 : len_k * dim;
    int64_t floats =
        3 * dim * QUERIES + 2 * QUERIES * width + 2 * KEYS * QUERIES + 2 * QUERIES + VF * dim + 2 * len_k * width +
        2 * widened;
    float *at = stream_scratch(s, thread, 0, (size_t)floats * sizeof *at);
    Work w = {.width = width};
    struct {
        float **array;
        int64_t n;
    } parts[] = {
        {&w.q_t, dim * QUERIES}, {&w.dout_t, dim * QUERIES}, {&w.dq_t, dim * QUERIES}, {&w.q_rows, QUERIES * width},
        {&w.dout_rows, QUERIES * width}, {&w.p, KEYS * QUERIES}, {&w.ds, KEYS * QUERIES}, {&w.lse, QUERIES},
        {&w.delta, QUERIES}, {&w.spare, VF * dim}, {&w.dk, len_k * width}, {&w.dv, len_k * width},
        {&w.k, widened}, {&w.v, widened},
    };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) *parts[i].array = at, at += parts[i].n;
    return w;
}

static void pack_rows(Dtype dtype, float *rows, int64_t width, const void *x, int64_t stride, int64_t count, int64_t
    dim)
{
#define LOOP(type)                      \
    for (int64_t i = 0; i < count; i++) \
        for (int64_t d = 0; d < dim; d += VF) vf_store(rows + i * width + d, at(type, x, i * stride + d, dim - d))
    switch (dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
}

/* The dot product of row i of dout and out. */
VEC_FN float delta_of(Dtype type, const float *dout, const void *out, int64_t dim)
{
    vf sum = vf_zero();
    for (int64_t d = 0; d < dim; d += VF) sum = vf_fma(vf_load(dout + d), at(type, out, d, dim - d), sum);
    return vf_sum(sum);
}

/* delta[i] = sum over d of dout * out; lse, with what makes P zero where nothing is seen or no query is. */
static void pack_statistics(Dtype dtype, const Work *w, const void *out, int64_t out_stride, const float *lse,
                            int64_t count, int64_t dim)
{
    for (int64_t i = 0; i < QUERIES; i++) {
        w->delta[i] = 0;
#define LOOP(d) w->delta[i] = delta_of(d, w->dout_rows + i * w->width, typed_at(d, out, i * out_stride), dim)
        if (i < count) switch (dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
        w->lse[i] = i < count && lse[i] != -INFINITY ? lse[i] : INFINITY;
    }
}

/* Of vector v of the part: p holds scores and becomes P after dropout, ds holds dP and becomes dS * scale. */
VEC_FN void gradient_vector(const Head *h, const Part *p, int64_t v, const Work *w)
{
    int64_t keys = p->to - p->from;
    vf lse = vf_load(w->lse + v * VF), delta = vf_load(w->delta + v * VF);
    for (int64_t j = 0; j < keys; j += 4) {
        vu words[4] = {{0}};
        if (h->drop) part_words(h, p, v, p->from + j, words);
        for (int64_t r = 0; r < 4 && j + r < keys; r++) {
            float *at_p = w->p + (j + r) * QUERIES + v * VF, *at_ds = w->ds + (j + r) * QUERIES + v * VF;
            vf s = vf_load(at_p), dp = vf_load(at_ds), slope = vf_set(h->scale);
            if (h->softcap > 0) {
                vf t = vf_tanh(s);
                s = t * h->softcap, slope = slope * vf_fma(-t, t, vf_set(1));
            }
            vf x = vf_exp_negative(s - lse), kept = x;
            if (p->masked) x = kept = vf_where(sees(h, p, v, p->from + j + r), x);
            if (h->drop)
                kept = vf_keep(x * h->keep_scale, words[r], h->threshold),
                dp = vf_keep(dp * h->keep_scale, words[r], h->threshold);
            vf_store(at_p, kept);
            vf_store(at_ds, x * (dp - delta) * slope);
        }
    }
}

static void part_backward(const Head *h, const Part *p, const Work *w)
{
    int64_t keys = p->to - p->from, vectors = p->last - p->first, lane = p->first * VF;
    int64_t queries = at_most(p->last * VF, p->count) - lane;
    part_scores(h, p, w->q_t, w->p);
    Operands dp = {.a = p->v, .a_row = p->v_stride, .a_step = 1, .b = w->dout_t + lane,
                   .b_row = QUERIES, .c = w->ds + lane, .c_row = QUERIES};
    product(dp, keys, vectors, h->dim, false);
    for (int64_t v = p->first; v < p->last; v++) gradient_vector(h, p, v, w);
    Operands dv = {.a = w->p + lane, .a_row = QUERIES, .a_step = 1, .b = w->dout_rows + lane * w->width,
                   .b_row = w->width, .c = w->dv + p->from * w->width, .c_row = w->width};
    product(dv, keys, w->width / VF, queries, true);
    Operands dk = {.a = w->ds + lane, .a_row = QUERIES, .a_step = 1, .b = w->q_rows + lane * w->width,
                   .b_row = w->width, .c = w->dk + p->from * w->width, .c_row = w->width};
    product(dk, keys, w->width / VF, queries, true);
    Operands dq = {.a = p->k, .a_row = 1, .a_step = p->k_stride, .b = w->ds + lane,
                   .b_row = QUERIES, .c = w->dq_t + lane, .c_row = QUERIES};
    product(dq, h->dim, vectors, keys, true);
}

/* All queries of one head: writes its dq, adds to w->dk and w->dv. */
static void head_backward(const Head *h, void *dq, const void *dout, const void *out, int64_t out_stride,
                          const float *lse, const Work *w)
{
    Dtype type = h->dtype;
    float scale = h->softcap > 0 ? h->scale / h->softcap : h->scale;
    for (int64_t i0 = 0; i0 < h->len_q; i0 += QUERIES) {
        int64_t from, to, count = at_most(QUERIES, h->len_q - i0);
        const void *q = typed_at(type, h->q, i0 * h->q_stride), *dout_block = typed_at(type, dout, i0 * out_stride);
        pack_transposed(type, w->q_t, q, h->q_stride, count, h->dim, scale, w->spare);
        pack_transposed(type, w->dout_t, dout_block, out_stride, count, h->dim, 1, w->spare);
        pack_rows(type, w->q_rows, w->width, q, h->q_stride, count, h->dim);
        pack_rows(type, w->dout_rows, w->width, dout_block, out_stride, count, h->dim);
        pack_statistics(type, w, typed_at(type, out, i0 * out_stride), out_stride, lse + i0, count, h->dim);
        memset(w->dq_t, 0, (size_t)(h->dim * QUERIES) * sizeof(float));
        keys_seen(h, i0, count, &from, &to);
        for (int64_t j = from; j < to; j += KEYS) {
            Part p = part_of(h, i0, count, j, at_most(j + KEYS, to));
            if (p.first >= p.last) continue;
            part_keys(h, &p, NULL);
            part_backward(h, &p, w);
        }
        unpack_transposed(type, typed_at(type, dq, i0 * h->q_stride), h->q_stride, w->dq_t, count, h->dim, w->spare);
    }
}

static void give_rows(Dtype dtype, void *x, int64_t stride, const float *rows, int64_t width, int64_t count, int64_t
    dim)
{
    for (int64_t i = 0; i < count; i++) narrow_row(dtype, typed_at(dtype, x, i * stride), rows + i * width, dim);
}

/* Keys and values of the head, once for all that read them. */
static void widen_keys(Head *h, const Work *w)
{
    if (h->kv_dtype == DTYPE_F32) return;
    for (int64_t i = 0; i < h->len_k; i++) {
        widen_row(h->kv_dtype, w->k + i * h->dim, typed_at(h->kv_dtype, h->k, i * h->k_stride), h->dim);
        widen_row(h->kv_dtype, w->v + i * h->dim, typed_at(h->kv_dtype, h->v, i * h->v_stride), h->dim);
    }
}

/* What widen_keys has made, for another query head that shares it. */
static void use_widened(Head *h, const Work *w)
{
    if (h->kv_dtype == DTYPE_F32) return;
    h->k = w->k, h->v = w->v, h->k_stride = h->v_stride = h->dim, h->kv_dtype = DTYPE_F32;
}

static void backward_task(void *context, int64_t task, int thread)
{
    const Backward *a = context;
    const AttentionShape *shape = a->shape;
    int32_t kv_head = (int32_t)(task % shape->kv_heads), sequence = (int32_t)(task / shape->kv_heads),
            group = shape->heads / shape->kv_heads;
    int64_t row_q = shape->cu_seqlens_q[sequence], row_k = shape->cu_seqlens_k[sequence],
            rows = shape->cu_seqlens_q[shape->num_seqs];
    int64_t len_k = shape->cu_seqlens_k[sequence + 1] - row_k, dim = shape->head_dim;
    Work w = work_of(a->stream, a->dtype, thread, dim, len_k);
    if (stream_failed(a->stream)) return;
    memset(w.dk, 0, (size_t)(len_k * w.width) * sizeof(float));
    memset(w.dv, 0, (size_t)(len_k * w.width) * sizeof(float));
    for (int32_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        Head h = head_of(a->dtype, shape, a->dropout, sequence, head, a->q, a->k, a->v);
        int64_t at_q = row_q * shape->q_stride + head * dim, at_out = row_q * shape->out_stride + head * dim;
        if (head == kv_head * group) widen_keys(&h, &w);
        use_widened(&h, &w);
        head_backward(&h, typed_at(a->dtype, a->dq, at_q), typed_at(a->dtype, a->dout, at_out),
                      typed_at(a->dtype, a->out, at_out), shape->out_stride, a->lse + head * rows + row_q, &w);
    }
    give_rows(a->dtype, typed_at(a->dtype, a->dk, row_k * shape->k_stride + kv_head * dim), shape->k_stride, w.dk,
              w.width, len_k, dim);
    give_rows(a->dtype, typed_at(a->dtype, a->dv, row_k * shape->v_stride + kv_head * dim), shape->v_stride, w.dv,
              w.width, len_k, dim);
}

void VARIANT(attention_backward)(Stream *s, Dtype dtype, void *dq, void *dk, void *dv, const void *dout, const void *q,
                                 const void *k, const void *v, const void *out, const float *lse,
                                 const AttentionShape *shape, const Dropout *dropout)
{
    Backward a = {.stream = s, .dtype = dtype, .dq = dq, .dk = dk, .dv = dv, .dout = dout, .q = q, .k = k, .v = v, .out
        = out,
                  .lse = lse, .shape = shape, .dropout = dropout};
    threads_run(stream_threads(s), (int64_t)shape->kv_heads * shape->num_seqs, backward_task, &a);
}
