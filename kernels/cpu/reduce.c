/* Sums whose order is fixed: squares by blocks of KERNEL_BLOCK elements (for norms), and segments one number after the
 * other (losses). What both make of a step: the factor of its gradients. */
#include <math.h>

#include "kernels/clip.h"
#include "kernels/cpu/families.h"
#include "kernels/vec.h"

typedef struct Squares {
    double *partials;
    const float *x;
    int64_t n;
} Squares;

static void block(void *context, int64_t task, int thread)
{
    (void)thread;
    const Squares *a = context;
    const float *x = a->x + task * KERNEL_BLOCK;
    int64_t n = a->n - task * KERNEL_BLOCK < KERNEL_BLOCK ? a->n - task * KERNEL_BLOCK : KERNEL_BLOCK,
            whole = n - n % (2 * VF);
    vd s0 = {0}, s1 = {0}, s2 = {0}, s3 = {0};
    for (int64_t i = 0; i < whole; i += 2 * VF) {
        vf a0 = vf_load(x + i), a1 = vf_load(x + i + VF);
        vd d0 = vf_to_vd_low(a0), d1 = vf_to_vd_high(a0), d2 = vf_to_vd_low(a1), d3 = vf_to_vd_high(a1);
        s0 = vd_fma(d0, d0, s0), s1 = vd_fma(d1, d1, s1), s2 = vd_fma(d2, d2, s2), s3 = vd_fma(d3, d3, s3);
    }
    double sum = vd_sum((s0 + s1) + (s2 + s3));
    for (int64_t i = whole; i < n; i++) sum += (double)x[i] * x[i];
    a->partials[task] = sum;
}

static void sum_squares(Stream *s, double *partials, const float *x, int64_t n)
{
    Squares a = {.partials = partials, .x = x, .n = n};
    threads_run(stream_threads(s), (n + KERNEL_BLOCK - 1) / KERNEL_BLOCK, block, &a);
}

typedef struct Segments {
    double *sums;
    const float *x;
    const int32_t *bounds;
} Segments;

static double in_order(const float *x, int64_t n)
{
    double total = 0;
    for (int64_t i = 0; i < n; i++) total += x[i];
    return total;
}

static void segment(void *context, int64_t task, int thread)
{
    (void)thread;
    const Segments *a = context;
    a->sums[task] = in_order(a->x + a->bounds[task], a->bounds[task + 1] - a->bounds[task]);
}

static void sum_segments(Stream *s, double *sums, const float *x, int64_t n, const int32_t *bounds, int64_t segments)
{
    Segments a = {.sums = sums, .x = x, .bounds = bounds};
    if (bounds) threads_run(stream_threads(s), segments, segment, &a);
    else *sums = in_order(x, n);
}

static void clip_factor(Stream *s, float *grad_scale, double *norm_squared, const double *partials, int64_t blocks,
                        const double *losses, int64_t num_losses, double unscale, double max_norm)
{
    (void)s;
    double sum = 0;
    for (int64_t i = 0; i < blocks; i++) sum += partials[i];
    bool finite = is_finite(sum) && is_finite(unscale);
    for (int64_t i = 0; i < num_losses; i++) finite = finite && is_finite(losses[i]);
    *norm_squared = sum;
    *grad_scale = finite ? (float)(unscale * clip_scale(unscale * sqrt(sum), max_norm)) : NAN;
}

void VARIANT(reduce_install)(Kernels *k)
{
    k->sum_squares = sum_squares;
    k->sum_segments = sum_segments;
    k->clip_factor = clip_factor;
}
