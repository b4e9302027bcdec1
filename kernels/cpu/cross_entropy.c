/* Cross entropy over logits, and the fused end of a model that never holds the logits of a batch.
 *
 * linear_cross_entropy gathers the rows that have a label, and for each 256 of them makes their logits, turns these
 * into the gradient in place, and uses that for dx and dW while it is warm: three products of one chunk, memory for one
 * chunk of logits. Ignored rows cost nothing. With p = softmax(z), e = smoothing, L = logsumexp(z):
 *   loss = (1-e)(L - z_y) + e (L - mean z) + z_loss L^2
 *   dloss/dz_j = p_j (1 + 2 z_loss L) - (1-e)[j = y] - e/vocab,   and times 1 - (z_j/softcap)^2 where z = softcap
 *   tanh(logit/softcap)
 * Logits and their gradient are f32 whatever the dtypes: nothing of them is kept.
 * Floor: 6*rows*hidden*vocab FLOPs (2 without gradients, 4 with a frozen weight).
 * Reference: torch.nn.functional.cross_entropy, Gemma's final_logit_softcapping, PaLM's z-loss. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/families.h"
#include "kernels/cpu/typed.h"
#include "kernels/gemm.h"

enum { CHUNK = 256, FLUSH = 4096, IGNORED = -100 };

typedef struct Loss {
    float *row_loss, *gradient; /* gradient NULL: none; may be logits */
    const float *logits;
    const int32_t *labels, *index; /* index NULL: row i's label and loss are at i, else at index[i] */
    int64_t vocab, stride, rows_per_task, rows;
    float scale, smoothing, softcap, z_loss;
    Stream *scratch; /* of whose threads a row of logits that may not be written is capped; NULL: they are written */
} Loss;

/* NaN if there is one: softmax alone would hide it, and a run that has diverged must say so. */
static float max_of(const float *z, int64_t n)
{
    vf top[4];
    vi nan = vi_set(0);
    for (int l = 0; l < 4; l++) top[l] = vf_set(-INFINITY);
    int64_t i = 0;
    for (; i + 4 * VF <= n; i += 4 * VF)
        for (int l = 0; l < 4; l++) {
            vf v = vf_load(z + i + l * VF);
            top[l] = vf_max(top[l], v);
            nan |= v != v;
        }
    float most = vf_largest(vf_max(vf_max(top[0], top[1]), vf_max(top[2], top[3]))), tail = 0;
    for (; i < n; i++) {
        most = z[i] > most ? z[i] : most;
        tail += z[i] != z[i];
    }
    return tail + vf_sum(vf_where(nan, vf_set(1))) > 0 ? NAN : most;
}

