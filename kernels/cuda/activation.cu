/* y = act(x) and its gradient, element by element.
 * Floor: forward 2, backward 3 arrays of n elements moved. */
#include "kernels/cuda/act.cuh"
#include "kernels/cuda/families.h"

enum { THREADS = 256 };

template <bool ALIGNED>
static __global__ void __launch_bounds__(THREADS) forward(float *y, const float *x, int64_t n, Activation act)
{
    int64_t step = (int64_t)gridDim.x * THREADS * 4;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 4; i < n; i += step)
        store4<ALIGNED>(y + i, act_value4(act, load4<ALIGNED>(x + i, n - i)), n - i);
}

template <bool ALIGNED>
static __global__ void __launch_bounds__(THREADS)
    backward(float *dx, const float *dy, const float *x, int64_t n, Activation act)
{
    int64_t step = (int64_t)gridDim.x * THREADS * 4;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 4; i < n; i += step) {
        float4 y, slope = act_slope4(act, load4<ALIGNED>(x + i, n - i), &y);
        store4<ALIGNED>(dx + i, load4<ALIGNED>(dy + i, n - i) * slope, n - i);
    }
}

void cuda_activation_forward(Stream *s, Dtype, void *y, const void *pre, int64_t n, Activation act)
{
    bool aligned = cuda_is_aligned(y) && cuda_is_aligned(pre);
    launch(aligned ? forward<true> : forward<false>, cuda_blocks(n, THREADS * 4), THREADS, 0, s, (float *)y,
           (const float *)pre, n, act);
}

static void activation_backward(Stream *s, Dtype, void *dpre, const void *dy, const void *pre, int64_t n,
                                Activation act)
{
    bool aligned = cuda_is_aligned(dpre) && cuda_is_aligned(dy) && cuda_is_aligned(pre);
    launch(aligned ? backward<true> : backward<false>, cuda_blocks(n, THREADS * 4), THREADS, 0, s, (float *)dpre,
           (const float *)dy, (const float *)pre, n, act);
}

void cuda_activation_install(Kernels *k)
{
    k->activation_forward = cuda_activation_forward;
    k->activation_backward = activation_backward;
}
