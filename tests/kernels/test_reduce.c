/* Sums: right, in a fixed order, and never hiding an infinity or a NaN. */
#include "kernels/clip.h"
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

static void segments_are_summed_one_number_after_the_other(void **state)
{
    (void)state;
    static const int32_t bounds[] = {0, 0, 1, 14, 270, 270, 800, 1313};
    enum { SEGMENTS = COUNT(bounds) - 1 };
    const Kernels *k;
    float *x = numbers(1313, 1);
    double want[SEGMENTS] = {0};
    for (int b = 0; b < SEGMENTS; b++)
        for (int32_t i = bounds[b]; i < bounds[b + 1]; i++) want[b] += x[i];
    for (EACH_ISA(k))
        for (int threads = 1; threads <= 3; threads++) {
            Stream *s = stream_new_cpu(threads);
            double sums[SEGMENTS + 1];
            for (int i = 0; i <= SEGMENTS; i++) sums[i] = -1;
            k->sum_segments(s, sums, x, 1313, bounds, SEGMENTS);
            assert_memory_equal(sums, want, sizeof want);
            assert_true(sums[SEGMENTS] == -1);
            k->sum_segments(s, sums, x, 1313, bounds, 0);
            for (size_t c = 0; c < COUNT(sizes) && sizes[c] <= 1313; c++) {
                double all = 0;
                for (int64_t i = 0; i < sizes[c]; i++) all += x[i];
                k->sum_segments(s, sums, x, sizes[c], NULL, 1);
                assert_true(sums[0] == all);
            }
            stream_free(s);
        }
    free(x);
}

/* As the host would compute it, to the bit. */
static void the_factor_clips_and_takes_the_loss_scale_back(void **state)
{
    (void)state;
    static const double unscales[] = {1, 1.0 / 65536, 0.125}, limits[] = {0, 1e-3, 1, 1e9};
    enum { BLOCKS = 600 };
    double partials[BLOCKS], losses[300], sum = 0;
    const Kernels *k;
    uint64_t seed = 5;
    for (int i = 0; i < BLOCKS; i++) sum += partials[i] = (double)(next_random(&seed) >> 12) * 0x1p-52;
    for (int i = 0; i < 300; i++) losses[i] = i;
    for (EACH_ISA(k))
        for (size_t c = 0; c < COUNT(unscales) * COUNT(limits); c++) {
            double unscale = unscales[c / COUNT(limits)], limit = limits[c % COUNT(limits)], norm_squared = -1;
            float factor = -1;
            Stream *s = stream_new_cpu(1 + (int)c % 3);
            k->clip_factor(s, &factor, &norm_squared, partials, BLOCKS, losses, 300, unscale, limit);
            assert_true(norm_squared == sum);
            assert_true(factor == (float)(unscale * clip_scale(unscale * sqrt(sum), limit)));
            assert_true(!(limit > 0) || (double)factor * sqrt(sum) <= limit * (1 + 1e-6));
            k->clip_factor(s, &factor, &norm_squared, partials, 0, NULL, 0, unscale, limit);
            assert_true(norm_squared == 0 && factor == (float)unscale);
            stream_free(s);
        }
}

static void the_factor_is_nan_where_anything_is_not_finite(void **state)
{
    (void)state;
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    const Kernels *k;
    for (EACH_ISA(k))
        for (int at = 0; at < 300; at += 133)
            for (size_t c = 0; c < COUNT(bad); c++) {
                double partials[300] = {1}, losses[300] = {2}, norm_squared;
                float factor = 0;
                Stream *s = stream_new_cpu(1);
                losses[at] = bad[c];
                k->clip_factor(s, &factor, &norm_squared, partials, 300, losses, 300, 1, 1);
                assert_true(isnan(factor) && norm_squared == 1);
                factor = 0, partials[at] = bad[c];
                k->clip_factor(s, &factor, &norm_squared, partials, 300, losses, at, 1, 1);
                assert_true(isnan(factor) && !isfinite(norm_squared));
                stream_free(s);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(squares_are_summed_by_blocks_and_no_thread_changes_a_bit),
        cmocka_unit_test(infinity_nan_and_huge_numbers_are_seen),
        cmocka_unit_test(segments_are_summed_one_number_after_the_other),
        cmocka_unit_test(the_factor_clips_and_takes_the_loss_scale_back),
        cmocka_unit_test(the_factor_is_nan_where_anything_is_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
