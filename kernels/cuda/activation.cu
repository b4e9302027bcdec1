/* y = act(x) and its gradient, element by element.
 * Floor, in bytes of the dtype (f32 4, bf16 and f16 2): forward 2, backward 3 arrays of n elements moved. */
#include "kernels/cuda/act.cuh"
#include "kernels/cuda/families.h"

enum { THREADS = 256 };

template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(THREADS) forward(T *y, const T *x, int64_t n, Activation act)
{
    constexpr int N = PACK<T>;
    int64_t step = (int64_t)gridDim.x * THREADS * N;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N; i < n; i += step)
        store<ALIGNED>(y + i, act_values(act, load<ALIGNED, N>(x + i, n - i)), n - i);
}

template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(THREADS) backward(T *dx, const T *dy, const T *x, int64_t n, Activation act)
{
    constexpr int N = PACK<T>;
    int64_t step = (int64_t)gridDim.x * THREADS * N;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N; i < n; i += step) {
        Pack<N> d = load<ALIGNED, N>(dy + i, n - i), y, slope = act_slopes(act, load<ALIGNED, N>(x + i, n - i), &y);
        store<ALIGNED>(dx + i, d * slope, n - i);
    }
}

void cuda_activation_forward(Stream *s, Dtype dtype, void *y, const void *pre, int64_t n, Activation act)
{
    bool aligned = cuda_is_aligned(y) && cuda_is_aligned(pre);
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        launch(aligned ? forward<T, true> : forward<T, false>, cuda_blocks(n, THREADS * PACK<T>), THREADS, 0, s, (T *)y,
               (const T *)pre, n, act);
    });
}

static void activation_backward(Stream *s, Dtype dtype, void *dpre, const void *dy, const void *pre, int64_t n,
                                Activation act)
{
    bool aligned = cuda_is_aligned(dpre) && cuda_is_aligned(dy) && cuda_is_aligned(pre);
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        launch(aligned ? backward<T, true> : backward<T, false>, cuda_blocks(n, THREADS * PACK<T>), THREADS, 0, s,
               (T *)dpre, (const T *)dy, (const T *)pre, n, act);
    });
}

void cuda_activation_install(Kernels *k)
{
    k->activation_forward = cuda_activation_forward;
    k->activation_backward = activation_backward;
}
