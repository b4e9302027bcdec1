/* Rows of a table, and their gradient. The backward is parallel over strips of columns: a strip's owner goes through
 * the tokens in order, so a row that several tokens share is added to in the order of the tokens. */
#include <string.h>

#include "kernels/cpu/families.h"
#include "kernels/cpu/typed.h"

enum { ROWS = 16, STRIP = 64 };

typedef struct Embedding {
    Dtype to, from; /* of out, in */
    void *out;
    const void *in;
    const int32_t *ids;
    int64_t rows, width, padding;
    bool accumulate;
} Embedding;

/* Elements [y, y + n) of out get [x, x + n) of in, or are added to. */
VEC_FN void gather(Dtype to, Dtype from, const Embedding *e, int64_t y, int64_t x)
{
    int64_t n = e->width;
    if (e->accumulate)
        for (int64_t j = 0; j < n; j += VF)
            put(to, e->out, y + j, at(to, e->out, y + j, n - j) + at(from, e->in, x + j, n - j), n - j);
    else if (to == from)
        memcpy(typed_at(to, e->out, y), typed_at(from, e->in, x), (size_t)n * (to == DTYPE_F32 ? 4 : 2));
    else
        for (int64_t j = 0; j < n; j += VF) put(to, e->out, y + j, at(from, e->in, x + j, n - j), n - j);
}

#define FROM(d) gather(d, from, e, y, x)
VEC_FN void gather_from(Dtype from, const Embedding *e, int64_t y, int64_t x)
{
    switch (e->to) { DTYPE_CASES(FROM) }
}
#undef FROM

static void gather_rows(void *context, int64_t task, int thread)
{
    (void)thread;
    const Embedding *e = context;
    int64_t end = (task + 1) * ROWS < e->rows ? (task + 1) * ROWS : e->rows;
    for (int64_t i = task * ROWS; i < end; i++) {
#define LOOP(d) gather_from(d, e, i * e->width, e->ids[i] * e->width)
        switch (e->from) { DTYPE_CASES(LOOP) }
#undef LOOP
    }
}

static void embedding_forward(Stream *s, Dtype dtype, Dtype wdtype, void *y, const void *table, const int32_t *ids,
                              int64_t rows, int64_t width, bool accumulate)
{
    if (!width) return;
    Embedding e = {.to = dtype, .from = wdtype, .out = y, .in = table, .ids = ids, .rows = rows, .width = width,
                   .accumulate = accumulate};
    threads_run(stream_threads(s), (rows + ROWS - 1) / ROWS, gather_rows, &e);
}

VEC_FN void scatter(Dtype d, const Embedding *e, int64_t col, int64_t n)
{
    for (int64_t i = 0; i < e->rows; i++) {
        float *to = (float *)e->out + e->ids[i] * e->width + col;
        if (e->ids[i] == e->padding) continue;
        for (int64_t j = 0; j < n; j += VF)
            vf_put(to + j, vf_get(to + j, n - j) + at(d, e->in, i * e->width + col + j, n - j), n - j);
    }
}

static void scatter_strip(void *context, int64_t task, int thread)
{
    (void)thread;
    const Embedding *e = context;
    int64_t col = task * STRIP, n = e->width - col < STRIP ? e->width - col : STRIP;
#define LOOP(d) scatter(d, e, col, n)
    switch (e->from) { DTYPE_CASES(LOOP) }
#undef LOOP
}

static void embedding_backward(Stream *s, Dtype dtype, float *dtable, const void *dy, const int32_t *ids, int64_t rows,
                               int64_t width, int64_t vocab, int64_t padding, bool accumulate)
{
    if (!accumulate) VARIANT(basic_zero)(s, dtable, (size_t)(vocab * width) * sizeof *dtable);
    Embedding e = {.from = dtype, .out = dtable, .in = dy, .ids = ids, .rows = rows, .width = width,
                   .padding = padding};
    threads_run(stream_threads(s), (width + STRIP - 1) / STRIP, scatter_strip, &e);
}

void VARIANT(embedding_install)(Kernels *k)
{
    k->embedding_forward = embedding_forward;
    k->embedding_backward = embedding_backward;
}
