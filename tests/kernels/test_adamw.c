/* AdamW over several steps against the formula in double, and three steps of torch. */
#include "tests/kernels/low_test.h"

static const int64_t sizes[] = {0, 1, 13, 33, 130, KERNEL_BLOCK + 13};

typedef struct Arrays { float *w, *m, *v; } Arrays;

static const float half = 0.5f, unit = 1;

static void steps(const Kernels *k, int threads, Arrays a, const float *g, int64_t n, int count, double weight_decay,
                  double eps)
{
    Stream *s = stream_new_cpu(threads);
    for (int step = 1; step <= count; step++)
        k->adamw(s, a.w, a.m, a.v, NULL, g, n, &half, 1e-2, 0.9, 0.999, eps, weight_decay, 1 - pow(0.9, step),
                 1 - pow(0.999, step));
    stream_free(s);
}

static void follows_the_formula_and_no_thread_changes_a_bit(void **state)
{
    (void)state;
    const Kernels *k;
    for (size_t c = 0; c < COUNT(sizes) * 2; c++) {
        int64_t n = sizes[c / 2];
        double decay = c % 2 ? 0.1 : 0, *w = zeros(n), *m = zeros(n), *v = zeros(n);
        float *w0 = numbers(n, 1), *g = numbers(n, 2), *nothing = calloc((size_t)n + 1, sizeof *nothing);
        for (int64_t i = 0; i < n; i++) {
            w[i] = w0[i];
            for (int step = 1; step <= 3; step++) {
                double grad = g[i] * 0.5;
                w[i] *= 1 - 1e-2 * decay, m[i] = 0.9 * m[i] + 0.1 * grad, v[i] = 0.999 * v[i] + 0.001 * grad * grad;
                w[i] -= 1e-2 / (1 - pow(0.9, step)) * m[i] / (sqrt(v[i]) / sqrt(1 - pow(0.999, step)) + 1e-8);
            }
        }
        for (EACH_ISA(k)) {
            Arrays one = {copy_of(w0, n), copy_of(nothing, n), copy_of(nothing, n)};
            steps(k, 1, one, g, n, 3, decay, 1e-8);
            assert_close("w", one.w, w, n, 4e-7);
            assert_close("m", one.m, m, n, 2e-7);
            assert_close("v", one.v, v, n, 2e-7);
            for (int threads = 2; threads <= 3; threads++) {
                Arrays more = {copy_of(w0, n), copy_of(nothing, n), copy_of(nothing, n)};
                steps(k, threads, more, g, n, 3, decay, 1e-8);
                assert_same_bits("w", more.w, one.w, n);
                assert_same_bits("m", more.m, one.m, n);
                assert_same_bits("v", more.v, one.v, n);
                free(more.w), free(more.m), free(more.v);
            }
            free(one.w), free(one.m), free(one.v);
        }
        free(w), free(m), free(v), free(w0), free(g), free(nothing);
    }
}

/* torch 2.15, torch.optim.AdamW(lr=1e-2, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.1, fused=True) on the CPU. */
static void equals_three_steps_of_torch(void **state)
{
    (void)state;
    static const float g[3][5] = {
        {0.1f, -0.2f, 1e-4f, 30, 1e-9f}, {0.3f, 0.2f, -1e-4f, -20, 1e-9f}, {-0.5f, 0.4f, 2e-4f, 10, -2e-9f}};
    static const double want_w[] = {0.480962038, -1.24225152, -0.0114443358, 39.8659096, -0.00179149618};
    static const double want_m[] = {-0.0148999998, 0.0417999998, 1.90999999e-05, 1.63, -2.89999968e-11};
    static const double want_v[] = {0.000349890033, 0.000239880057, 5.99700081e-11, 1.39780092, 5.99700088e-21};
    const Kernels *k;
    for (EACH_ISA(k)) {
        float w[5] = {0.5f, -1.25f, 3e-3f, 40, -7e-5f}, m[5] = {0}, v[5] = {0};
        Stream *s = stream_new_cpu(1);
        for (int step = 1; step <= 3; step++)
            k->adamw(s, w, m, v, NULL, g[step - 1], 5, &unit, 1e-2, 0.9, 0.999, 1e-8, 0.1, 1 - pow(0.9, step),
                     1 - pow(0.999, step));
        for (int i = 0; i < 5; i++) {
            assert_true(fabs(w[i] - want_w[i]) < 3e-7 * fabs(want_w[i]));
            assert_true(fabs(m[i] - want_m[i]) < 1e-6 * fabs(want_m[i])); /* cancels where signs change */
            assert_true(fabs(v[i] - want_v[i]) < 3e-7 * want_v[i]);
        }
        stream_free(s);
    }
}

