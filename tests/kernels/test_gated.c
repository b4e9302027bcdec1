/* act(gate) * up and its gradient against the definitions in double; gradients in place. */
#include "tests/kernels/kernel_test.h"

static const Activation acts[] = {ACT_SILU, ACT_GELU, ACT_GELU_TANH, ACT_RELU};
static const int64_t sizes[] = {0, 1, 13, 33, 130, 20000};

static double value(Activation act, double x)
{
    switch (act) {
    case ACT_GELU: return 0.5 * x * erfc(-x / sqrt(2));
    case ACT_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ACT_RELU: return x > 0 ? x : 0;
    case ACT_SILU: return x / (1 + exp(-x));
    default: return NAN;
    }
}

static void check(const Kernels *k, int threads, Activation act, int64_t n, const float *gate, const float *up,
                  const float *dy)
{
    double *y = zeros(n), *dgate = zeros(n), *dup = zeros(n), h = 1e-5;
    for (int64_t i = 0; i < n; i++) {
        double slope = act == ACT_RELU ? gate[i] > 0 : (value(act, gate[i] + h) - value(act, gate[i] - h)) / (2 * h);
        y[i] = value(act, gate[i]) * up[i], dgate[i] = dy[i] * up[i] * slope, dup[i] = dy[i] * value(act, gate[i]);
    }
    Stream *s = stream_new_cpu(threads);
    float *got = rubbish(n), *got_dgate = rubbish(n), *got_dup = rubbish(n), *g = copy_of(gate, n), *u = copy_of(up, n);
    k->gated_forward(s, DTYPE_F32, got, gate, up, n, act);
    k->gated_backward(s, DTYPE_F32, got_dgate, got_dup, dy, gate, up, n, act);
    k->gated_backward(s, DTYPE_F32, g, u, dy, g, u, n, act);
    assert_close("y", got, y, n, 1e-6);
    assert_close("dgate", got_dgate, dgate, n, 1e-6);
    assert_close("dup", got_dup, dup, n, 1e-6);
    assert_same_bits("dgate in place", g, got_dgate, n);
    assert_same_bits("dup in place", u, got_dup, n);
    free(y), free(dgate), free(dup), free(got), free(got_dgate), free(got_dup), free(g), free(u);
    stream_free(s);
}

static void values_and_gradients_are_right_also_in_place(void **state)
{
    (void)state;
    const Kernels *k;
    for (size_t c = 0; c < COUNT(acts) * COUNT(sizes); c++) {
        int64_t n = sizes[c / COUNT(acts)];
        float *gate = numbers(n, 1), *up = numbers(n, 2), *dy = numbers(n, 3);
        for (int64_t i = 0; i < n; i++) gate[i] *= 6;
        rounded(gate, n);
        for (EACH_ISA(k))
            for (int threads = 1; threads <= 3; threads++) check(k, threads, acts[c % COUNT(acts)], n, gate, up, dy);
        free(gate), free(up), free(dy);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(values_and_gradients_are_right_also_in_place)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
