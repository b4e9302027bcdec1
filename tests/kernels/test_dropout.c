/* Dropout's mask is philox.h's, number for number, wherever a sequence lies and whoever computes it. */
#include "tests/kernels/kernel_test.h"

static const int32_t cu[] = {0, 1, 1, 14, 14, 47, 177}, sample[] = {5, 1, 90000, 2, 7, 0};
enum { SEQUENCES = 6, ROWS = 177 };
static const int64_t widths[] = {1, 13, 33, 64, 130, 300};

static Dropout dropout_of(float p)
{
    return (Dropout){.p = p, .seed = 0xdeadbeef, .update = 70000, .op = 3, .cu_seqlens = cu, .sample = sample,
                     .num_seqs = SEQUENCES};
}

static bool kept(float p, int64_t row, int64_t col)
{
    int n = 0;
    while (row >= cu[n + 1]) n++;
    Philox w = philox4x32(0xdeadbeef, PHILOX_DROPOUT | 70000u << 8, (uint32_t)col / 4, (uint32_t)(row - cu[n]), 3,
                          (uint32_t)sample[n]);
    return w.v[col % 4] >= dropout_threshold(p);
}

static void mask_equals_the_scalar_one_bit_for_bit(void **state)
{
    (void)state;
    const Kernels *k;
    for (size_t c = 0; c < COUNT(widths) * 3; c++) {
        int64_t cols = widths[c / 3], n = ROWS * cols;
        float p = (float[]){0, 0.1f, 0.75f}[c % 3];
        Dropout d = dropout_of(p);
        float *x = numbers(n, 1), *residual = numbers(n, 2), *masked = rubbish(n), *sum = rubbish(n);
        for (int64_t i = 0; i < n; i++) {
            masked[i] = p == 0 || kept(p, i / cols, i % cols) ? x[i] * (p == 0 ? 1 : 1 / (1 - p)) : 0;
            sum[i] = masked[i] + residual[i];
        }
        rounded(masked, n), rounded(sum, n);
        for (EACH_ISA(k))
            for (int threads = 1; threads <= 3; threads++) {
                Stream *s = stream_new_cpu(threads);
                float *y = rubbish(n), *to_x = copy_of(x, n), *to_residual = copy_of(residual, n), *dx = rubbish(n);
                float *added = copy_of(residual, n);
                k->dropout_add_forward(s, DTYPE_F32, y, x, residual, ROWS, cols, &d);
                assert_same_bits("y", y, sum, n);
                k->dropout_add_forward(s, DTYPE_F32, y, x, NULL, ROWS, cols, &d);
                assert_same_bits("y without residual", y, masked, n);
                k->dropout_add_forward(s, DTYPE_F32, to_x, to_x, residual, ROWS, cols, &d);
                assert_same_bits("y is x", to_x, sum, n);
                k->dropout_add_forward(s, DTYPE_F32, to_residual, x, to_residual, ROWS, cols, &d);
                assert_same_bits("y is residual", to_residual, sum, n);
                k->dropout_backward(s, DTYPE_F32, dx, x, ROWS, cols, &d, false);
                assert_same_bits("dx", dx, masked, n);
                k->dropout_backward(s, DTYPE_F32, added, x, ROWS, cols, &d, true);
                assert_same_bits("dx added", added, sum, n);
                memcpy(dx, x, (size_t)n * sizeof *x);
                k->dropout_backward(s, DTYPE_F32, dx, dx, ROWS, cols, &d, false);
                assert_same_bits("dx is dy", dx, masked, n);
                free(y), free(to_x), free(to_residual), free(dx), free(added);
                stream_free(s);
            }
        free(x), free(residual), free(masked), free(sum);
    }
}

static void a_sequence_alone_has_the_same_mask(void **state)
{
    (void)state;
    const Kernels *k;
    enum { COLS = 50 };
    int32_t alone[] = {0, cu[5] - cu[4]};
    Dropout all = dropout_of(0.5f), one = all;
    one.cu_seqlens = alone, one.sample = sample + 4, one.num_seqs = 1;
    float *x = numbers(ROWS * COLS, 1), *y = rubbish(ROWS * COLS), *z = rubbish(alone[1] * COLS);
    for (EACH_ISA(k)) {
        Stream *s = stream_new_cpu(2);
        k->dropout_add_forward(s, DTYPE_F32, y, x, NULL, ROWS, COLS, &all);
        k->dropout_add_forward(s, DTYPE_F32, z, x + cu[4] * COLS, NULL, alone[1], COLS, &one);
        assert_same_bits("alone", z, y + cu[4] * COLS, alone[1] * COLS);
        stream_free(s);
    }
    free(x), free(y), free(z);
}

static void null_and_no_rows_are_fine(void **state)
{
    (void)state;
    const Kernels *k;
    float x[] = {1, 2, 3}, y[3];
    int32_t none[] = {0};
    Dropout d = {.p = 0.5f, .cu_seqlens = none, .sample = sample};
    for (EACH_ISA(k)) {
        Stream *s = stream_new_cpu(1);
        k->dropout_add_forward(s, DTYPE_F32, y, x, x, 1, 3, NULL);
        assert_true(y[0] == 2 && y[1] == 4 && y[2] == 6);
        k->dropout_add_forward(s, DTYPE_F32, y, x, NULL, 0, 3, &d);
        k->dropout_add_forward(s, DTYPE_F32, y, x, NULL, 1, 0, NULL);
        assert_true(y[0] == 2);
        stream_free(s);
    }
}

static void about_p_of_the_elements_are_dropped(void **state)
{
    (void)state;
    const Kernels *k;
    enum { N = 100000 };
    int32_t bounds[] = {0, 1000};
    Dropout d = {.p = 0.1f, .seed = 1, .cu_seqlens = bounds, .sample = sample, .num_seqs = 1};
    float *x = rubbish(N), *y = rubbish(N);
    for (int i = 0; i < N; i++) x[i] = 1;
    for (EACH_ISA(k)) {
        Stream *s = stream_new_cpu(1);
        int dropped = 0;
        k->dropout_add_forward(s, DTYPE_F32, y, x, NULL, 1000, N / 1000, &d);
        for (int i = 0; i < N; i++) dropped += y[i] == 0;
        assert_in_range(dropped, N / 10 - 400, N / 10 + 400); /* 4 standard deviations */
        stream_free(s);
    }
    free(x), free(y);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mask_equals_the_scalar_one_bit_for_bit), cmocka_unit_test(a_sequence_alone_has_the_same_mask),
        cmocka_unit_test(null_and_no_rows_are_fine), cmocka_unit_test(about_p_of_the_elements_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
