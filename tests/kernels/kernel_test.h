/* What the tests of kernels share: every instruction set of this machine, 1 to 3 threads, arrays of known numbers,
 * comparison with a double reference. Include it after cmocka's includes. */
#ifndef TESTS_KERNEL_TEST_H
#define TESTS_KERNEL_TEST_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/gemm.h"
#include "kernels/kernels.h"

#define UNUSED_FN static inline __attribute__((unused))
#define COUNT(array) (sizeof(array) / sizeof *(array))

#ifdef HONE_TEST_CUDA /* the same tests on cuda:0 (tests/cuda_emulator/on_device.h) */
#include "tests/cuda_emulator/on_device.h"
#define stream_new_cpu(threads) stream_new_on_device(threads)
#define EACH_ISA(k)     \
    bool once_ = true;  \
    once_ && ((k) = kernels_on_device(), true); once_ = false
#else
/* for (EACH_ISA(k)): k runs over the tables of this machine's instruction sets. */
#define EACH_ISA(k)                                                                        \
    unsigned bit_ = ISA_BASE, isa_ = isa_detect();                                         \
    bit_ <= ISA_AVX512 && (isa_ & bit_) && ((k) = kernels_cpu(bit_), true);                \
    bit_ <<= 1
#endif

UNUSED_FN uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

/* n numbers of [-1, 1), in memory of exactly that size, so that the sanitizer sees a step beyond; free() them. */
UNUSED_FN float *numbers(int64_t n, uint64_t seed)
{
    float *x = malloc(n > 0 ? (size_t)n * sizeof *x : 1);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(next_random(&seed) >> 40) * 0x1p-23f - 1;
    return x;
}

/* n copies of a number that no kernel should leave behind. */
UNUSED_FN float *rubbish(int64_t n)
{
    float *x = malloc(n > 0 ? (size_t)n * sizeof *x : 1);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = NAN;
    return x;
}

UNUSED_FN float *copy_of(const float *x, int64_t n)
{
    float *y = malloc(n > 0 ? (size_t)n * sizeof *y : 1);
    assert_non_null(y);
    if (n) memcpy(y, x, (size_t)n * sizeof *y);
    return y;
}

UNUSED_FN double *zeros(int64_t n)
{
    double *x = calloc(n > 0 ? (size_t)n : 1, sizeof *x);
    assert_non_null(x);
    return x;
}

/* |x - want| <= tolerance * (1 + |want|) everywhere; says what and where if not. */
UNUSED_FN void assert_close(const char *what, const float *x, const double *want, int64_t n, double tolerance)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(x[i] - want[i]) <= tolerance * (1 + fabs(want[i]))))
            fail_msg("%s: element %lld of %lld is %.9g, not %.9g", what, (long long)i, (long long)n, (double)x[i],
                     want[i]);
}

UNUSED_FN void assert_same_bits(const char *what, const float *x, const float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(x + i, y + i, sizeof *x))
            fail_msg("%s: element %lld: %.9g and %.9g", what, (long long)i, (double)x[i], (double)y[i]);
}

#endif
