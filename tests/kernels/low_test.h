/* What the tests of copies in fewer bits share: the numbers behind bf16 and f16, and the ones nearest to an f32. */
#ifndef TESTS_KERNELS_LOW_TEST_H
#define TESTS_KERNELS_LOW_TEST_H

#include "tests/kernels/kernel_test.h"

static const LowCopy low_kinds[] = {
    {.dtype = DTYPE_BF16}, {.dtype = DTYPE_F16},
    {.dtype = DTYPE_BF16, .rounding = ROUND_STOCHASTIC, .seed = 42, .update = 3},
    {.dtype = DTYPE_F16, .rounding = ROUND_STOCHASTIC, .seed = 42, .update = 3},
};

UNUSED_FN double low_value(Dtype dtype, uint16_t bits)
{
    int digits = dtype == DTYPE_BF16 ? 7 : 10, bias = dtype == DTYPE_BF16 ? 127 : 15;
    int exponent = (bits & 0x7FFF) >> digits, fraction = bits & ((1 << digits) - 1);
    double sign = bits & 0x8000 ? -1 : 1;
    if (exponent == 2 * bias + 1) return fraction ? NAN : sign * INFINITY;
    return sign * ldexp(exponent ? fraction + (1 << digits) : fraction, (exponent ? exponent : 1) - bias - digits);
}

/* The distance between the numbers of dtype around x. */
UNUSED_FN double low_quantum(Dtype dtype, double x)
{
    int e, digits = dtype == DTYPE_BF16 ? 8 : 11, least = dtype == DTYPE_BF16 ? -133 : -24;
    frexp(x, &e);
    return ldexp(1, e - digits > least ? e - digits : least);
}

/* n numbers that nobody should leave behind, in memory of exactly that size. */
UNUSED_FN uint16_t *low_rubbish(int64_t n)
{
    uint16_t *x = malloc(n > 0 ? (size_t)n * sizeof *x : 1);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = 0x7BAD;
    return x;
}

/* That `low` holds the copy of w that low_copy makes. */
UNUSED_FN void assert_is_copy(const Kernels *k, const LowCopy *low, const float *w, int64_t n)
{
    Stream *s = stream_new_cpu(1);
    LowCopy again = *low;
    uint16_t *want = low_rubbish(n), *have = low->data;
    again.data = want;
    k->low_copy(s, &again, w, n);
    for (int64_t i = 0; i < n; i++)
        if (have[i] != want[i])
            fail_msg("%s: element %lld of %lld is %04x, not %04x", dtype_name(low->dtype), (long long)i, (long long)n,
                     have[i], want[i]);
    free(want);
    stream_free(s);
}

#endif
