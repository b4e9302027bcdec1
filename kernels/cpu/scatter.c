/* Rows to given places, and columns of rows. */
#include <string.h>

#include "kernels/cpu/families.h"

enum { BLOCK = 64 }; /* rows of a task */

typedef struct Scatter {
    char *y;
    const int32_t *to;
    const char *x;
    int64_t rows;
    size_t width, y_stride, x_stride; /* bytes */
} Scatter;

static void block(void *context, int64_t task, int thread)
{
    const Scatter *p = context;
    (void)thread;
    for (int64_t i = task * BLOCK; i < p->rows && i < (task + 1) * BLOCK; i++)
        memcpy(p->y + (size_t)(p->to ? p->to[i] : i) * p->y_stride, p->x + (size_t)i * p->x_stride, p->width);
}

static void start(Stream *s, Dtype dtype, void *y, const int32_t *to, const void *x, int64_t rows, int64_t cols,
                  int64_t y_stride, int64_t x_stride)
{
    size_t element = dtype_bytes(dtype);
    Scatter p = {y, to, x, rows, (size_t)cols * element, (size_t)y_stride * element, (size_t)x_stride * element};
    if (cols) threads_run(stream_threads(s), (rows + BLOCK - 1) / BLOCK, block, &p);
}

static void scatter_rows(Stream *s, Dtype dtype, void *y, const int32_t *to, const void *x, int64_t rows, int64_t cols,
                         int64_t x_stride)
{
    start(s, dtype, y, to, x, rows, cols, cols, x_stride);
}

static void copy_columns(Stream *s, Dtype dtype, void *y, int64_t y_stride, const void *x, int64_t x_stride,
                         int64_t rows, int64_t cols)
{
    start(s, dtype, y, NULL, x, rows, cols, y_stride, x_stride);
}

void VARIANT(scatter_install)(Kernels *k)
{
    k->scatter_rows = scatter_rows;
    k->copy_columns = copy_columns;
}
