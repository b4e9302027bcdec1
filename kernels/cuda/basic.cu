/* What needs no mathematics: add, scale, zero, copy. Elements do not see each other.
 * Floor: add 3, scale 2 arrays of n elements moved, in bytes of the dtype; zero 1, copy 2 of n bytes. */
#include "kernels/cuda/families.h"
#include "kernels/cuda/pack.cuh"

enum { THREADS = 256 };

/* y += x (x not NULL), y *= factor (x NULL) */
template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(THREADS) add_or_scale(T *y, const T *x, float factor, int64_t n)
{
    constexpr int N = PACK<T>;
    int64_t step = (int64_t)gridDim.x * THREADS * N;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N; i < n; i += step) {
        Pack<N> v = load<ALIGNED, N>(y + i, n - i);
        store<ALIGNED>(y + i, x ? v + load<ALIGNED, N>(x + i, n - i) : v * factor, n - i);
    }
}

static void add_or_scale_in(Stream *s, Dtype dtype, void *y, const void *x, float factor, int64_t n)
{
    bool aligned = cuda_is_aligned(y) && cuda_is_aligned(x);
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        launch(aligned ? add_or_scale<T, true> : add_or_scale<T, false>, cuda_blocks(n, THREADS * PACK<T>), THREADS, 0,
               s, (T *)y, (const T *)x, factor, n);
    });
}

static void add(Stream *s, Dtype dtype, void *y, const void *x, int64_t n) { add_or_scale_in(s, dtype, y, x, 1, n); }

static void scale(Stream *s, Dtype dtype, void *y, float factor, int64_t n)
{
    add_or_scale_in(s, dtype, y, nullptr, factor, n);
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
