/* SGD with momentum as torch does it (aten FusedSGDKernel.cpp): scalars in double, rounded once; arrays in f32. One
 * pass. */
#include "kernels/clip.h"
#include "kernels/cpu/families.h"
#include "kernels/vec.h"

enum { CHUNK = 1024 }; /* elements whose low copy is made while they are in cache */

typedef struct Sgd {
    float *w, *buffer; /* buffer NULL: no momentum */
    const LowCopy *low; /* NULL: none */
    const float *g;
    int64_t n;
    float grad_scale, lr, weight_decay, momentum, rest;
    bool nesterov, first;
} Sgd;

VEC_FN void update(const Sgd *a, int64_t i, int64_t left)
{
    vf w = vf_get(a->w + i, left), g = vf_fma(w, vf_set(a->weight_decay), vf_get(a->g + i, left) * a->grad_scale),
       b = g;
    if (a->buffer) {
        if (!a->first) b = vf_fma(vf_get(a->buffer + i, left), vf_set(a->momentum), g * a->rest);
        vf_put(a->buffer + i, b, left);
        if (a->nesterov) b = vf_fma(b, vf_set(a->momentum), g);
    }
    vf_put(a->w + i, vf_fma(b, vf_set(-a->lr), w), left);
}

static void block(void *context, int64_t task, int thread)
{
    (void)thread;
    const Sgd a = *(const Sgd *)context;
    int64_t i = task * KERNEL_BLOCK, end = a.n - i < KERNEL_BLOCK ? a.n : i + KERNEL_BLOCK;
    while (i < end) {
        int64_t begin = i, stop = end - i < CHUNK ? end : i + CHUNK;
        for (; i < stop; i += VF) update(&a, i, stop - i);
        if (a.low) VARIANT(low_copy_span)(a.low, a.w, begin, stop - begin);
        i = stop;
    }
}

static void sgd(Stream *s, float *w, float *momentum_buffer, const LowCopy *low, const float *g, int64_t n,
                const float *grad_scale, double lr, double weight_decay, double momentum, double dampening,
                bool nesterov, bool first)
{
    if (!is_finite(*grad_scale)) return;
    Sgd a = {.w = w, .buffer = momentum_buffer, .low = low, .g = g, .n = n, .grad_scale = *grad_scale, .lr = (float)lr,
             .weight_decay = (float)weight_decay, .momentum = (float)momentum, .rest = (float)(1 - dampening),
             .nesterov = nesterov, .first = first};
    threads_run(stream_threads(s), (n + KERNEL_BLOCK - 1) / KERNEL_BLOCK, block, &a);
}

void VARIANT(sgd_install)(Kernels *k) { k->sgd = sgd; }
