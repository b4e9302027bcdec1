/* Attention forward (Dao et al. 2022, with queries in lanes: attention.h). A task is a block of queries of one head: it
 * walks the blocks of keys that any of them sees, with a running maximum m and sum l for each query (Milakov and
 * Gimelshein 2018), and out^T [dim, QUERIES]. A few queries against many keys (generation with cached keys) would leave
 * lanes empty: they go row by row, keys in lanes where it counts. */
#include "kernels/cpu/attention.h"

enum { FEW_QUERIES = VF / 4 };

typedef struct Forward {
    Stream *stream;
    Dtype dtype;
    void *out;
    float *lse;
    const void *q, *k, *v;
    const AttentionShape *shape;
    const Dropout *dropout;
    int64_t blocks;
} Forward;

/* A thread's memory. */
typedef struct Work { float *q_t, *out_t, *scores, *most, *sum, *spare, *keys; } Work;

/* Scores of vector v of the part become probabilities relative to the new maximum; out^T so far is scaled to it. */
VEC_FN void softmax_vector(const Head *h, const Part *p, int64_t v, const Work *w)
{
    int64_t keys = p->to - p->from;
    float *s = w->scores + v * VF;
    vf before = vf_load(w->most + v * VF), most = before;
    for (int64_t j = 0; j < keys; j++) {
        vf x = vf_load(s + j * QUERIES);
        if (h->softcap > 0) x = vf_tanh(x) * h->softcap;
        if (p->masked) x = vf_select(sees(h, p, v, p->from + j), x, vf_set(-INFINITY));
        if (h->softcap > 0 || p->masked) vf_store(s + j * QUERIES, x);
        most = vf_max(most, x);
    }
    vf base = vf_where(most > -INFINITY, most); /* nothing seen yet: any finite number will do */
    vf fade = vf_exp_negative(before - base), sum = vf_load(w->sum + v * VF) * fade;
    vf_store(w->most + v * VF, most);
    for (int64_t j = 0; j < keys; j += 4) {
        vu words[4] = {{0}};
        if (h->drop) part_words(h, p, v, p->from + j, words);
        for (int64_t r = 0; r < 4 && j + r < keys; r++) {
            vf x = vf_exp_negative(vf_load(s + (j + r) * QUERIES) - base);
            sum += x;
            vf_store(s + (j + r) * QUERIES, h->drop ? vf_keep(x, words[r], h->threshold) : x);
        }
    }
    vf_store(w->sum + v * VF, sum);
    vi same = before == base; /* usual from the second block on */
    bool all = true;
    for (int i = 0; i < VF; i++) all &= same[i] != 0;
    for (int64_t d = 0; !all && d < h->dim; d++) {
        float *o = w->out_t + d * QUERIES + v * VF;
        vf_store(o, vf_load(o) * fade);
    }
}

static void block(const Head *h, int64_t i0, int64_t count, void *out, int64_t out_stride, float *lse, const Work *w)
{
    int64_t from, to, vectors = up(count, VF) / VF;
    pack_transposed(h->dtype, w->q_t, typed_at(h->dtype, h->q, i0 * h->q_stride), h->q_stride, count, h->dim,
                    h->softcap > 0 ? h->scale / h->softcap : h->scale, w->spare);
    memset(w->out_t, 0, (size_t)(h->dim * QUERIES) * sizeof(float));
    for (int64_t i = 0; i < QUERIES; i++) w->most[i] = -INFINITY, w->sum[i] = 0;
    keys_seen(h, i0, count, &from, &to);
    for (int64_t j = from; j < to; j += KEYS) {
        Part p = part_of(h, i0, count, j, at_most(j + KEYS, to));
        if (p.first >= p.last) continue;
        part_keys(h, &p, w->keys);
        part_scores(h, &p, w->q_t, w->scores);
        for (int64_t v = p.first; v < p.last; v++) softmax_vector(h, &p, v, w);
        Operands o = {.a = p.v, .a_row = 1, .a_step = p.v_stride, .b = w->scores + p.first * VF,
                      .b_row = QUERIES, .c = w->out_t + p.first * VF, .c_row = QUERIES};
        product(o, h->dim, p.last - p.first, p.to - p.from, true);
    }
    for (int64_t v = 0; v < vectors; v++) {
        vf sum = vf_load(w->sum + v * VF), most = vf_load(w->most + v * VF);
        vf factor = vf_select(sum == 0.0f, vf_zero(), h->keep_scale / sum);
        for (int64_t d = 0; d < h->dim; d++) {
            float *o = w->out_t + d * QUERIES + v * VF;
            vf_store(o, vf_load(o) * factor);
        }
        if (lse) vf_put(lse + i0 + v * VF, most + vf_log(sum), count - v * VF);
    }
    unpack_transposed(h->dtype, typed_at(h->dtype, out, i0 * out_stride), out_stride, w->out_t, count, h->dim,
                      w->spare);
}