static void nan_in_the_gradient_stays_in_its_element(void **state)
{
    (void)state;
    const Kernels *k;
    for (EACH_ISA(k)) {
        float w[3] = {1, 1, 1}, m[3] = {0}, v[3] = {0}, g[3] = {1, NAN, 1};
        steps(k, 1, (Arrays){w, m, v}, g, 3, 1, 0, 1e-8);
        assert_true(isfinite(w[0]) && isnan(w[1]) && isfinite(w[2]));
    }
}

/* The same weights as without, and their copy to the last element. */
static void a_copy_in_fewer_bits_is_written_beside_the_weights(void **state)
{
    (void)state;
    static const int64_t lengths[] = {0, 1, 13, 1024, 1031, KERNEL_BLOCK + 13};
    const Kernels *k;
    for (size_t c = 0; c < COUNT(lengths) * COUNT(low_kinds); c++) {
        int64_t n = lengths[c / COUNT(low_kinds)];
        LowCopy low = low_kinds[c % COUNT(low_kinds)];
        float *w0 = numbers(n, 1), *g = numbers(n, 2), *m0 = numbers(n, 3), *v0 = numbers(n, 4);
        for (int64_t i = 0; i < n; i++) v0[i] *= v0[i];
        low.first = 64;
        for (EACH_ISA(k))
            for (int threads = 1; threads <= 3; threads += 2) {
                Stream *s = stream_new_cpu(threads);
                Arrays a = {copy_of(w0, n), copy_of(m0, n), copy_of(v0, n)};
                Arrays b = {copy_of(w0, n), copy_of(m0, n), copy_of(v0, n)};
                low.data = low_rubbish(n);
                k->adamw(s, a.w, a.m, a.v, NULL, g, n, &half, 1e-2, 0.9, 0.999, 1e-8, 0.1, 0.1, 0.001);
                k->adamw(s, b.w, b.m, b.v, &low, g, n, &half, 1e-2, 0.9, 0.999, 1e-8, 0.1, 0.1, 0.001);
                assert_same_bits("w", b.w, a.w, n);
                assert_same_bits("m", b.m, a.m, n);
                assert_same_bits("v", b.v, a.v, n);
                assert_is_copy(k, &low, a.w, n);
                free(a.w), free(a.m), free(a.v), free(b.w), free(b.m), free(b.v), free(low.data);
                stream_free(s);
            }
        free(w0), free(g), free(m0), free(v0);
    }
}

static void a_factor_that_is_not_finite_writes_nothing(void **state)
{
    (void)state;
    static const float factors[] = {NAN, INFINITY, -INFINITY};
    const Kernels *k;
    for (size_t c = 0; c < COUNT(factors); c++)
        for (EACH_ISA(k))
            for (int threads = 1; threads <= 3; threads++) {
                Stream *s = stream_new_cpu(threads);
                float *x = numbers(37, 1), *w = copy_of(x, 37), *m = copy_of(x, 37), *v = copy_of(x, 37);
                uint16_t *y = low_rubbish(37);
                LowCopy low = low_kinds[c];
                low.data = y;
                k->adamw(s, w, m, v, &low, x, 37, &factors[c], 1e-2, 0.9, 0.999, 1e-8, 0.1, 0.1, 0.001);
                assert_same_bits("w", w, x, 37);
                assert_same_bits("m", m, x, 37);
                assert_same_bits("v", v, x, 37);
                for (int i = 0; i < 37; i++) assert_int_equal(y[i], 0x7BAD);
                free(x), free(w), free(m), free(v), free(y);
                stream_free(s);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(follows_the_formula_and_no_thread_changes_a_bit),
        cmocka_unit_test(equals_three_steps_of_torch),
        cmocka_unit_test(nan_in_the_gradient_stays_in_its_element),
        cmocka_unit_test(a_copy_in_fewer_bits_is_written_beside_the_weights),
        cmocka_unit_test(a_factor_that_is_not_finite_writes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
