/* What needs no mathematics: add, scale, zero, copy. Cut into blocks for the pool; elements do not see each other. */
#include <assert.h>
#include <string.h>

#include "kernels/cpu/families.h"

enum { BLOCK = 1 << 16, BLOCK_BYTES = 1 << 18 };

typedef struct Span {
    float *y;
    const float *x;
    float factor;
    int64_t n;
} Span;

static int64_t blocks(int64_t n, int64_t block) { return (n + block - 1) / block; }
static int64_t block_end(int64_t n, int64_t block, int64_t task)
{
    return (task + 1) * block < n ? (task + 1) * block : n;
}

static void add_block(void *context, int64_t task, int thread)
{
    (void)thread;
    const Span *s = context;
    float *y = s->y;
    const float *x = s->x;
#pragma GCC ivdep /* x may be y, nothing between */
    for (int64_t i = task * BLOCK, end = block_end(s->n, BLOCK, task); i < end; i++) y[i] += x[i];
}

static void add(Stream *s, Dtype dtype, void *y, const void *x, int64_t n)
{
    assert(dtype == DTYPE_F32), (void)dtype;
    Span span = {.y = y, .x = x, .n = n};
    threads_run(stream_threads(s), blocks(n, BLOCK), add_block, &span);
}

static void scale_block(void *context, int64_t task, int thread)
{
    (void)thread;
    const Span *s = context;
    float *y = s->y, factor = s->factor;
    for (int64_t i = task * BLOCK, end = block_end(s->n, BLOCK, task); i < end; i++) y[i] *= factor;
}

static void scale(Stream *s, Dtype dtype, void *y, float factor, int64_t n)
{
    assert(dtype == DTYPE_F32), (void)dtype;
    Span span = {.y = y, .factor = factor, .n = n};
    threads_run(stream_threads(s), blocks(n, BLOCK), scale_block, &span);
}

typedef struct Bytes {
    char *y;
    const char *x; /* NULL: zeros */
    size_t n;
} Bytes;

static void move_block(void *context, int64_t task, int thread)
{
    (void)thread;
    const Bytes *b = context;
    size_t start = (size_t)task * BLOCK_BYTES, n = b->n - start < BLOCK_BYTES ? b->n - start : BLOCK_BYTES;
    if (b->x) memcpy(b->y + start, b->x + start, n);
    else memset(b->y + start, 0, n);
}

static void copy(Stream *s, void *y, const void *x, size_t bytes)
{
    Bytes b = {.y = y, .x = x, .n = bytes};
    threads_run(stream_threads(s), blocks((int64_t)bytes, BLOCK_BYTES), move_block, &b);
}

void VARIANT(basic_zero)(Stream *s, void *y, size_t bytes) { copy(s, y, NULL, bytes); }

void VARIANT(basic_install)(Kernels *k)
{
    k->add = add;
    k->scale = scale;
    k->fill_zero = VARIANT(basic_zero);
    k->copy = copy;
}
