/* Layer norm (Ba et al. 2016). A row is read from memory once and then from cache: mean, then variance around it (no
 * cancellation), then y. Backward, with xhat = (x - mean) rstd and g = dy weight:
 *   dx = rstd (g - mean(g) - xhat mean(g xhat)),  dweight = sum of dy xhat,  dbias = sum of dy over rows:
 * partial sums of CHUNK rows each, then added in the order of chunks.
 * Floor: forward 2*rows*hidden elements moved, backward 3 (4 where it adds), each once from memory. */
#include "kernels/cpu/families.h"
#include "kernels/cpu/typed.h"

enum { FORWARD_ELEMENTS = 1 << 14, CHUNK = 32, COLUMNS = 256 };

typedef struct Forward {
    Dtype dtype;
    void *y;
    float *mean, *rstd;
    const void *x, *weight, *bias;
    int64_t rows, hidden, rows_per_task;
    float eps;
} Forward;

typedef struct Backward {
    Dtype dtype;
    void *dx;
    float *dweight, *dbias, *partial; /* partial [chunks, 2, hidden] */
    const void *dy, *x, *weight;
    const float *mean, *rstd;
    int64_t rows, hidden;
    bool accumulate_dx, accumulate_params;
} Backward;

VEC_FN void forward_row(Dtype d, const Forward *a, int64_t row)
{
    const void *x = typed_at(d, a->x, row * a->hidden);
    void *y = typed_at(d, a->y, row * a->hidden);
    int64_t n = a->hidden, whole = n - n % (2 * VF);
    vf s0 = vf_zero(), s1 = vf_zero();
    for (int64_t i = 0; i < whole; i += 2 * VF) s0 += at(d, x, i, VF), s1 += at(d, x, i + VF, VF);
    for (int64_t i = whole; i < n; i += VF) s0 += at(d, x, i, n - i);
    float mean = vf_sum(s0 + s1) / (float)n;
    s0 = s1 = vf_zero();
    for (int64_t i = 0; i < whole; i += 2 * VF) {
        vf e0 = at(d, x, i, VF) - mean, e1 = at(d, x, i + VF, VF) - mean;
        s0 = vf_fma(e0, e0, s0), s1 = vf_fma(e1, e1, s1);
    }
    for (int64_t i = whole; i < n; i += VF) {
        vf e = vf_where(vi_lanes() < (int32_t)(n - i), at(d, x, i, n - i) - mean);
        s0 = vf_fma(e, e, s0);
    }
    float rstd = 1.0f / sqrtf(vf_sum(s0 + s1) / (float)n + a->eps);
    for (int64_t i = 0; i < n; i += VF) {
        vf v = (at(d, x, i, n - i) - mean) * rstd;
        put(d, y, i, vf_fma(v, at(d, a->weight, i, n - i), a->bias ? at(d, a->bias, i, n - i) : vf_zero()), n - i);
    }
    if (a->mean) a->mean[row] = mean, a->rstd[row] = rstd;
}

