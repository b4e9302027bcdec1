/* What the tests of kernels share: every instruction set of this machine, 1 to 3 threads, arrays of known numbers,
 * comparison with a double reference. Include it after cmocka's includes.
 *
 * On cuda:0 (HONE_TEST_CUDA) the whole group runs three times, its arrays being f32, bf16, f16 on the device while the
 * test holds f32 (tests/cuda_emulator/on_device.h). What a test gives to kernels must then be numbers that the dtype
 * has: numbers() gives such, rounded() makes them; all inputs are exact, so a result may differ from the reference by
 * the f32 tolerance and one rounding to the dtype, and arrays that are f32 by contract by the tolerance alone.
 * HONE_TEST_LOW: so do the CPU's own tables, in bf16 and f16. */
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

#ifndef HONE_TEST_WITHOUT_F16 /* 1: the build is slow, and f16's kernels are bf16's with another type */
#define HONE_TEST_WITHOUT_F16 0
#endif

#if defined HONE_TEST_CUDA || defined HONE_TEST_LOW /* the same tests by way of tests/cuda_emulator/on_device.h */
#include "tests/cuda_emulator/on_device.h"
#define stream_new_cpu(threads) stream_new_on_device(threads)
/* Test files that run in f32 only: those whose kernels take nothing else. */
static const char *const f32_only[] = {
    "test_adamw.c", "test_convert.c", "test_low_copy.c", "test_reduce.c", "test_sgd.c", /* by contract */
    "test_weight_dtype.c", /* holds its own */
};
#ifdef HONE_TEST_LOW
#define EACH_ISA(k)                                                           \
    unsigned bit_ = ISA_BASE, isa_ = isa_detect();                            \
    bit_ <= ISA_AVX512 && (isa_ & bit_) && ((k) = kernels_on_cpu(bit_), true); \
    bit_ <<= 1
#define FIRST_DTYPE DTYPE_BF16
#else
#define EACH_ISA(k)     \
    bool once_ = true;  \
    once_ && ((k) = kernels_on_device(), true); once_ = false
#define FIRST_DTYPE DTYPE_F32
#endif

static inline int run_in_each_dtype(const char *file, const struct CMUnitTest *tests, size_t count,
                                    CMFixtureFunction setup, CMFixtureFunction teardown)
{
    int failed = 0;
    const char *name = strrchr(file, '/') ? strrchr(file, '/') + 1 : file;
    for (Dtype dtype = FIRST_DTYPE; dtype <= DTYPE_F16; dtype++) {
        bool skip = dtype == DTYPE_F16 && HONE_TEST_WITHOUT_F16;
        for (size_t i = 0; i < COUNT(f32_only); i++) skip |= dtype != DTYPE_F32 && strcmp(name, f32_only[i]) == 0;
        if (skip) continue;
        on_device_set_dtype(dtype);
        failed += _cmocka_run_group_tests(dtype_name(dtype), tests, count, setup, teardown);
    }
    return failed;
}
#undef cmocka_run_group_tests
#define cmocka_run_group_tests(tests, setup, teardown) \
    run_in_each_dtype(__FILE__, tests, COUNT(tests), setup, teardown)

/* Half a unit in the last place of 1, and the smallest number, of the dtype at work; 0 where it is f32. */
static inline double dtype_unit(void)
{
    return on_device_dtype() == DTYPE_BF16 ? 0x1p-8 : on_device_dtype() == DTYPE_F16 ? 0x1p-11 : 0;
}
static inline double dtype_smallest(void)
{
    return on_device_dtype() == DTYPE_BF16 ? 0x1p-133 : on_device_dtype() == DTYPE_F16 ? 0x1p-24 : 0;
}
static inline void round_to_dtype(float *x, int64_t n) { on_device_round(x, n); }
#else
static inline double dtype_unit(void) { return 0; }
static inline double dtype_smallest(void) { return 0; }
static inline void round_to_dtype(float *x, int64_t n) { (void)x, (void)n; }
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

/* x, each to the nearest number of the dtype at work. */
UNUSED_FN float *rounded(float *x, int64_t n)
{
    round_to_dtype(x, n);
    return x;
}

/* What the rounding of `want` to the dtype at work may cost. */
UNUSED_FN double rounding(double want) { return dtype_unit() * fabs(want) + dtype_smallest() / 2; }

/* n numbers of [-1, 1) that the dtype at work has, in memory of exactly that size, so that the sanitizer sees a step
 * beyond; free() them. */
UNUSED_FN float *numbers(int64_t n, uint64_t seed)
{
    float *x = malloc(n > 0 ? (size_t)n * sizeof *x : 1);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(next_random(&seed) >> 40) * 0x1p-23f - 1;
    return rounded(x, n);
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

/* |x - want| <= (tolerance + `more` roundings) * (1 + |want|), and the rounding of want where the array is of dtype,
 * everywhere; says what and where if not. */
UNUSED_FN void assert_within(const char *what, const float *x, const double *want, int64_t n, double tolerance,
                             bool in_dtype, double more)
{
    for (int64_t i = 0; i < n; i++) {
        double slack = (tolerance + more * dtype_unit()) * (1 + fabs(want[i])) + (in_dtype ? rounding(want[i]) : 0);
        if (!(fabs(x[i] - want[i]) <= slack))
            fail_msg("%s: element %lld of %lld is %.9g, not %.9g", what, (long long)i, (long long)n, (double)x[i],
                     want[i]);
    }
}

/* An array of dtype, rounded once. */
UNUSED_FN void assert_close(const char *what, const float *x, const double *want, int64_t n, double tolerance)
{
    assert_within(what, x, want, n, tolerance, true, 0);
}

/* An array that is f32 whatever the dtype. */
UNUSED_FN void assert_close_f32(const char *what, const float *x, const double *want, int64_t n, double tolerance)
{
    assert_within(what, x, want, n, tolerance, false, 0);
}

/* An array of dtype whose kernel also rounds on the way there: by as much as so many roundings of 1 + |want|. */
UNUSED_FN void assert_close_rounded(const char *what, const float *x, const double *want, int64_t n, double tolerance,
                                    double roundings)
{
    assert_within(what, x, want, n, tolerance, true, roundings);
}

UNUSED_FN void assert_same_bits(const char *what, const float *x, const float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (memcmp(x + i, y + i, sizeof *x))
            fail_msg("%s: element %lld: %.9g and %.9g", what, (long long)i, (double)x[i], (double)y[i]);
}

#endif
