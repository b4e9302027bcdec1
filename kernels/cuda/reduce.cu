/* Sums whose order is fixed, in double: squares by blocks of KERNEL_BLOCK elements, and a few numbers one after the
 * other. The results go to the host behind the work that makes them.
 * Floor: 4*n bytes read. */
#include "kernels/cuda/families.h"
#include "kernels/cuda/vector.cuh"

enum { THREADS = 512, TILE = 256 };

template <bool ALIGNED>
static __global__ void __launch_bounds__(THREADS) square_block(double *partials, const float *x, int64_t n)
{
    SHARED(double, room, [64]);
    int64_t first = (int64_t)blockIdx.x * KERNEL_BLOCK, count = n - first;
    if (count > KERNEL_BLOCK) count = KERNEL_BLOCK;
    double sum = 0, other = 0;
    for (int64_t i = threadIdx.x * 4; i < count; i += THREADS * 4) {
        float4 v = load4<ALIGNED>(x + first + i, count - i);
        sum = fma((double)v.x, (double)v.x, sum), other = fma((double)v.y, (double)v.y, other);
        sum = fma((double)v.z, (double)v.z, sum), other = fma((double)v.w, (double)v.w, other);
    }
    sum = block_sum(sum + other, room);
    if (threadIdx.x == 0) partials[blockIdx.x] = sum;
}

static void sum_squares(Stream *s, double *partials, const float *x, int64_t n)
{
    int64_t blocks = (n + KERNEL_BLOCK - 1) / KERNEL_BLOCK;
    if (!blocks) return;
    double *sums = (double *)s->backend->scratch(s, 0, 0, (size_t)blocks * sizeof *sums);
    launch(cuda_is_aligned(x) ? square_block<true> : square_block<false>, cuda_blocks(blocks, 1), THREADS, 0, s, sums,
           x, n);
    if (stream_has_failed(s)) return;
    cuda_ok(s, cudaMemcpyAsync(partials, sums, (size_t)blocks * sizeof *sums, cudaMemcpyDeviceToHost, cuda_queue(s)),
            "sums of squares");
}

static __global__ void __launch_bounds__(TILE) add_in_order(double *sum, const float *x, int64_t n)
{
    SHARED(float, tile, [TILE]);
    double total = 0;
    for (int64_t first = 0; first < n; first += TILE) {
        __syncthreads();
        if (first + threadIdx.x < n) tile[threadIdx.x] = x[first + threadIdx.x];
        __syncthreads();
        for (int i = 0; threadIdx.x == 0 && i < TILE && first + i < n; i++) total += tile[i];
    }
    if (threadIdx.x == 0) *sum = total;
}

static void sum_in_order(Stream *s, double *sum, const float *x, int64_t n)
{
    double *total = (double *)s->backend->scratch(s, 0, 0, sizeof *total);
    launch(add_in_order, 1, TILE, 0, s, total, x, n);
    if (stream_has_failed(s)) return;
    cuda_ok(s, cudaMemcpyAsync(sum, total, sizeof *total, cudaMemcpyDeviceToHost, cuda_queue(s)), "a sum");
}

void cuda_reduce_install(Kernels *k)
{
    k->sum_squares = sum_squares;
    k->sum_in_order = sum_in_order;
}
