/* Copies of f32 weights in bf16 or f16, alone: after loading, and of what other ranks have updated.
 * Floor: 6*n bytes moved. */
#include "kernels/cuda/families.h"
#include "kernels/cuda/low_copy.cuh"

enum { THREADS = 256 };

template <LowKind KIND, bool ALIGNED>
static __global__ void __launch_bounds__(THREADS) copy_low(Low low, const float *w, int64_t n, const float *grad_scale)
{
    if (grad_scale && !is_finite(*grad_scale)) return;
    int64_t stride = (int64_t)gridDim.x * THREADS * 4;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 4; i < n; i += stride)
        low_store<KIND, ALIGNED>(low, load4<ALIGNED>(w + i, n - i), i, n - i);
}

void cuda_low_copy(Stream *s, const LowCopy *low, const float *w, int64_t n, const float *grad_scale)
{
    bool aligned = cuda_is_aligned(w) && cuda_is_aligned(low->data);
    low_dispatch(low_kind(low), [&](auto kind) {
        if constexpr (decltype(kind)::value != LOW_NONE)
            launch(aligned ? copy_low<decltype(kind)::value, true> : copy_low<decltype(kind)::value, false>,
                   cuda_blocks(n, THREADS * 4), THREADS, 0, s, low_of(low), w, n, grad_scale);
    });
}

static void low_copy(Stream *s, const LowCopy *low, const float *w, int64_t n)
{
    cuda_low_copy(s, low, w, n, nullptr);
}

void cuda_low_copy_install(Kernels *k) { k->low_copy = low_copy; }
