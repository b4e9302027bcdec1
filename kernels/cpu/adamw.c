/* AdamW (Loshchilov and Hutter 2019) with torch's arithmetic (aten FusedAdamKernel.cpp): scalars in double, rounded
 * once; arrays in f32. One pass, seven streams of memory, eight with a copy in fewer
 * bits. */
#include "kernels/clip.h"
#include "kernels/cpu/families.h"
#include "kernels/vec.h"

enum { CHUNK = 1024 }; /* elements whose low copy is made while they are in cache */

typedef struct AdamW {
    float *w, *m, *v;
    const LowCopy *low; /* NULL: none */
    const float *g;
    int64_t n;
    float grad_scale, keep, beta1_rest, beta2, beta2_rest, eps, root_correction2, step_size;
} AdamW;

VEC_FN void update(const AdamW *a, int64_t i, int64_t left)
{
    vf g = vf_get(a->g + i, left) * a->grad_scale, w = vf_get(a->w + i, left) * a->keep;
    vf m = vf_get(a->m + i, left), v = vf_get(a->v + i, left);
    m = vf_fma(g - m, vf_set(a->beta1_rest), m); /* lerp */
    v = vf_fma(v, vf_set(a->beta2), g * g * a->beta2_rest);
    w = w - m * a->step_size / (vf_sqrt(v) / a->root_correction2 + a->eps);
    vf_put(a->w + i, w, left);
    vf_put(a->m + i, m, left);
    vf_put(a->v + i, v, left);
}

static void block(void *context, int64_t task, int thread)
{
    (void)thread;
    const AdamW a = *(const AdamW *)context; /* a copy: nothing stored can change it */
    int64_t i = task * KERNEL_BLOCK, end = a.n - i < KERNEL_BLOCK ? a.n : i + KERNEL_BLOCK;
    while (i < end) {
        int64_t begin = i, stop = end - i < CHUNK ? end : i + CHUNK;
        for (; i + VF <= stop; i += VF) update(&a, i, VF);
        if (i < stop) update(&a, i, stop - i);
        if (a.low) VARIANT(low_copy_span)(a.low, a.w, begin, stop - begin);
        i = stop;
    }
}

static void adamw(Stream *s, float *w, float *m, float *v, const LowCopy *low, const float *g, int64_t n,
                  const float *grad_scale, double lr, double beta1, double beta2, double eps, double weight_decay,
                  double correction1, double correction2)
{
    if (!is_finite(*grad_scale)) return;
    AdamW a = {.w = w, .m = m, .v = v, .low = low, .g = g, .n = n, .grad_scale = *grad_scale,
               .keep = (float)(1 - lr * weight_decay),
               .beta1_rest = (float)(1 - beta1), .beta2 = (float)beta2, .beta2_rest = (float)(1 - beta2),
               .eps = (float)eps, .root_correction2 = (float)sqrt(correction2), .step_size = (float)(lr / correction1)};
    threads_run(stream_threads(s), (n + KERNEL_BLOCK - 1) / KERNEL_BLOCK, block, &a);
}

void VARIANT(adamw_install)(Kernels *k) { k->adamw = adamw; }
