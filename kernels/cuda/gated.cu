/* y = act(gate) * up (Shazeer 2020) and its gradients.
 * Floor: forward 3, backward 5 arrays of n elements moved. */
#include "kernels/cuda/act.cuh"
#include "kernels/cuda/families.h"

enum { THREADS = 256 };

template <bool ALIGNED>
static __global__ void __launch_bounds__(THREADS)
    forward(float *y, const float *gate, const float *up, int64_t n, Activation act)
{
    int64_t step = (int64_t)gridDim.x * THREADS * 4;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 4; i < n; i += step)
        store4<ALIGNED>(y + i, act_value4(act, load4<ALIGNED>(gate + i, n - i)) * load4<ALIGNED>(up + i, n - i), n - i);
}

/* dgate and dup may be gate and up: both are read before either is written. */
template <bool ALIGNED>
static __global__ void __launch_bounds__(THREADS)
    backward(float *dgate, float *dup, const float *dy, const float *gate, const float *up, int64_t n, Activation act)
{
    int64_t step = (int64_t)gridDim.x * THREADS * 4;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 4; i < n; i += step) {
        float4 value, slope = act_slope4(act, load4<ALIGNED>(gate + i, n - i), &value);
        float4 d = load4<ALIGNED>(dy + i, n - i), u = load4<ALIGNED>(up + i, n - i);
        store4<ALIGNED>(dgate + i, d * u * slope, n - i);
        store4<ALIGNED>(dup + i, d * value, n - i);
    }
}

static void gated_forward(Stream *s, Dtype, void *y, const void *gate, const void *up, int64_t n, Activation act)
{
    bool aligned = cuda_is_aligned(y) && cuda_is_aligned(gate) && cuda_is_aligned(up);
    launch(aligned ? forward<true> : forward<false>, cuda_blocks(n, THREADS * 4), THREADS, 0, s, (float *)y,
           (const float *)gate, (const float *)up, n, act);
}

static void gated_backward(Stream *s, Dtype, void *dgate, void *dup, const void *dy, const void *gate, const void *up,
                           int64_t n, Activation act)
{
    bool aligned = cuda_is_aligned(dgate) && cuda_is_aligned(dup) && cuda_is_aligned(dy) && cuda_is_aligned(gate) &&
                   cuda_is_aligned(up);
    launch(aligned ? backward<true> : backward<false>, cuda_blocks(n, THREADS * 4), THREADS, 0, s, (float *)dgate,
           (float *)dup, (const float *)dy, (const float *)gate, (const float *)up, n, act);
}

void cuda_gated_install(Kernels *k)
{
    k->gated_forward = gated_forward;
    k->gated_backward = gated_backward;
}
