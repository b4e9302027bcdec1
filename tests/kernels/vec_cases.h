/* What kernels/vec.h must hold, for the instruction set that the including file (test_vec*.c) has told the compiler. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>

#include "kernels/kernels.h"
#include "kernels/vec.h"

typedef vf VecFunction(vf);

static vf f_exp(vf a) { return vf_exp(a); }
static vf f_exp_negative(vf a) { return vf_exp_negative(a); }
static vf f_log(vf a) { return vf_log(a); }
static vf f_tanh(vf a) { return vf_tanh(a); }
static vf f_erf(vf a) { return vf_erf(a); }

static double ulps(float got, double want)
{
    if (isnan(want)) return isnan(got) ? 0 : INFINITY;
    if (isinf(want) || isinf(got)) return (double)got == want ? 0 : INFINITY;
    int exponent;
    frexp(want, &exponent);
    return fabs(got - want) / ldexp(1, exponent < -125 ? -149 : exponent - 24);
}

/* The largest error of f in [from, to], at geometric or even steps. */
static void check_function(const char *name, VecFunction *f, double (*reference)(double), double from, double to,
                           double limit)
{
    double worst = 0;
    float worst_at = 0;
    enum { STEPS = 200000 };
    for (int i = 0; i < STEPS; i += VF) {
        float x[VF], y[VF];
        for (int j = 0; j < VF; j++) {
            double t = (double)(i + j) / STEPS;
            x[j] = (float)(from > 0 ? from * pow(to / from, t) : from + (to - from) * t);
        }
        vf_store(y, f(vf_load(x)));
        for (int j = 0; j < VF; j++) {
            double e = ulps(y[j], reference(x[j]));
            if (e > worst) worst = e, worst_at = x[j];
        }
    }
    if (worst > limit) fail_msg("%s in [%g, %g]: %.2f ulp at %.9g, limit %.2f", name, from, to, worst, worst_at, limit);
}

static void functions_are_accurate_to_two_ulps(void **state)
{
    (void)state;
    double more = VF == 4 ? 1 : 0; /* the base set rounds each product */
    check_function("exp", f_exp, exp, -87.2, 88.7, 1.5 + more);
    check_function("exp", f_exp, exp, 1e-9, 1, 1.5 + more);
    check_function("exp_negative", f_exp_negative, exp, -87.2, 0, 1.5 + more);
    check_function("log", f_log, log, 1e-44, 3e38, 2);
    check_function("log", f_log, log, 0.5, 2, 2);
    check_function("tanh", f_tanh, tanh, -12, 12, 2 + more);
    check_function("tanh", f_tanh, tanh, 1e-30, 1, 2 + more);
    check_function("erf", f_erf, erf, -5, 5, 2 + more);
    check_function("erf", f_erf, erf, 1e-30, 1, 2 + more);
}

static float one(VecFunction *f, float x) { return f(vf_set(x))[0]; }

static void functions_keep_infinities_and_nan(void **state)
{
    (void)state;
    assert_true(one(f_exp, -INFINITY) == 0 && one(f_exp, -1e30f) == 0 && one(f_exp_negative, -INFINITY) == 0);
    assert_true(one(f_exp, INFINITY) == INFINITY && one(f_exp, 89) == INFINITY && one(f_exp, 0) == 1);
    assert_true(one(f_exp_negative, 0) == 1 && isnan(one(f_exp_negative, NAN)) && one(f_exp_negative, -1e30f) == 0);
    assert_true(one(f_log, 0) == -INFINITY && one(f_log, INFINITY) == INFINITY && one(f_log, 1) == 0 &&
                isnan(one(f_log, -1)));
    assert_true(one(f_tanh, INFINITY) == 1 && one(f_tanh, -INFINITY) == -1 && one(f_erf, INFINITY) == 1 &&
                one(f_erf, -9) == -1);
    assert_true(isnan(one(f_exp, NAN)) && isnan(one(f_log, NAN)) && isnan(one(f_tanh, NAN)) && isnan(one(f_erf, NAN)));
    assert_true(signbit(one(f_tanh, -0.0f)) && signbit(one(f_erf, -0.0f)));
}

