/* y = act(gate) * up (Shazeer 2020) and its gradients.
 * Floor, in bytes of the dtype: forward 3, backward 5 arrays of n elements moved. */
#include "kernels/cuda/act.cuh"
#include "kernels/cuda/families.h"

enum { THREADS = 256 };

template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(THREADS) forward(T *y, const T *gate, const T *up, int64_t n, Activation act)
{
    constexpr int N = PACK<T>;
    int64_t step = (int64_t)gridDim.x * THREADS * N;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N; i < n; i += step) {
        Pack<N> g = load<ALIGNED, N>(gate + i, n - i), u = load<ALIGNED, N>(up + i, n - i);
        store<ALIGNED>(y + i, act_values(act, g) * u, n - i);
    }
}

/* dgate and dup may be gate and up: both are read before either is written. */
template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(THREADS)
    backward(T *dgate, T *dup, const T *dy, const T *gate, const T *up, int64_t n, Activation act)
{
    constexpr int N = PACK<T>;
    int64_t step = (int64_t)gridDim.x * THREADS * N;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N; i < n; i += step) {
        Pack<N> g = load<ALIGNED, N>(gate + i, n - i), d = load<ALIGNED, N>(dy + i, n - i),
                u = load<ALIGNED, N>(up + i, n - i), value, slope = act_slopes(act, g, &value);
        store<ALIGNED>(dgate + i, d * u * slope, n - i);
        store<ALIGNED>(dup + i, d * value, n - i);
    }
}

static void gated_forward(Stream *s, Dtype dtype, void *y, const void *gate, const void *up, int64_t n, Activation act)
{
    bool aligned = cuda_is_aligned(y) && cuda_is_aligned(gate) && cuda_is_aligned(up);
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        launch(aligned ? forward<T, true> : forward<T, false>, cuda_blocks(n, THREADS * PACK<T>), THREADS, 0, s, (T *)y,
               (const T *)gate, (const T *)up, n, act);
    });
}

static void gated_backward(Stream *s, Dtype dtype, void *dgate, void *dup, const void *dy, const void *gate,
                           const void *up, int64_t n, Activation act)
{
    bool aligned = cuda_is_aligned(dgate) && cuda_is_aligned(dup) && cuda_is_aligned(dy) && cuda_is_aligned(gate) &&
                   cuda_is_aligned(up);
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        launch(aligned ? backward<T, true> : backward<T, false>, cuda_blocks(n, THREADS * PACK<T>), THREADS, 0, s,
               (T *)dgate, (T *)dup, (const T *)dy, (const T *)gate, (const T *)up, n, act);
    });
}

void cuda_gated_install(Kernels *k)
{
    k->gated_forward = gated_forward;
    k->gated_backward = gated_backward;
}
