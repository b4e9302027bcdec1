/* SGD with its switches against torch and against the formula in double. */
#include "tests/kernels/low_test.h"

static const float one = 1, quarter = 0.25f;

typedef struct Case {
    double weight_decay, momentum, dampening;
    bool nesterov;
    double want[5]; /* torch 2.15, torch.optim.SGD(lr=0.1, fused=True) on the CPU: three steps of the numbers below */
} Case;

static const Case cases[] = {
    {0, 0, 0, false, {0.50999999, -1.28999996, 0.00298000011, 38.0, -7.00000091e-05}},
    {0.01, 0.9, 0, false, {0.463165373, -1.26684952, 0.00295511214, 34.4551888, -6.96078932e-05}},
    {0, 0.9, 0.5, false, {0.469400018, -1.23479998, 0.00297239982, 33.2700005, -7.00002711e-05}},
    {0.01, 0.9, 0, true, {0.475503653, -1.30150974, 0.00293067168, 32.9052505, -6.94377813e-05}},
};

static void equals_three_steps_of_torch(void **state)
{
    (void)state;
    static const float g[3][5] = {
        {0.1f, -0.2f, 1e-4f, 30, 1e-9f}, {0.3f, 0.2f, -1e-4f, -20, 1e-9f}, {-0.5f, 0.4f, 2e-4f, 10, -2e-9f}};
    const Kernels *k;
    for (size_t c = 0; c < COUNT(cases); c++)
        for (EACH_ISA(k)) {
            const Case *t = &cases[c];
            float w[5] = {0.5f, -1.25f, 3e-3f, 40, -7e-5f}, buffer[5] = {NAN, NAN, NAN, NAN, NAN};
            Stream *s = stream_new_cpu(1);
            for (int i = 0; i < 3; i++)
                k->sgd(s, w, t->momentum > 0 ? buffer : NULL, NULL, g[i], 5, &one, 0.1, t->weight_decay, t->momentum,
                       t->dampening, t->nesterov, i == 0);
            for (int i = 0; i < 5; i++)
                if (!(fabs(w[i] - t->want[i]) < 3e-7 * fabs(t->want[i])))
                    fail_msg("case %zu: %.9g, not %.9g", c, (double)w[i], t->want[i]);
            stream_free(s);
        }
}

static void follows_the_formula_and_no_thread_changes_a_bit(void **state)
{
    (void)state;
    static const int64_t sizes[] = {0, 1, 13, 130, KERNEL_BLOCK + 13};
    const Kernels *k;
    for (size_t c = 0; c < COUNT(sizes); c++) {
        int64_t n = sizes[c];
        float *w0 = numbers(n, 1), *g = numbers(n, 2), *b0 = numbers(n, 3), *first_w = NULL, *first_b = NULL;
        double *w = zeros(n), *b = zeros(n);
        for (int64_t i = 0; i < n; i++) {
            double grad = g[i] * 0.25 + 0.1 * w0[i];
            b[i] = 0.9 * b0[i] + 0.5 * grad, w[i] = w0[i] - 0.2 * (grad + 0.9 * b[i]);
        }
        for (EACH_ISA(k)) {
            for (int threads = 1; threads <= 3; threads++) {
                Stream *s = stream_new_cpu(threads);
                float *got_w = copy_of(w0, n), *got_b = copy_of(b0, n);
                k->sgd(s, got_w, got_b, NULL, g, n, &quarter, 0.2, 0.1, 0.9, 0.5, true, false);
                assert_close("w", got_w, w, n, 3e-7);
                assert_close("b", got_b, b, n, 3e-7);
                if (!first_w) first_w = copy_of(got_w, n), first_b = copy_of(got_b, n);
                assert_same_bits("w", got_w, first_w, n);
                assert_same_bits("b", got_b, first_b, n);
                free(got_w), free(got_b);
                stream_free(s);
            }
            free(first_w), free(first_b), first_w = NULL;
        }
        free(w0), free(g), free(b0), free(w), free(b);
    }
}

/* The same weights as without, and their copy to the last element; nothing where the factor is not finite. */
static void a_copy_in_fewer_bits_is_written_beside_the_weights(void **state)
{
    (void)state;
    static const int64_t lengths[] = {0, 1, 13, 1024, 1031, KERNEL_BLOCK + 13};
    static const float bad = NAN;
    const Kernels *k;
    for (size_t c = 0; c < COUNT(lengths) * COUNT(low_kinds) * 2; c++) {
        int64_t n = lengths[c / 2 / COUNT(low_kinds)];
        LowCopy low = low_kinds[c / 2 % COUNT(low_kinds)];
        float *w0 = numbers(n, 1), *g = numbers(n, 2), *b0 = numbers(n, 3);
        for (EACH_ISA(k))
            for (int threads = 1; threads <= 3; threads += 2) {
                Stream *s = stream_new_cpu(threads);
                float *w = copy_of(w0, n), *b = copy_of(b0, n), *same_w = copy_of(w0, n), *same_b = copy_of(b0, n);
                uint16_t *y = low_rubbish(n);
                low.data = y;
                k->sgd(s, w, c % 2 ? b : NULL, NULL, g, n, &one, 0.2, 0.1, 0.9, 0.5, true, false);
                k->sgd(s, same_w, c % 2 ? same_b : NULL, &low, g, n, &one, 0.2, 0.1, 0.9, 0.5, true, false);
                assert_same_bits("w", same_w, w, n);
                assert_same_bits("b", same_b, b, n);
                assert_is_copy(k, &low, w, n);
                k->sgd(s, same_w, c % 2 ? same_b : NULL, &low, g, n, &bad, 0.2, 0.1, 0.9, 0.5, true, false);
                assert_same_bits("w", same_w, w, n);
                assert_same_bits("b", same_b, b, n);
                assert_is_copy(k, &low, w, n);
                free(w), free(b), free(same_w), free(same_b), free(y);
                stream_free(s);
            }
        free(w0), free(g), free(b0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_three_steps_of_torch),
        cmocka_unit_test(follows_the_formula_and_no_thread_changes_a_bit),
        cmocka_unit_test(a_copy_in_fewer_bits_is_written_beside_the_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