static void forward_rows(void *context, int64_t task, int thread)
{
    (void)thread;
    const Forward *a = context;
    int64_t from = task * a->rows_per_task, to = from + a->rows_per_task;
    for (int64_t row = from; row < to && row < a->rows; row++) {
#define LOOP(d) forward_row(d, a, row)
        switch (a->dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
    }
}

static void layer_norm_forward(Stream *s, Dtype dtype, void *y, float *mean, float *rstd, const void *x,
                               const void *weight, const void *bias, int64_t rows, int64_t hidden, float eps)
{
    Forward a = {.dtype = dtype, .y = y, .mean = mean, .rstd = rstd, .x = x, .weight = weight, .bias = bias, .rows =
        rows,
                 .hidden = hidden, .eps = eps};
    a.rows_per_task = 1 + FORWARD_ELEMENTS / (hidden + 1);
    threads_run(stream_threads(s), (rows + a.rows_per_task - 1) / a.rows_per_task, forward_rows, &a);
}

/* The row's part of dweight and dbias is added to (first: written to) dweight and dbias [hidden]. */
VEC_FN void backward_row(Dtype d, const Backward *a, int64_t row, float *dweight, float *dbias, bool first)
{
    const void *x = typed_at(d, a->x, row * a->hidden), *dy = typed_at(d, a->dy, row * a->hidden);
    void *dx = a->dx ? typed_at(d, a->dx, row * a->hidden) : NULL;
    int64_t n = a->hidden;
    float mean = a->mean[row], rstd = a->rstd[row];
    vf sum = vf_zero(), sum_xhat = vf_zero();
    for (int64_t i = 0; i < n; i += VF) {
        vf xhat = (at(d, x, i, n - i) - mean) * rstd, e = at(d, dy, i, n - i), g = e * at(d, a->weight, i, n - i);
        sum += g;
        sum_xhat = vf_fma(g, xhat, sum_xhat);
        vf_put(dweight + i, first ? e * xhat : vf_fma(e, xhat, vf_get(dweight + i, n - i)), n - i);
        vf_put(dbias + i, first ? e : e + vf_get(dbias + i, n - i), n - i);
    }
    if (!dx) return;
    float mean_g = vf_sum(sum) / (float)n, mean_g_xhat = vf_sum(sum_xhat) / (float)n;
    for (int64_t i = 0; i < n; i += VF) {
        vf xhat = (at(d, x, i, n - i) - mean) * rstd, g = at(d, dy, i, n - i) * at(d, a->weight, i, n - i);
        vf v = (g - mean_g - xhat * mean_g_xhat) * rstd;
        put(d, dx, i, a->accumulate_dx ? v + at(d, dx, i, n - i) : v, n - i);
    }
}

static void backward_chunk(void *context, int64_t task, int thread)
{
    (void)thread;
    const Backward *a = context;
    float *dweight = a->partial + task * 2 * a->hidden;
    for (int64_t row = task * CHUNK; row < (task + 1) * CHUNK && row < a->rows; row++) {
#define LOOP(d) backward_row(d, a, row, dweight, dweight + a->hidden, row == task * CHUNK)
        switch (a->dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
    }
}

/* Adds the chunks' partial sums, for COLUMNS columns. */
static void add_chunks(void *context, int64_t task, int thread)
{
    (void)thread;
    const Backward *a = context;
    int64_t to = (task + 1) * COLUMNS < a->hidden ? (task + 1) * COLUMNS : a->hidden,
            chunks = (a->rows + CHUNK - 1) / CHUNK;
    for (int64_t i = task * COLUMNS; i < to; i += VF) {
        vf w = vf_zero(), b = vf_zero();
        for (int64_t c = 0; c < chunks; c++) {
            w += vf_get(a->partial + c * 2 * a->hidden + i, to - i);
            b += vf_get(a->partial + (c * 2 + 1) * a->hidden + i, to - i);
        }
        if (a->dweight) vf_put(a->dweight + i, a->accumulate_params ? w + vf_get(a->dweight + i, to - i) : w, to - i);
        if (a->dbias) vf_put(a->dbias + i, a->accumulate_params ? b + vf_get(a->dbias + i, to - i) : b, to - i);
    }
}

static void layer_norm_backward(Stream *s, Dtype dtype, void *dx, float *dweight, float *dbias, const void *dy,
                                const void *x, const float *mean, const float *rstd, const void *weight, int64_t rows,
                                int64_t hidden, bool accumulate_dx, bool accumulate_params)
{
    int64_t chunks = (rows + CHUNK - 1) / CHUNK;
    Backward a = {.dtype = dtype, .dx = dx, .dweight = dweight, .dbias = dbias, .dy = dy, .x = x, .mean = mean, .rstd =
        rstd,
                  .weight = weight, .rows = rows, .hidden = hidden, .accumulate_dx = accumulate_dx,
                  .accumulate_params = accumulate_params};
    size_t bytes = (size_t)chunks * 2 * (size_t)hidden * sizeof(float);
    a.partial = stream_scratch(s, 0, 0, bytes);
    if (stream_failed(s) && bytes > 4096) return;
    threads_run(stream_threads(s), chunks, backward_chunk, &a);
    if (dweight || dbias) threads_run(stream_threads(s), (hidden + COLUMNS - 1) / COLUMNS, add_chunks, &a);
}

void VARIANT(layer_norm_install)(Kernels *k)
{
    k->layer_norm_forward = layer_norm_forward;
    k->layer_norm_backward = layer_norm_backward;
}
