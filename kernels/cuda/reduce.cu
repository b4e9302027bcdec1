/* Sums whose order is fixed, in double: squares by blocks of KERNEL_BLOCK elements, and segments one number after the
 * other, a block each. What both make of a step, the factor of its gradients, stays on the device.
 * Floor: 4*n bytes read; the factor: 8 bytes a block and loss. */
#include "kernels/clip.h"
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
    launch(cuda_is_aligned(x) ? square_block<true> : square_block<false>, cuda_blocks(blocks, 1), THREADS, 0, s,
           partials, x, n);
}

/* Thread 0 gets x[0] + x[1] + …; the others bring them into `tile` [TILE]. */
template <typename T> static __device__ __forceinline__ double in_order(const T *x, int64_t n, T *tile)
{
    double total = 0;
    for (int64_t first = 0; first < n; first += TILE) {
        __syncthreads();
        if (first + threadIdx.x < n) tile[threadIdx.x] = x[first + threadIdx.x];
        __syncthreads();
        for (int i = 0; threadIdx.x == 0 && i < TILE && first + i < n; i++) total += tile[i];
    }
    return total;
}

static __global__ void __launch_bounds__(TILE)
    add_segment(double *sums, const float *x, int64_t n, const int32_t *bounds)
{
    SHARED(float, tile, [TILE]);
    int64_t begin = bounds ? bounds[blockIdx.x] : 0, end = bounds ? bounds[blockIdx.x + 1] : n;
    double total = in_order(x + begin, end - begin, tile);
    if (threadIdx.x == 0) sums[blockIdx.x] = total;
}

static void sum_segments(Stream *s, double *sums, const float *x, int64_t n, const int32_t *bounds, int64_t segments)
{
    launch(add_segment, (unsigned)(bounds ? segments : 1), TILE, 0, s, sums, x, n, bounds);
}

static __global__ void __launch_bounds__(TILE)
    decide(float *grad_scale, double *norm_squared, const double *partials, int64_t blocks, const double *losses,
           int64_t num_losses, double unscale, double max_norm)
{
    SHARED(double, tile, [TILE]);
    double sum = in_order(partials, blocks, tile), bad = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < num_losses; i += TILE) bad += is_finite(losses[i]) ? 0 : 1;
    bad = block_sum(bad, tile);
    if (threadIdx.x) return;
    *norm_squared = sum;
    *grad_scale = bad == 0 && is_finite(sum) && is_finite(unscale)
                      ? (float)(unscale * clip_scale(unscale * sqrt(sum), max_norm)) : NAN;
}

static void clip_factor(Stream *s, float *grad_scale, double *norm_squared, const double *partials, int64_t blocks,
                        const double *losses, int64_t num_losses, double unscale, double max_norm)
{
    launch(decide, 1, TILE, 0, s, grad_scale, norm_squared, partials, blocks, losses, num_losses, unscale, max_norm);
}

void cuda_reduce_install(Kernels *k)
{
    k->sum_squares = sum_squares;
    k->sum_segments = sum_segments;
    k->clip_factor = clip_factor;
}
