/* RMS norm (Zhang and Sennrich 2019): y = x rstd w, w = weight + offset. A row is read from memory once and then from
 * cache. Backward, with xhat = x rstd and g = dy w:
 *   dx = rstd (g - xhat mean(g xhat)),  dweight = sum of dy xhat over rows:
 * partial sums of CHUNK rows each, then added in the order of chunks.
 * Floor: forward 2*rows*hidden elements moved, backward 3 (4 where it adds), each once from memory. */
#include "kernels/cpu/families.h"
#include "kernels/cpu/typed.h"

enum { FORWARD_ELEMENTS = 1 << 14, CHUNK = 32, COLUMNS = 256 };

typedef struct Forward {
    Dtype dtype;
    void *y;
    float *rstd;
    const void *x, *weight;
    int64_t rows, hidden, rows_per_task;
    float eps, offset;
} Forward;

typedef struct Backward {
    Dtype dtype;
    void *dx;
    float *dweight, *partial; /* partial [chunks, hidden] */
    const void *dy, *x, *weight;
    const float *rstd;
    int64_t rows, hidden;
    float offset;
    bool accumulate_dx, accumulate_params;
} Backward;

VEC_FN void forward_row(Dtype d, const Forward *a, int64_t row)
{
    const void *x = typed_at(d, a->x, row * a->hidden);
    void *y = typed_at(d, a->y, row * a->hidden);
    int64_t n = a->hidden, whole = n - n % (2 * VF);
    vf s0 = vf_zero(), s1 = vf_zero();
    for (int64_t i = 0; i < whole; i += 2 * VF) {
        vf x0 = at(d, x, i, VF), x1 = at(d, x, i + VF, VF);
        s0 = vf_fma(x0, x0, s0), s1 = vf_fma(x1, x1, s1);
    }
    for (int64_t i = whole; i < n; i += VF) {
        vf v = at(d, x, i, n - i);
        s0 = vf_fma(v, v, s0);
    }
    float rstd = 1.0f / sqrtf(vf_sum(s0 + s1) / (float)n + a->eps);
    for (int64_t i = 0; i < n; i += VF)
        put(d, y, i, at(d, x, i, n - i) * rstd * (at(d, a->weight, i, n - i) + a->offset), n - i);
    if (a->rstd) a->rstd[row] = rstd;
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

static void rms_norm_forward(Stream *s, Dtype dtype, void *y, float *rstd, const void *x, const void *weight,
                             int64_t rows, int64_t hidden, float eps, float offset)
{
    Forward a = {.dtype = dtype, .y = y, .rstd = rstd, .x = x, .weight = weight, .rows = rows, .hidden = hidden, .eps =
        eps,
                 .offset = offset};
    a.rows_per_task = 1 + FORWARD_ELEMENTS / (hidden + 1);
    threads_run(stream_threads(s), (rows + a.rows_per_task - 1) / a.rows_per_task, forward_rows, &a);
}

/* The row's part of dweight is added to (first: written to) dweight [hidden]. */
VEC_FN void backward_row(Dtype d, const Backward *a, int64_t row, float *dweight, bool first)
{
    const void *x = typed_at(d, a->x, row * a->hidden), *dy = typed_at(d, a->dy, row * a->hidden);
    void *dx = a->dx ? typed_at(d, a->dx, row * a->hidden) : NULL;
    int64_t n = a->hidden;
    float rstd = a->rstd[row];
    vf sum = vf_zero();
    for (int64_t i = 0; i < n; i += VF) {
        vf xhat = at(d, x, i, n - i) * rstd, e = at(d, dy, i, n - i);
        sum = vf_fma(e * (at(d, a->weight, i, n - i) + a->offset), xhat, sum);
        vf_put(dweight + i, first ? e * xhat : vf_fma(e, xhat, vf_get(dweight + i, n - i)), n - i);
    }
    if (!dx) return;
    float mean_g_xhat = vf_sum(sum) / (float)n;
    for (int64_t i = 0; i < n; i += VF) {
        vf xhat = at(d, x, i, n - i) * rstd, g = at(d, dy, i, n - i) * (at(d, a->weight, i, n - i) + a->offset);
        vf v = (g - xhat * mean_g_xhat) * rstd;
        put(d, dx, i, a->accumulate_dx ? v + at(d, dx, i, n - i) : v, n - i);
    }
}

static void backward_chunk(void *context, int64_t task, int thread)
{
    (void)thread;
    const Backward *a = context;
    for (int64_t row = task * CHUNK; row < (task + 1) * CHUNK && row < a->rows; row++) {
#define LOOP(d) backward_row(d, a, row, a->partial + task * a->hidden, row == task * CHUNK)
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
        vf w = vf_zero();
        for (int64_t c = 0; c < chunks; c++) w += vf_get(a->partial + c * a->hidden + i, to - i);
        vf_put(a->dweight + i, a->accumulate_params ? w + vf_get(a->dweight + i, to - i) : w, to - i);
    }
}

static void rms_norm_backward(Stream *s, Dtype dtype, void *dx, float *dweight, const void *dy, const void *x,
                              const float *rstd, const void *weight, int64_t rows, int64_t hidden, float offset,
                              bool accumulate_dx, bool accumulate_params)
{
    int64_t chunks = (rows + CHUNK - 1) / CHUNK;
    Backward a = {.dtype = dtype, .dx = dx, .dweight = dweight, .dy = dy, .x = x, .rstd = rstd, .weight = weight, .rows
        = rows,
                  .hidden = hidden, .offset = offset, .accumulate_dx = accumulate_dx,
                  .accumulate_params = accumulate_params};
    size_t bytes = (size_t)chunks * (size_t)hidden * sizeof(float);
    a.partial = stream_scratch(s, 0, 0, bytes);
    if (stream_failed(s) && bytes > 4096) return;
    threads_run(stream_threads(s), chunks, backward_chunk, &a);
    if (dweight) threads_run(stream_threads(s), (hidden + COLUMNS - 1) / COLUMNS, add_chunks, &a);
}

void VARIANT(rms_norm_install)(Kernels *k)
{
    k->rms_norm_forward = rms_norm_forward;
    k->rms_norm_backward = rms_norm_backward;
}
