/* SGD with momentum as torch does it (aten FusedSGDKernel.cu): scalars in double, rounded once; arrays in f32.
 * Floor: 3 arrays of n floats moved in one pass, 5 with momentum. */
#include "kernels/cuda/families.h"
#include "kernels/cuda/vector.cuh"

enum { THREADS = 256 };

struct Sgd {
    float grad_scale, lr, weight_decay, momentum, rest;
    bool nesterov, first;
};

static __device__ __forceinline__ void update(const Sgd &a, float *w, float *b, bool with_momentum, float g)
{
    g = fmaf(*w, a.weight_decay, g * a.grad_scale);
    float d = g;
    if (with_momentum) {
        *b = d = a.first ? g : fmaf(*b, a.momentum, g * a.rest);
        if (a.nesterov) d = fmaf(d, a.momentum, g);
    }
    *w = fmaf(d, -a.lr, *w);
}

template <bool ALIGNED>
static __global__ void __launch_bounds__(THREADS) step(float *w, float *buffer, const float *g, int64_t n, Sgd a)
{
    int64_t stride = (int64_t)gridDim.x * THREADS * 4;
    bool momentum = buffer != nullptr;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 4; i < n; i += stride) {
        float4 w4 = load4<ALIGNED>(w + i, n - i), g4 = load4<ALIGNED>(g + i, n - i), b4 = zero4();
        if (momentum && !a.first) b4 = load4<ALIGNED>(buffer + i, n - i);
        update(a, &w4.x, &b4.x, momentum, g4.x), update(a, &w4.y, &b4.y, momentum, g4.y);
        update(a, &w4.z, &b4.z, momentum, g4.z), update(a, &w4.w, &b4.w, momentum, g4.w);
        store4<ALIGNED>(w + i, w4, n - i);
        if (momentum) store4<ALIGNED>(buffer + i, b4, n - i);
    }
}

static void sgd(Stream *s, float *w, float *momentum_buffer, const float *g, int64_t n, float grad_scale, double lr,
                double weight_decay, double momentum, double dampening, bool nesterov, bool first)
{
    Sgd a = {grad_scale, (float)lr, (float)weight_decay, (float)momentum, (float)(1 - dampening), nesterov, first};
    bool aligned = cuda_is_aligned(w) && cuda_is_aligned(momentum_buffer) && cuda_is_aligned(g);
    launch(aligned ? step<true> : step<false>, cuda_blocks(n, THREADS * 4), THREADS, 0, s, w, momentum_buffer, g, n, a);
}

void cuda_sgd_install(Kernels *k) { k->sgd = sgd; }
