/* Activations and their slopes against the definitions in double. */
#include "tests/kernels/kernel_test.h"

static const Activation acts[] = {ACT_NONE, ACT_GELU, ACT_GELU_TANH, ACT_RELU, ACT_SILU, ACT_TANH};
static const int64_t sizes[] = {0, 1, 13, 33, 130, 40000};

static double value(Activation act, double x)
{
    switch (act) {
    case ACT_NONE: return x;
    case ACT_GELU: return 0.5 * x * erfc(-x / sqrt(2));
    case ACT_GELU_TANH: /* x/2 (1 + tanh), uncancelled */
        return x / (1 + exp(-2 * sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ACT_RELU: return x > 0 ? x : 0;
    case ACT_SILU: return x / (1 + exp(-x));
    case ACT_TANH: return tanh(x);
    }
    return NAN;
}

static double slope(Activation act, double x)
{
    double h = 1e-5;
    if (act == ACT_RELU) return x > 0;
    return (value(act, x + h) - value(act, x - h)) / (2 * h);
}

static float *inputs(int64_t n)
{
    float *x = numbers(n, 3);
    for (int64_t i = 0; i < n; i++) x[i] *= i % 3 ? 3 : 12;
    return rounded(x, n);
}

static void values_and_slopes_are_right_for_every_thread_count(void **state)
{
    (void)state;
    const Kernels *k;
    for (size_t c = 0; c < COUNT(acts) * COUNT(sizes); c++) {
        Activation act = acts[c % COUNT(acts)];
        int64_t n = sizes[c / COUNT(acts)];
        float *x = inputs(n), *dy = numbers(n, 4);
        double *want = zeros(n), *dwant = zeros(n);
        for (int64_t i = 0; i < n; i++) want[i] = value(act, x[i]), dwant[i] = dy[i] * slope(act, x[i]);
        for (EACH_ISA(k))
            for (int threads = 1; threads <= 3; threads++) {
                Stream *s = stream_new_cpu(threads);
                float *y = rubbish(n), *dx = copy_of(dy, n), *in_place = copy_of(x, n);
                k->activation_forward(s, DTYPE_F32, y, x, n, act);
                k->activation_forward(s, DTYPE_F32, in_place, in_place, n, act);
                k->activation_backward(s, DTYPE_F32, dx, dx, x, n, act); /* dpre is dy */
                assert_close("y", y, want, n, 1e-6);
                assert_close("dx", dx, dwant, n, 1e-6);
                assert_same_bits("in place", in_place, y, n);
                free(y), free(dx), free(in_place);
                stream_free(s);
            }
        free(x), free(dy), free(want), free(dwant);
    }
}

static void small_and_large_inputs_keep_their_accuracy(void **state)
{
    (void)state;
    const Kernels *k;
    float x[] = {1e-20f, -1e-20f, 1e-4f, -9, -5, 30, -30, 1e10f, -1e10f, 3e38f}, y[COUNT(x)], d[COUNT(x)],
          one[COUNT(x)];
    for (size_t i = 0; i < COUNT(x); i++) one[i] = 1;
    rounded(x, COUNT(x));
    for (EACH_ISA(k))
        for (size_t c = 0; c < COUNT(acts); c++) {
            Stream *s = stream_new_cpu(1);
            k->activation_forward(s, DTYPE_F32, y, x, COUNT(x), acts[c]);
            k->activation_backward(s, DTYPE_F32, d, one, x, COUNT(x), acts[c]);
            for (size_t i = 0; i < COUNT(x); i++) {
                if (!isfinite(x[i])) continue; /* beyond f16 */
                /* What 1 + erf cancels; the rounding of the argument of e^64. */
                double want = value(acts[c], x[i]), slack = acts[c] == ACT_GELU ? 1e-7 : 1e-5 * fabs(want);
                if (!(fabs(y[i] - want) <= slack + 1e-6 * fabs(want) + 1e-37 + rounding(want)))
                    fail_msg("%d: f(%g) = %g, not %g", acts[c], x[i], y[i], want);
                if (fabsf(x[i]) <= 1e10f && !isfinite(d[i])) fail_msg("%d: f'(%g) = %g", acts[c], x[i], d[i]);
            }
            stream_free(s);
        }
}

static void nan_stays_and_infinity_saturates(void **state)
{
    (void)state;
    const Kernels *k;
    for (EACH_ISA(k))
        for (size_t c = 0; c < COUNT(acts); c++) {
            Stream *s = stream_new_cpu(1);
            float x[] = {NAN, INFINITY}, y[2];
            k->activation_forward(s, DTYPE_F32, y, x, 2, acts[c]);
            assert_true(isnan(y[0]));
            assert_true(y[1] == (acts[c] == ACT_TANH ? 1 : INFINITY));
            stream_free(s);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_slopes_are_right_for_every_thread_count),
        cmocka_unit_test(small_and_large_inputs_keep_their_accuracy),
        cmocka_unit_test(nan_stays_and_infinity_saturates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
