/* y = residual + dropout(x) and its gradient. The mask is made again each time from philox.h's counters, 4 * VF columns
 * at once: about as fast as memory can bring x, and nothing is stored. Rows come sequence by sequence, so a task looks
 * its first one up and then walks on.
 * Floor: 2*rows*cols elements moved, 3 with a residual. */
#include <string.h>

#include "kernels/cpu/families.h"
#include "kernels/cpu/typed.h"

enum { ELEMENTS = 1 << 14 };

typedef struct Mask {
    Dtype dtype;
    void *y;
    const void *x, *residual; /* residual may be NULL or y */
    int64_t rows, cols, rows_per_task;
    const Dropout *dropout; /* NULL: x is copied */
    uint32_t threshold;
    float scale;
} Mask;

VEC_FN void row(Dtype d, const Mask *a, int64_t r, uint32_t position, uint32_t sample)
{
    const Dropout *n = a->dropout;
    const void *x = typed_at(d, a->x, r * a->cols), *residual = a->residual ? typed_at(d, a->residual, r * a->cols) :
        NULL;
    void *y = typed_at(d, a->y, r * a->cols);
    for (int64_t c = 0; c < a->cols; c += 4 * VF) {
        vu words[4];
        vu_philox_row(n->seed, PHILOX_DROPOUT | n->update << 8, (uint32_t)(c / 4), position, n->op, sample, words);
        for (int64_t w = 0, i = c; w < 4 && i < a->cols; w++, i += VF) {
            vf v = vf_keep(at(d, x, i, a->cols - i) * a->scale, words[w], a->threshold);
            put(d, y, i, residual ? v + at(d, residual, i, a->cols - i) : v, a->cols - i);
        }
    }
}

VEC_FN void plain_row(Dtype d, const Mask *a, int64_t r)
{
    const void *x = typed_at(d, a->x, r * a->cols), *residual = a->residual ? typed_at(d, a->residual, r * a->cols) :
        NULL;
    void *y = typed_at(d, a->y, r * a->cols);
    if (!residual && y == x) return;
    for (int64_t i = 0; i < a->cols; i += VF) {
        vf v = at(d, x, i, a->cols - i);
        put(d, y, i, residual ? v + at(d, residual, i, a->cols - i) : v, a->cols - i);
    }
}

/* The sequence that holds row r: the last that begins at or before it. */
static int32_t sequence_of(const Dropout *d, int64_t r)
{
    int32_t low = 0, high = d->num_seqs - 1;
    while (low < high) {
        int32_t middle = low + (high - low + 1) / 2;
        if (d->cu_seqlens[middle] <= r) low = middle;
        else high = middle - 1;
    }
    return low;
}

VEC_FN void rows_of(Dtype dtype, const Mask *a, int64_t from, int64_t to)
{
    const Dropout *d = a->dropout;
    int32_t sequence = d ? sequence_of(d, from) : 0;
    for (int64_t r = from; r < to; r++) {
        if (!d) {
            plain_row(dtype, a, r);
            continue;
        }
        while (sequence + 1 < d->num_seqs && r >= d->cu_seqlens[sequence + 1]) sequence++;
        row(dtype, a, r, (uint32_t)(r - d->cu_seqlens[sequence]), (uint32_t)d->sample[sequence]);
    }
}

static void rows(void *context, int64_t task, int thread)
{
    (void)thread;
    const Mask *a = context;
    int64_t from = task * a->rows_per_task, to = from + a->rows_per_task < a->rows ? from + a->rows_per_task : a->rows;
#define LOOP(d) rows_of(d, a, from, to)
    switch (a->dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
}

static void run(Stream *s, Dtype dtype, void *y, const void *x, const void *residual, int64_t n_rows, int64_t cols,
                const Dropout *d)
{
    Mask a = {.dtype = dtype, .y = y, .x = x, .residual = residual, .rows = n_rows, .cols = cols};
    if (d && d->p > 0) a.dropout = d, a.threshold = dropout_threshold(d->p), a.scale = 1.0f / (1.0f - d->p);
    a.rows_per_task = 1 + ELEMENTS / (cols + 1);
    threads_run(stream_threads(s), (n_rows + a.rows_per_task - 1) / a.rows_per_task, rows, &a);
}

static void dropout_add_forward(Stream *s, Dtype dtype, void *y, const void *x, const void *residual, int64_t n_rows,
                                int64_t cols, const Dropout *d)
{
    run(s, dtype, y, x, residual, n_rows, cols, d);
}

static void dropout_backward(Stream *s, Dtype dtype, void *dx, const void *dy, int64_t n_rows, int64_t cols,
                             const Dropout *d, bool accumulate)
{
    run(s, dtype, dx, dy, accumulate ? dx : NULL, n_rows, cols, d);
}

void VARIANT(dropout_install)(Kernels *k)
{
    k->dropout_add_forward = dropout_add_forward;
    k->dropout_backward = dropout_backward;
}
