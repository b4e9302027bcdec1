/* kernels/cpu/basic.c: add, scale, fill_zero, copy, across the edges of the blocks they are cut into. */
#include "tests/kernels/kernel_test.h"

static const int64_t sizes[] = {0, 1, 13, 33, 257, 65536, 65537, 200003};

static void add_scale_zero_copy_do_what_they_say(void **state)
{
    (void)state;
    const Kernels *k;
    for (EACH_ISA(k)) {
        for (int threads = 1; threads <= 3; threads++) {
            Stream *s = stream_new_cpu(threads);
            for (size_t i = 0; i < COUNT(sizes); i++) {
                int64_t n = sizes[i];
                float *x = numbers(n, 1), *y = numbers(n, 2), *want = copy_of(y, n);
                k->add(s, DTYPE_F32, y, x, n);
                for (int64_t j = 0; j < n; j++) want[j] += x[j];
                rounded(want, n);
                assert_same_bits("add", y, want, n);
                k->add(s, DTYPE_F32, y, y, n);
                k->scale(s, DTYPE_F32, y, 0.3f, n);
                for (int64_t j = 0; j < n; j++) want[j] = (want[j] + want[j]) * 0.3f;
                rounded(want, n);
                assert_same_bits("scale", y, want, n);
                k->copy(s, y, x, (size_t)n * 4);
                assert_same_bits("copy", y, x, n);
                k->fill_zero(s, y, (size_t)n * 4);
                for (int64_t j = 0; j < n; j++) assert_true(y[j] == 0);
                free(x), free(y), free(want);
            }
            stream_free(s);
        }
    }
}

static void bytes_beyond_are_left_alone(void **state)
{
    (void)state;
    const Kernels *k;
    Stream *s = stream_new_cpu(2);
    for (EACH_ISA(k)) {
        char y[11] = "abcdefghij";
        k->fill_zero(s, y + 1, 3);
        k->copy(s, y + 5, "xyz", 3);
        assert_memory_equal(y, "a\0\0\0exyzij", 10);
    }
    stream_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(add_scale_zero_copy_do_what_they_say),
        cmocka_unit_test(bytes_beyond_are_left_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
