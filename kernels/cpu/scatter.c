/* Rows to given places. */
#include <string.h>

#include "kernels/cpu/families.h"

enum { BLOCK = 64 }; /* rows of a task */

typedef struct Scatter {
    char *y;
    const int32_t *to;
    const char *x;
    int64_t rows;
    size_t width, stride; /* bytes */
} Scatter;

static void block(void *context, int64_t task, int thread)
{
    const Scatter *p = context;
    (void)thread;
    for (int64_t i = task * BLOCK; i < p->rows && i < (task + 1) * BLOCK; i++)
        memcpy(p->y + (size_t)p->to[i] * p->width, p->x + (size_t)i * p->stride, p->width);
}

static void scatter_rows(Stream *s, Dtype dtype, void *y, const int32_t *to, const void *x, int64_t rows, int64_t cols,
                         int64_t x_stride)
{
    Scatter p = {y, to, x, rows, (size_t)cols * dtype_bytes(dtype), (size_t)x_stride * dtype_bytes(dtype)};
    if (cols) threads_run(stream_threads(s), (rows + BLOCK - 1) / BLOCK, block, &p);
}

void VARIANT(scatter_install)(Kernels *k) { k->scatter_rows = scatter_rows; }
