/* AdamW (Loshchilov and Hutter 2019) with torch's arithmetic (aten FusedAdamKernel.cu): scalars in double, rounded
 * once; arrays in f32.
 * Floor: 7 arrays of n floats moved in one pass, and 2*n bytes of a copy in fewer bits. The factor of the gradients is
 * read where clip_factor left it; one that is not finite ends the pass before it begins. */
#include <cmath>

#include "kernels/cuda/families.h"
#include "kernels/cuda/low_copy.cuh"

enum { THREADS = 256 };

struct AdamW {
    float keep, beta1_rest, beta2, beta2_rest, eps, root_correction2, step_size;
};

static __device__ __forceinline__ void update(const AdamW &a, float scale, float *w, float *m, float *v, float g)
{
    g *= scale;
    *m = fmaf(g - *m, a.beta1_rest, *m); /* lerp */
    *v = fmaf(*v, a.beta2, g * g * a.beta2_rest);
    *w = *w * a.keep - *m * a.step_size / (sqrtf(*v) / a.root_correction2 + a.eps);
}

template <bool ALIGNED, LowKind LOW>
static __global__ void __launch_bounds__(THREADS)
    step(float *w, float *m, float *v, Low low, const float *g, int64_t n, const float *grad_scale, AdamW a)
{
    float scale = *grad_scale;
    if (!is_finite(scale)) return;
    int64_t stride = (int64_t)gridDim.x * THREADS * 4;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 4; i < n; i += stride) {
        float4 w4 = load4<ALIGNED>(w + i, n - i), m4 = load4<ALIGNED>(m + i, n - i), v4 = load4<ALIGNED>(v + i, n - i),
               g4 = load4<ALIGNED>(g + i, n - i);
        update(a, scale, &w4.x, &m4.x, &v4.x, g4.x), update(a, scale, &w4.y, &m4.y, &v4.y, g4.y);
        update(a, scale, &w4.z, &m4.z, &v4.z, g4.z), update(a, scale, &w4.w, &m4.w, &v4.w, g4.w);
        store4<ALIGNED>(w + i, w4, n - i), store4<ALIGNED>(m + i, m4, n - i), store4<ALIGNED>(v + i, v4, n - i);
        low_store<LOW, ALIGNED>(low, w4, i, n - i);
    }
}

static void adamw(Stream *s, float *w, float *m, float *v, const LowCopy *low, const float *g, int64_t n,
                  const float *grad_scale, double lr, double beta1, double beta2, double eps, double weight_decay,
                  double correction1, double correction2)
{
    AdamW a = {(float)(1 - lr * weight_decay), (float)(1 - beta1),       (float)beta2, (float)(1 - beta2),
               (float)eps, (float)sqrt(correction2),       (float)(lr / correction1)};
    bool aligned = cuda_is_aligned(w) && cuda_is_aligned(m) && cuda_is_aligned(v) && cuda_is_aligned(g) &&
                   (!low || cuda_is_aligned(low->data));
    unsigned blocks = cuda_blocks(n, THREADS * 4);
    if (aligned) {
        low_dispatch(low_kind(low), [&](auto kind) {
            launch(step<true, decltype(kind)::value>, blocks, THREADS, 0, s, w, m, v, low_of(low), g, n, grad_scale, a);
        });
    } else {
        launch(step<false, LOW_NONE>, blocks, THREADS, 0, s, w, m, v, Low{}, g, n, grad_scale, a);
        if (low) cuda_low_copy(s, low, w, n, grad_scale);
    }
}

void cuda_adamw_install(Kernels *k) { k->adamw = adamw; }
