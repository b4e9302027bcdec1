/* Rows of a table, and their gradient. The backward is parallel over strips of columns: a strip's owner goes through
 * the tokens in order, so a row that several tokens share is added to in the order of the tokens. */
#include <assert.h>
#include <string.h>

#include "kernels/cpu/families.h"

enum { ROWS = 16, STRIP = 64 };

typedef struct Embedding {
    float *out;
    const float *in;
    const int32_t *ids;
    int64_t rows, width, padding;
    bool accumulate;
} Embedding;

static void gather_rows(void *context, int64_t task, int thread)
{
    (void)thread;
    const Embedding *e = context;
    int64_t end = (task + 1) * ROWS < e->rows ? (task + 1) * ROWS : e->rows;
    for (int64_t i = task * ROWS; i < end; i++) {
        float *restrict y = e->out + i * e->width;
        const float *restrict from = e->in + e->ids[i] * e->width;
        if (e->accumulate)
            for (int64_t j = 0; j < e->width; j++) y[j] += from[j];
        else
            memcpy(y, from, (size_t)e->width * sizeof *y);
    }
}

static void embedding_forward(Stream *s, Dtype dtype, void *y, const void *table, const int32_t *ids, int64_t rows,
                              int64_t width, bool accumulate)
{
    assert(dtype == DTYPE_F32), (void)dtype;
    if (!width) return;
    Embedding e = {.out = y, .in = table, .ids = ids, .rows = rows, .width = width, .accumulate = accumulate};
    threads_run(stream_threads(s), (rows + ROWS - 1) / ROWS, gather_rows, &e);
}

static void scatter_strip(void *context, int64_t task, int thread)
{
    (void)thread;
    const Embedding *e = context;
    int64_t col = task * STRIP, n = e->width - col < STRIP ? e->width - col : STRIP;
    for (int64_t i = 0; i < e->rows; i++) {
        float *restrict to = e->out + e->ids[i] * e->width + col;
        const float *restrict from = e->in + i * e->width + col;
        if (e->ids[i] == e->padding) continue;
        for (int64_t j = 0; j < n; j++) to[j] += from[j];
    }
}

static void embedding_backward(Stream *s, Dtype dtype, float *dtable, const void *dy, const int32_t *ids, int64_t rows,
                               int64_t width, int64_t vocab, int64_t padding, bool accumulate)
{
    assert(dtype == DTYPE_F32), (void)dtype;
    if (!accumulate) VARIANT(basic_zero)(s, dtable, (size_t)(vocab * width) * sizeof *dtable);
    Embedding e = {.out = dtable, .in = dy, .ids = ids, .rows = rows, .width = width, .padding = padding};
    threads_run(stream_threads(s), (width + STRIP - 1) / STRIP, scatter_strip, &e);
}

void VARIANT(embedding_install)(Kernels *k)
{
    k->embedding_forward = embedding_forward;
    k->embedding_backward = embedding_backward;
}