static Work work_of(Stream *s, Dtype dtype, int thread, int64_t dim, int64_t len_k)
{
    int64_t floats = 2 * dim * QUERIES + KEYS * QUERIES + 2 * QUERIES + VF * dim;
    if (dtype != DTYPE_F32) floats += 2 * KEYS * dim;
    int64_t row = up(dim, VF) + len_k; /* attention_row's */
    float *p = stream_scratch(s, thread, 0, (size_t)at_least(floats, row) * sizeof *p);
    Work w = {.q_t = p, .out_t = p + dim * QUERIES, .scores = p + 2 * dim * QUERIES};
    w.most = w.scores + KEYS * QUERIES, w.sum = w.most + QUERIES, w.spare = w.sum + QUERIES;
    w.keys = w.spare + VF * dim;
    return w;
}

static void forward_task(void *context, int64_t task, int thread)
{
    const Forward *a = context;
    const AttentionShape *shape = a->shape;
    int64_t i0 = task % a->blocks * QUERIES;
    int32_t head = (int32_t)(task / a->blocks % shape->heads), sequence = (int32_t)(task / a->blocks / shape->heads);
    int64_t row = shape->cu_seqlens_q[sequence], rows = shape->cu_seqlens_q[shape->num_seqs];
    Head h = head_of(a->dtype, shape, a->dropout, sequence, head, a->q, a->k, a->v);
    if (i0 >= h.len_q) return;
    int64_t count = at_most(QUERIES, h.len_q - i0);
    void *out = typed_at(a->dtype, a->out, row * shape->out_stride + head * h.dim);
    float *lse = a->lse ? a->lse + head * rows + row : NULL;
    Work w = work_of(a->stream, a->dtype, thread, h.dim, h.len_k);
    if (stream_failed(a->stream)) return;
    if (count > FEW_QUERIES) {
        block(&h, i0, count, out, shape->out_stride, lse, &w);
        return;
    }
    for (int64_t i = i0; i < i0 + count; i++)
        VARIANT(attention_row)(&h, i, typed_at(a->dtype, out, i * shape->out_stride), lse ? lse + i : NULL, w.q_t);
}

static void attention_forward(Stream *s, Dtype dtype, void *out, float *lse, const void *q, const void *k,
                              const void *v, const AttentionShape *shape, const Dropout *dropout)
{
    Forward a = {.stream = s, .dtype = dtype, .out = out, .lse = lse, .q = q, .k = k, .v = v, .shape = shape, .dropout
        = dropout,
                 .blocks = up(shape->max_seqlen_q, QUERIES) / QUERIES};
    threads_run(stream_threads(s), a.blocks * shape->heads * shape->num_seqs, forward_task, &a);
}

void VARIANT(attention_install)(Kernels *k)
{
    k->attention_forward = attention_forward;
    k->attention_backward = VARIANT(attention_backward);
}
