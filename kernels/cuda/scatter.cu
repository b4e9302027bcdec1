/* Rows to given places, and columns of rows, moved as they are: in units of 16 bytes where all rows begin and end at
 * such, else by element.
 * Floor: 2*rows*cols elements moved, in bytes of the dtype. */
#include "kernels/cuda/families.h"

enum { THREADS = 256 };

template <typename Unit>
static __global__ void __launch_bounds__(THREADS)
    scatter(Unit *y, const int32_t *to, const Unit *x, int64_t n, int64_t cols, int64_t y_stride, int64_t x_stride)
{
    int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        int64_t row = i / cols, col = i - row * cols;
        y[(to ? to[row] : row) * y_stride + col] = x[row * x_stride + col];
    }
}

typedef struct Scatter {
    void *y;
    const int32_t *to; /* NULL: every row stays in its place */
    const void *x;
    int64_t rows;
    size_t width, y_stride, x_stride; /* bytes */
} Scatter;

template <typename Unit> static void start(Stream *s, const Scatter &p)
{
    int64_t cols = (int64_t)(p.width / sizeof(Unit));
    launch(scatter<Unit>, cuda_blocks(p.rows * cols, THREADS), THREADS, 0, s, (Unit *)p.y, p.to, (const Unit *)p.x,
           p.rows * cols, cols, (int64_t)(p.y_stride / sizeof(Unit)), (int64_t)(p.x_stride / sizeof(Unit)));
}

static void choose(Stream *s, Dtype dtype, const Scatter &p)
{
    if (cuda_is_aligned(p.y) && cuda_is_aligned(p.x) && (p.width | p.y_stride | p.x_stride) % 16 == 0)
        start<uint4>(s, p);
    else if (dtype == DTYPE_F32)
        start<uint32_t>(s, p);
    else
        start<uint16_t>(s, p);
}

static void scatter_rows(Stream *s, Dtype dtype, void *y, const int32_t *to, const void *x, int64_t rows, int64_t cols,
                         int64_t x_stride)
{
    size_t width = (size_t)cols * dtype_bytes(dtype);
    choose(s, dtype, {y, to, x, rows, width, width, (size_t)x_stride * dtype_bytes(dtype)});
}

static void copy_columns(Stream *s, Dtype dtype, void *y, int64_t y_stride, const void *x, int64_t x_stride,
                         int64_t rows, int64_t cols)
{
    size_t element = dtype_bytes(dtype);
    choose(s, dtype, {y, NULL, x, rows, (size_t)cols * element, (size_t)y_stride * element, (size_t)x_stride *
        element});
}

void cuda_scatter_install(Kernels *k)
{
    k->scatter_rows = scatter_rows;
    k->copy_columns = copy_columns;
}
