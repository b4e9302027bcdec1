/* rows.cuh. Floor: chunks*n floats read. */
#include "kernels/cuda/rows.cuh"

enum { SEGMENTS = 8, COLUMNS = 32 };

static __global__ void __launch_bounds__(COLUMNS *SEGMENTS)
    add_chunks(float *out, const float *partial, int64_t chunks, int64_t n, int64_t stride, bool accumulate)
{
    SHARED(float, sums, [SEGMENTS][COLUMNS]);
    int64_t column = (int64_t)blockIdx.x * COLUMNS + threadIdx.x;
    float sum = 0;
    if (column < n)
        for (int64_t c = threadIdx.y; c < chunks; c += SEGMENTS) sum += partial[c * stride + column];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || column >= n) return;
    for (int i = 1; i < SEGMENTS; i++) sum += sums[i][threadIdx.x];
    out[column] = accumulate ? out[column] + sum : sum;
}

void rows_add_chunks(Stream *s, float *out, const float *partial, int64_t chunks, int64_t n, int64_t stride,
                     bool accumulate)
{
    if (out)
        launch(add_chunks, cuda_blocks(n, COLUMNS), dim3(COLUMNS, SEGMENTS), 0, s, out, partial, chunks, n, stride,
               accumulate);
}
