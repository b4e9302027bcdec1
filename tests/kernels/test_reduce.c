/* Sums: right, in a fixed order, and never hiding an infinity or a NaN. */
#include "tests/kernels/kernel_test.h"

static const int64_t sizes[] = {
    0, 1, 13, 33, 130, KERNEL_BLOCK - 1, KERNEL_BLOCK, KERNEL_BLOCK + 1, 3 * KERNEL_BLOCK + 77};

static void squares_are_summed_by_blocks_and_no_thread_changes_a_bit(void **state)
{
    (void)state;
    const Kernels *k;
    for (size_t c = 0; c < COUNT(sizes); c++) {
        int64_t n = sizes[c], blocks = (n + KERNEL_BLOCK - 1) / KERNEL_BLOCK;
        float *x = numbers(n, 1);
        double want[4] = {0}, first[4] = {0};
        for (int64_t i = 0; i < n; i++) want[i / KERNEL_BLOCK] += (double)x[i] * x[i];
        for (EACH_ISA(k))
            for (int threads = 1; threads <= 3; threads++) {
                double got[5] = {-1, -1, -1, -1, -1};
                Stream *s = stream_new_cpu(threads);
                k->sum_squares(s, got, x, n);
                for (int64_t i = 0; i < blocks; i++) assert_true(fabs(got[i] - want[i]) <= 1e-12 * want[i]);
                assert_true(got[blocks] == -1);
                if (threads > 1) assert_memory_equal(got, first, (size_t)blocks * sizeof *got);
                memcpy(first, got, sizeof first);
                stream_free(s);
            }
        free(x);
    }
}

static void infinity_nan_and_huge_numbers_are_seen(void **state)
{
    (void)state;
    const Kernels *k;
    for (EACH_ISA(k))
        for (int at = 0; at < 100; at += 33) {
            Stream *s = stream_new_cpu(1);
            float *x = numbers(100, 1);
            double sum;
            x[at] = NAN, k->sum_squares(s, &sum, x, 100), assert_true(isnan(sum));
            x[at] = -INFINITY, k->sum_squares(s, &sum, x, 100), assert_true(sum == INFINITY);
            x[at] = 3e38f, k->sum_squares(s, &sum, x, 100), assert_true(fabs(sum - 9e76) < 1e70);
            free(x);
            stream_free(s);
        }
}

static void numbers_are_summed_one_after_the_other(void **state)
{
    (void)state;
    const Kernels *k;
    for (size_t c = 0; c < COUNT(sizes); c++)
        for (EACH_ISA(k)) {
            Stream *s = stream_new_cpu(2);
            float *x = numbers(sizes[c], 1);
            double sum = -1, want = 0;
            for (int64_t i = 0; i < sizes[c]; i++) want += x[i];
            k->sum_in_order(s, &sum, x, sizes[c]);
            assert_true(sum == want);
            free(x);
            stream_free(s);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(squares_are_summed_by_blocks_and_no_thread_changes_a_bit),
        cmocka_unit_test(infinity_nan_and_huge_numbers_are_seen),
        cmocka_unit_test(numbers_are_summed_one_after_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
