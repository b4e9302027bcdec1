/* This machine's rate of matrix products in GFLOP/s: bench_floor [threads [seconds]], built with -DHONE_BENCH=ON.
 *
 * The library's one-threaded product of 2048^3 in f32, one a thread, all at once, again and again: the median. What a
 * training step must spend at least is its products' FLOPs over this rate. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "kernels/gemm.h"
#include "kernels/kernels.h"

enum { N = 2048, MOST = 256 };
static float *a, *b, *c;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void product(void *context, int64_t task, int thread)
{
    (void)context, (void)thread;
    gemm_serial(false, false, N, N, N, 1, a, N, b, N, 0, c + task * N * N, N);
}

static int ascending(const void *x, const void *y)
{
    double p = *(const double *)x, q = *(const double *)y;
    return (p > q) - (p < q);
}

int main(int argc, char **argv)
{
    int threads = argc > 1 ? atoi(argv[1]) : 1, count = 0;
    double limit = argc > 2 ? atof(argv[2]) : 1, rates[MOST];
    Stream *s = threads > 0 ? stream_new_cpu(threads) : NULL;
    size_t size = (size_t)N * N * sizeof(float);
    a = aligned_alloc(64, size), b = aligned_alloc(64, size),
    c = aligned_alloc(64, size * (size_t)(threads > 0 ? threads : 1));
    if (!s || !a || !b || !c) return fprintf(stderr, "usage: bench_floor [threads [seconds]]\n"), 2;
    for (int i = 0; i < N * N; i++) a[i] = b[i] = (float)(i % 251) / 251 - 0.5f;
    threads_run(stream_threads(s), threads, product, NULL); /* pages, clocks */
    for (double begin = now(); count < MOST && (count < 3 || now() - begin < limit); count++) {
        double start = now();
        threads_run(stream_threads(s), threads, product, NULL);
        rates[count] = 2e-9 * N * N * N * threads / (now() - start);
    }
    qsort(rates, (size_t)count, sizeof *rates, ascending);
    printf("%.1f\n", rates[count / 2]);
    stream_free(s);
    free(a), free(b), free(c);
    return 0;
}
