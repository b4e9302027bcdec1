/* Sums whose order is fixed: squares by blocks of KERNEL_BLOCK elements (for norms), and a few numbers one after the
 * other (losses). */
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

static void sum_in_order(Stream *s, double *sum, const float *x, int64_t n)
{
    (void)s;
    double total = 0;
    for (int64_t i = 0; i < n; i++) total += x[i];
    *sum = total;
}

void VARIANT(reduce_install)(Kernels *k)
{
    k->sum_squares = sum_squares;
    k->sum_in_order = sum_in_order;
}