static void get_and_put_touch_only_what_is_left(void **state)
{
    (void)state;
    for (int left = 1; left <= VF + 1; left++) {
        float *x = test_malloc((size_t)left * sizeof *x), y[VF + 2]; /* cmocka guards the ends of x */
        for (int i = 0; i < left; i++) x[i] = (float)(i + 1);
        for (int i = 0; i < VF + 2; i++) y[i] = -1;
        vf a = vf_get(x, left);
        vf_put(y + 1, a, left);
        for (int i = 0; i < VF; i++) {
            assert_true(a[i] == (i < left ? (float)(i + 1) : 0));
            assert_true(y[i + 1] == (i < left ? (float)(i + 1) : -1));
        }
        assert_true(y[0] == -1 && y[VF + 1] == -1);
        test_free(x);
    }
}

static void lanes_are_summed_and_compared(void **state)
{
    (void)state;
    vf a = __builtin_convertvector(vi_lanes(), vf) + 1.0f;
    assert_true(vf_sum(a) == VF * (VF + 1) / 2 && vf_largest(a) == VF && vf_largest(-a) == -1);
    assert_true(vd_sum(vf_to_vd_low(a)) + vd_sum(vf_to_vd_high(a)) == VF * (VF + 1) / 2);
    vf s = vf_select(a > 2.0f, a, -a), w = vf_where(a > 2.0f, a);
    vi n;
    vf r = vf_round(a * 1.4f, &n);
    for (int i = 0; i < VF; i++) {
        assert_true(s[i] == (i < 2 ? -(float)(i + 1) : (float)(i + 1)) && w[i] == (i < 2 ? 0 : (float)(i + 1)));
        assert_true(r[i] == nearbyintf((float)(i + 1) * 1.4f) && (float)n[i] == r[i]);
    }
}

static void fours_are_gathered_transposed_and_scattered(void **state)
{
    (void)state;
    float x[VF / 4 * 7], y[VF / 4 * 7] = {0};
    vf a[4];
    for (int i = 0; i < VF / 4 * 7; i++) x[i] = (float)i;
    for (int r = 0; r < 4; r++) a[r] = vf_get_fours(x + r, 7);
    vf_transpose_fours(a); /* a[j][4b + r] = x[7b + r + j] */
    for (int r = 0; r < 4; r++)
        for (int i = 0; i < VF; i++) assert_true(a[r][i] == x[i / 4 * 7 + i % 4 + r]);
    vf_put_fours(y + 2, 7, a[0]);
    for (int i = 0; i < VF / 4 * 7; i++) assert_true(y[i] == (i % 7 >= 2 && i % 7 < 6 ? x[i - 2] : 0));
}

static void philox_equals_the_scalar_one(void **state)
{
    (void)state;
    vu lane = (vu)vi_lanes(), out[4];
    vu_philox(7, 0xfffffff0u, lane * 3, lane + 0xfffffffeu, lane ^ 0x80000001u, ~lane, out);
    for (uint32_t i = 0; i < VF; i++) {
        Philox p = philox4x32(7, 0xfffffff0u, i * 3, i + 0xfffffffeu, i ^ 0x80000001u, ~i);
        for (int w = 0; w < 4; w++) assert_int_equal(out[w][i], p.v[w]);
    }
    vu_philox_row(1, 2, 5, 6, 7, 8, out);
    for (uint32_t i = 0; i < 4 * VF; i++)
        assert_int_equal(out[i / VF][i % VF], philox4x32(1, 2, 5 + i / 4, 6, 7, 8).v[i % 4]);
}

static void words_at_the_threshold_are_kept(void **state)
{
    (void)state;
    vu word = (vu)vi_lanes() + 0x7ffffffeu; /* across the sign bit */
    vf kept = vf_keep(vf_set(3), word, 0x80000000u), all = vf_keep(vf_set(3), word, 0);
    for (int i = 0; i < VF; i++) assert_true(kept[i] == (i < 2 ? 0 : 3) && all[i] == 3);
}

int vec_tests(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_are_accurate_to_two_ulps), cmocka_unit_test(functions_keep_infinities_and_nan),
        cmocka_unit_test(get_and_put_touch_only_what_is_left), cmocka_unit_test(lanes_are_summed_and_compared),
        cmocka_unit_test(fours_are_gathered_transposed_and_scattered),
        cmocka_unit_test(philox_equals_the_scalar_one), cmocka_unit_test(words_at_the_threshold_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
