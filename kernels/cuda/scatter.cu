/* Rows to given places, moved as they are: in units of 16 bytes where all rows begin and end at such, else by element.
 * Floor: 2*rows*cols elements moved, in bytes of the dtype. */
#include "kernels/cuda/families.h"

enum { THREADS = 256 };

template <typename Unit>
static __global__ void __launch_bounds__(THREADS)
    scatter(Unit *y, const int32_t *to, const Unit *x, int64_t n, int64_t cols, int64_t stride)
{
    int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) {
        int64_t row = i / cols, col = i - row * cols;
        y[to[row] * cols + col] = x[row * stride + col];
    }
}

template <typename Unit>
static void start(Stream *s, void *y, const int32_t *to, const void *x, int64_t rows, size_t width, size_t stride)
{
    int64_t cols = (int64_t)(width / sizeof(Unit));
    launch(scatter<Unit>, cuda_blocks(rows * cols, THREADS), THREADS, 0, s, (Unit *)y, to, (const Unit *)x, rows * cols,
           cols, (int64_t)(stride / sizeof(Unit)));
}

static void scatter_rows(Stream *s, Dtype dtype, void *y, const int32_t *to, const void *x, int64_t rows, int64_t cols,
                         int64_t x_stride)
{
    size_t width = (size_t)cols * dtype_bytes(dtype), stride = (size_t)x_stride * dtype_bytes(dtype);
    if (cuda_is_aligned(y) && cuda_is_aligned(x) && width % 16 == 0 && stride % 16 == 0)
        start<uint4>(s, y, to, x, rows, width, stride);
    else if (dtype == DTYPE_F32)
        start<uint32_t>(s, y, to, x, rows, width, stride);
    else
        start<uint16_t>(s, y, to, x, rows, width, stride);
}

void cuda_scatter_install(Kernels *k) { k->scatter_rows = scatter_rows; }
