/* SGD with momentum as torch does it (aten FusedSGDKernel.cu): scalars in double, rounded once; arrays in f32.
 * Floor: 3 arrays of n floats moved in one pass, 5 with momentum, and 2*n bytes of a copy in fewer bits. A factor of
 * the gradients that is not finite ends the pass before it begins. */
#include "kernels/cuda/families.h"
#include "kernels/cuda/low_copy.cuh"

enum { THREADS = 256 };

struct Sgd {
    float lr, weight_decay, momentum, rest;
    bool nesterov, first;
};

static __device__ __forceinline__ void update(const Sgd &a, float scale, float *w, float *b, bool momentum, float g)
{
    g = fmaf(*w, a.weight_decay, g * scale);
    float d = g;
    if (momentum) {
        *b = d = a.first ? g : fmaf(*b, a.momentum, g * a.rest);
        if (a.nesterov) d = fmaf(d, a.momentum, g);
    }
    *w = fmaf(d, -a.lr, *w);
}

template <bool ALIGNED, LowKind LOW>
static __global__ void __launch_bounds__(THREADS)
    step(float *w, float *buffer, Low low, const float *g, int64_t n, const float *grad_scale, Sgd a)
{
    float scale = *grad_scale;
    if (!is_finite(scale)) return;
    int64_t stride = (int64_t)gridDim.x * THREADS * 4;
    bool momentum = buffer != nullptr;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 4; i < n; i += stride) {
        float4 w4 = load4<ALIGNED>(w + i, n - i), g4 = load4<ALIGNED>(g + i, n - i), b4 = zero4();
        if (momentum && !a.first) b4 = load4<ALIGNED>(buffer + i, n - i);
        update(a, scale, &w4.x, &b4.x, momentum, g4.x), update(a, scale, &w4.y, &b4.y, momentum, g4.y);
        update(a, scale, &w4.z, &b4.z, momentum, g4.z), update(a, scale, &w4.w, &b4.w, momentum, g4.w);
        store4<ALIGNED>(w + i, w4, n - i);
        if (momentum) store4<ALIGNED>(buffer + i, b4, n - i);
        low_store<LOW, ALIGNED>(low, w4, i, n - i);
    }
}

static void sgd(Stream *s, float *w, float *momentum_buffer, const LowCopy *low, const float *g, int64_t n,
                const float *grad_scale, double lr, double weight_decay, double momentum, double dampening,
                bool nesterov, bool first)
{
    Sgd a = {(float)lr, (float)weight_decay, (float)momentum, (float)(1 - dampening), nesterov, first};
    float *b = momentum_buffer;
    bool aligned = cuda_is_aligned(w) && cuda_is_aligned(b) && cuda_is_aligned(g) &&
                   (!low || cuda_is_aligned(low->data));
    unsigned blocks = cuda_blocks(n, THREADS * 4);
    if (aligned) {
        low_dispatch(low_kind(low), [&](auto kind) {
            launch(step<true, decltype(kind)::value>, blocks, THREADS, 0, s, w, b, low_of(low), g, n, grad_scale, a);
        });
    } else {
        launch(step<false, LOW_NONE>, blocks, THREADS, 0, s, w, b, Low{}, g, n, grad_scale, a);
        if (low) cuda_low_copy(s, low, w, n, grad_scale);
    }
}

void cuda_sgd_install(Kernels *k) { k->sgd = sgd; }
