/* What needs no mathematics: add, scale, zero, copy. Elements do not see each other.
 * Floor: add 3, scale 2 arrays of n floats moved; zero 1, copy 2 of n bytes. */
#include "kernels/cuda/families.h"
#include "kernels/cuda/vector.cuh"

enum { THREADS = 256 };

/* y += x (x not NULL), y *= factor (x NULL) */
template <bool ALIGNED>
static __global__ void __launch_bounds__(THREADS) add_or_scale(float *y, const float *x, float factor, int64_t n)
{
    int64_t step = (int64_t)gridDim.x * THREADS * 4;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 4; i < n; i += step) {
        float4 v = load4<ALIGNED>(y + i, n - i);
        store4<ALIGNED>(y + i, x ? v + load4<ALIGNED>(x + i, n - i) : v * factor, n - i);
    }
}

static void add(Stream *s, Dtype, void *y, const void *x, int64_t n)
{
    auto *kernel = cuda_is_aligned(y) && cuda_is_aligned(x) ? add_or_scale<true> : add_or_scale<false>;
    launch(kernel, cuda_blocks(n, THREADS * 4), THREADS, 0, s, (float *)y, (const float *)x, 1.0f, n);
}

static void scale(Stream *s, Dtype, void *y, float factor, int64_t n)
{
    auto *kernel = cuda_is_aligned(y) ? add_or_scale<true> : add_or_scale<false>;
    launch(kernel, cuda_blocks(n, THREADS * 4), THREADS, 0, s, (float *)y, (const float *)nullptr, factor, n);
}

static void fill_zero(Stream *s, void *y, size_t bytes)
{
    if (bytes) cuda_ok(s, cudaMemsetAsync(y, 0, bytes, cuda_queue(s)), "zero");
}

/* From and to host memory too. */
static void copy(Stream *s, void *y, const void *x, size_t bytes)
{
    if (bytes) cuda_ok(s, cudaMemcpyAsync(y, x, bytes, cudaMemcpyDefault, cuda_queue(s)), "copy");
}

void cuda_basic_install(Kernels *k)
{
    k->add = add;
    k->scale = scale;
    k->fill_zero = fill_zero;
    k->copy = copy;
}
