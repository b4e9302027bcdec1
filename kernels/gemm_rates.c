/* How fast this machine does products (hone env), f32 and bf16 in both ways. */
#include <stdlib.h>
#include <time.h>

#include "kernels/gemm.h"

enum { SIZE = 512, KINDS = 3, MOST_ROUNDS = 50 };
static const double SECONDS = 50e-3;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* FLOP/s of one product of x by itself; 0: it failed. */
static double once(Stream *s, Dtype dtype, Bf16Products how, const void *x, float *c)
{
    GemmOperand a = {x, dtype, false, SIZE};
    GemmResult y = {c, DTYPE_F32, SIZE, false, NULL, NULL};
    gemm_set_bf16(how);
    double start = now();
    gemm_typed(s, SIZE, SIZE, SIZE, a, a, y);
    double seconds = now() - start;
    bool failed = stream_failed(s);
    stream_clear(s);
    return failed || seconds <= 0 ? 0 : 2.0 * SIZE * SIZE * SIZE / seconds;
}

/* The kinds in turn, so that whatever else the machine does meets them all; the first round is not counted. */
GemmRates gemm_rates(Stream *s)
{
    static const struct { Dtype dtype; Bf16Products how; } kinds[KINDS] = {
        {DTYPE_F32, BF16_WIDENED}, {DTYPE_BF16, BF16_WIDENED}, {DTYPE_BF16, BF16_LIBRARY}};
    double best[KINDS] = {0}, begin = now();
    Bf16Products chosen = gemm_bf16();
    size_t n = (size_t)SIZE * SIZE;
    float *x = calloc(n, sizeof *x), *c = calloc(n, sizeof *c); /* zeros are numbers of any dtype */
    for (int round = 0; x && c && round < MOST_ROUNDS && (round < 2 || now() - begin < SECONDS); round++)
        for (int i = 0; i < KINDS; i++) {
            if (kinds[i].how == BF16_LIBRARY && !gemm_has_bf16()) continue;
            double rate = once(s, kinds[i].dtype, kinds[i].how, x, c);
            if (round && rate > best[i]) best[i] = rate;
        }
    gemm_set_bf16(chosen);
    free(x), free(c);
    return (GemmRates){.f32 = best[0], .bf16_widened = best[1], .bf16_library = best[2]};
}
