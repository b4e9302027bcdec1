/* What needs no mathematics: add, scale, zero, copy. Cut into blocks for the pool; elements do not see each other.
 * Floor: 3*n elements moved by add, 2*n by scale; each byte once by zero, twice by copy. */
#include <string.h>

#include "kernels/cpu/families.h"
#include "kernels/cpu/typed.h"

enum { BLOCK = 1 << 16, BLOCK_BYTES = 1 << 18 };

typedef struct Span {
    Dtype dtype;
    void *y;
    const void *x;
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
    void *y = s->y;
    const void *x = s->x;
    int64_t end = block_end(s->n, BLOCK, task);
#define LOOP(d) \
    for (int64_t i = task * BLOCK; i < end; i += VF) put(d, y, i, at(d, y, i, end - i) + at(d, x, i, end - i), end - i)
    switch (s->dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
}

static void add(Stream *s, Dtype dtype, void *y, const void *x, int64_t n)
{
    Span span = {.dtype = dtype, .y = y, .x = x, .n = n};
    threads_run(stream_threads(s), blocks(n, BLOCK), add_block, &span);
}

static void scale_block(void *context, int64_t task, int thread)
{
    (void)thread;
    const Span *s = context;
    void *y = s->y;
    float factor = s->factor;
    int64_t end = block_end(s->n, BLOCK, task);
#define LOOP(d) for (int64_t i = task * BLOCK; i < end; i += VF) put(d, y, i, at(d, y, i, end - i) * factor, end - i)
    switch (s->dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
}

static void scale(Stream *s, Dtype dtype, void *y, float factor, int64_t n)
{
    Span span = {.dtype = dtype, .y = y, .factor = factor, .n = n};
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