/* Sums are kept in four vectors and every FLUSH elements go to a double: rows are long. */
static double sum_of(const float *z, int64_t n)
{
    double total = 0;
    for (int64_t start = 0; start < n; start += FLUSH) {
        vf sum[4] = {0};
        int64_t end = start + FLUSH < n ? start + FLUSH : n;
        for (int64_t i = start; i < end; i += 4 * VF)
            for (int l = 0; l < 4; l++)
                if (i + l * VF < end) sum[l] += vf_get(z + i + l * VF, end - i - l * VF);
        total += vf_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
    return total;
}

/* Sum of exp(z - max), the terms kept in p, which may be z; p NULL: not kept. */
VEC_FN double exp_sum_to(float *p, const float *z, float max, int64_t n)
{
    double total = 0;
    for (int64_t start = 0; start < n; start += FLUSH) {
        vf sum[4] = {0}, shift = vf_set(max);
        int64_t i = start, end = start + FLUSH < n ? start + FLUSH : n;
        for (; i + 4 * VF <= end; i += 4 * VF)
            for (int l = 0; l < 4; l++) {
                vf e = vf_exp_negative(vf_load(z + i + l * VF) - shift);
                if (p) vf_store(p + i + l * VF, e);
                sum[l] += e;
            }
        for (; i < end; i += VF) {
            vf e = vf_exp_negative(vf_get(z + i, end - i) - shift);
            if (p) vf_put(p + i, e, end - i);
            sum[0] += end - i >= VF ? e : vf_where(vi_lanes() < (int32_t)(end - i), e);
        }
        total += vf_sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    }
    return total;
}

static double exp_sum(const float *z, float max, int64_t n) { return exp_sum_to(NULL, z, max, n); }
static double exp_sum_keep(float *p, const float *z, float max, int64_t n) { return exp_sum_to(p, z, max, n); }

/* y may be z */
static void softcap_row(float *y, const float *z, float cap, int64_t n)
{
    for (int64_t j = 0; j < n; j += VF) vf_put(y + j, cap * vf_tanh(vf_get(z + j, n - j) / cap), n - j);
}

static float one_loss(const Loss *l, float *g, const float *z, int32_t label)
{
    int64_t n = l->vocab;
    float z_label = z[label], max = max_of(z, n), mean = l->smoothing != 0 ? (float)(sum_of(z, n) / (double)n) : 0;
    double sum = g && l->softcap == 0 ? exp_sum_keep(g, z, max, n) : exp_sum(z, max, n);
    double lse = max + log(sum), e = l->smoothing;
    double loss = (1 - e) * (lse - z_label) + e * (lse - mean) + l->z_loss * lse * lse;
    if (!g) return (float)loss;

    float of_p = (float)(l->scale * (1 + 2 * l->z_loss * lse) / sum), of_all = (float)(l->scale * e / (double)n);
    float of_label = (float)(l->scale * (1 - e));
    if (l->softcap == 0) {
        for (int64_t j = 0; j < n; j++) g[j] = g[j] * of_p - of_all;
        g[label] -= of_label;
    } else {
        float slope = 1 - (z_label / l->softcap) * (z_label / l->softcap), cap = 1 / l->softcap;
        for (int64_t j = 0; j < n; j += VF) {
            vf zj = vf_get(z + j, n - j), t = zj * cap;
            vf_put(g + j, (vf_exp_negative(zj - max) * of_p - of_all) * (1 - t * t), n - j);
        }
        g[label] -= of_label * slope;
    }
    return (float)loss;
}

/* Row i's logits after the cap: in the gradient's row, or in place where the chunk is ours, or in scratch. NULL: no
 * memory. */
static const float *capped(const Loss *l, int64_t i, float *g, int thread)
{
    const float *z = l->logits + i * l->stride;
    if (l->softcap == 0) return z;
    float *y = g;
    if (!y) y = l->scratch ? stream_scratch(l->scratch, thread, 0, (size_t)l->vocab * sizeof *y) : (float *)z;
    if (l->scratch && stream_failed(l->scratch)) return NULL;
    softcap_row(y, z, l->softcap, l->vocab);
    return y;
}

static void loss_rows(void *context, int64_t task, int thread)
{
    const Loss *l = context;
    int64_t end = (task + 1) * l->rows_per_task < l->rows ? (task + 1) * l->rows_per_task : l->rows;
    for (int64_t i = task * l->rows_per_task; i < end; i++) {
        int64_t at = l->index ? l->index[i] : i;
        float *g = l->gradient ? l->gradient + i * l->stride : NULL;
        if (l->labels[at] == IGNORED) {
            l->row_loss[at] = 0;
            if (g) memset(g, 0, (size_t)l->vocab * sizeof *g);
            continue;
        }
        const float *z = capped(l, i, g, thread);
        if (z) l->row_loss[at] = one_loss(l, g, z, l->labels[at]);
    }
}

static void losses(Stream *s, Loss *l)
{
    l->rows_per_task = 1 + 8192 / (l->vocab + 1);
    threads_run(stream_threads(s), (l->rows + l->rows_per_task - 1) / l->rows_per_task, loss_rows, l);
}

static void cross_entropy(Stream *s, float *row_loss, float *dlogits, const float *logits, const int32_t *labels,
                          int64_t rows, int64_t vocab, float scale, float smoothing, float softcap, float z_loss)
{
    Loss l = {.row_loss = row_loss, .gradient = dlogits, .logits = logits, .labels = labels, .vocab = vocab,
              .stride = vocab, .rows = rows, .scale = scale, .smoothing = smoothing, .softcap = softcap,
              .z_loss = z_loss, .scratch = s};
    losses(s, &l);
}

/* The buffers of linear_cross_entropy: scratch of thread 0. */
typedef struct Chunk {
    float *logits, *dx; /* [CHUNK, stride], [CHUNK, hidden] */
    void *x;            /* [CHUNK, hidden] of dtype */
    int32_t *index;     /* the rows that have a label */
    int64_t count;      /* of index */
} Chunk;

static bool chunk_make(Stream *s, Dtype dtype, Chunk *c, Loss *l, const int32_t *labels, int64_t rows, int64_t hidden,
                       bool gradient)
{
    c->index = stream_scratch(s, 0, 3, (size_t)rows * sizeof *c->index);
    if (stream_failed(s)) return false;
    c->count = 0;
    for (int64_t i = 0; i < rows; i++) {
        if (labels[i] != IGNORED) c->index[c->count++] = (int32_t)i;
        else l->row_loss[i] = 0;
    }
    /* Aligned rows at a stride that is no power of two: those fall into one set of the cache when a product goes down a
     * column. */
    l->stride = (l->vocab + 15) / 16 * 16 + 16;
    size_t most = (size_t)(c->count < CHUNK ? c->count : CHUNK);
    c->logits = stream_scratch(s, 0, 0, most * (size_t)l->stride * sizeof(float));
    c->x = stream_scratch(s, 0, 1, most * (size_t)hidden * dtype_bytes(dtype));
    c->dx = gradient ? stream_scratch(s, 0, 2, most * (size_t)hidden * sizeof(float)) : NULL;
    return !stream_failed(s);
}

/* Rows [first, first + n) of the index: of x into the chunk, of the chunk's dx to dx. */
static void take_rows(Dtype dtype, const Chunk *c, const void *x, int64_t first, int64_t n, int64_t width)
{
    size_t bytes = (size_t)width * dtype_bytes(dtype);
    for (int64_t i = 0; i < n; i++)
        memcpy((char *)c->x + (size_t)i * bytes, (const char *)x + (size_t)c->index[first + i] * bytes, bytes);
}

static void give_rows(Dtype dtype, const Chunk *c, void *dx, int64_t first, int64_t n, int64_t width)
{
    for (int64_t i = 0; i < n; i++) {
#define LOOP(d) narrow_span(d, typed_at(d, dx, c->index[first + i] * width), c->dx + i * width, width)
        switch (dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
    }
}

static void linear_cross_entropy(Stream *s, Dtype dtype, Dtype wdtype, float *row_loss, void *dx, float *dweight,
                                 const void *x, const void *weight, const int32_t *labels, int64_t rows, int64_t hidden,
                                 int64_t vocab, float scale, float smoothing, float softcap, float z_loss,
                                 bool accumulate)
{
    Chunk c;
    Loss l = {.row_loss = row_loss, .labels = labels, .vocab = vocab, .scale = scale, .smoothing = smoothing,
              .softcap = softcap, .z_loss = z_loss};
    if (!chunk_make(s, dtype, &c, &l, labels, rows, hidden, dx != NULL)) return;
    if (dx && c.count < rows) VARIANT(basic_zero)(s, dx, (size_t)(rows * hidden) * dtype_bytes(dtype));
    if (dx && dweight && !accumulate && !c.count)
        VARIANT(basic_zero)(s, dweight, (size_t)(vocab * hidden) * sizeof *dweight);

    GemmOperand of_x = {c.x, dtype, false, hidden}, w = {weight, wdtype, false, hidden}, turned = w;
    turned.trans = true;
    for (int64_t first = 0; first < c.count; first += CHUNK) {
        int64_t n = c.count - first < CHUNK ? c.count - first : CHUNK;
        GemmOperand logits = {c.logits, DTYPE_F32, false, l.stride};
        take_rows(dtype, &c, x, first, n, hidden);
        gemm_typed(s, n, vocab, hidden, of_x, turned, (GemmResult){c.logits, DTYPE_F32, l.stride, false, NULL, NULL});
        l.logits = c.logits, l.gradient = dx ? c.logits : NULL, l.index = c.index + first, l.rows = n;
        losses(s, &l);
        if (!dx) continue;
        gemm_typed(s, n, hidden, vocab, logits, w, (GemmResult){c.dx, DTYPE_F32, hidden, false, NULL, NULL});
        give_rows(dtype, &c, dx, first, n, hidden);
        logits.trans = true;
        if (dweight)
            gemm_typed(s, vocab, hidden, n, logits, of_x,
                       (GemmResult){dweight, DTYPE_F32, hidden, accumulate || first, NULL, NULL});
    }
}

void VARIANT(cross_entropy_install)(Kernels *k)
{
    k->cross_entropy = cross_entropy;
    k->linear_cross_entropy = linear_cross_entropy;
}
