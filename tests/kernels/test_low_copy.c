/* Copies of f32 numbers in bf16 and f16: the nearest, even where two are, or one of the two neighbours by chance with
 * the right mean, the same for every split. */
#include "kernels/rounding.h"
#include "tests/kernels/low_test.h"

static const int64_t sizes[] = {0, 1, 3, 4, 13, 130, 1029, 32768 + 7};

/* Numbers of all sizes that the dtype has, and ties. */
static float *wide_numbers(int64_t n, Dtype dtype)
{
    float *x = numbers(n, 7);
    int most = dtype == DTYPE_F16 ? 15 : 120, least = dtype == DTYPE_F16 ? -30 : -140;
    for (int64_t i = 0; i < n; i++) x[i] = ldexpf(x[i], least + (int)(i * 7 % (most - least)));
    if (n <= 12) return x;
    bool f16 = dtype == DTYPE_F16;
    x[7] = -0.0f, x[8] = f16 ? 0x3p-25f : 0x3p-134f, x[12] = 1 + (f16 ? 0x1p-11f : 0x1p-8f);
    return x;
}

static void the_nearest_number_is_taken(void **state)
{
    (void)state;
    const Kernels *k;
    for (size_t c = 0; c < COUNT(sizes) * 2; c++) {
        int64_t n = sizes[c / 2];
        LowCopy low = low_kinds[c % 2];
        float *w = wide_numbers(n, low.dtype);
        for (EACH_ISA(k))
            for (int threads = 1; threads <= 3; threads++) {
                Stream *s = stream_new_cpu(threads);
                uint16_t *y = low_rubbish(n);
                low.data = y;
                k->low_copy(s, &low, w, n);
                for (int64_t i = 0; i < n; i++) {
                    double q = low_quantum(low.dtype, w[i]), want = rint(w[i] / q) * q;
                    if (low_value(low.dtype, y[i]) != want || !signbit(w[i]) != !(y[i] & 0x8000))
                        fail_msg("%s: %.9g becomes %.9g, not %.9g", dtype_name(low.dtype), (double)w[i],
                                 low_value(low.dtype, y[i]), want);
                }
                free(y);
                stream_free(s);
            }
        free(w);
    }
}

static void by_chance_it_is_a_neighbour_and_no_split_changes_a_bit(void **state)
{
    (void)state;
    const Kernels *k;
    for (size_t c = 0; c < COUNT(sizes) * 2; c++) {
        int64_t n = sizes[c / 2], cut = n / 8 * 4;
        LowCopy low = low_kinds[2 + c % 2];
        low.first = c % 3 ? ((int64_t)1 << 34) + 16 : 0;
        float *w = wide_numbers(n, low.dtype);
        for (EACH_ISA(k))
            for (int threads = 1; threads <= 3; threads++) {
                Stream *s = stream_new_cpu(threads);
                uint16_t *y = low_rubbish(n), *parts = low_rubbish(n);
                LowCopy head = low, tail = low;
                low.data = y, head.data = parts, tail.data = parts + cut, tail.first += cut;
                k->low_copy(s, &low, w, n);
                k->low_copy(s, &tail, w + cut, n - cut);
                k->low_copy(s, &head, w, cut);
                for (int64_t i = 0; i < n; i++) {
                    Philox r = rounding_bits(low.seed, low.update, (uint64_t)(low.first + i) / 4);
                    uint16_t want = (low.dtype == DTYPE_F16 ? f16_by_chance : bf16_by_chance)(w[i], r.v[i % 4]);
                    double away = fabs(low_value(low.dtype, y[i]) - w[i]);
                    assert_true(away < low_quantum(low.dtype, w[i]));
                    assert_true(y[i] == want && parts[i] == want); /* on every backend */
                }
                free(y), free(parts);
                stream_free(s);
            }
        free(w);
    }
}

/* 65,536 roundings of one number, each with other random bits: the mean is the number itself, within five standard
 * deviations. */
static void by_chance_the_mean_is_right(void **state)
{
    (void)state;
    enum { N = 65536 };
    static const float values[] = {0.3f, -0.3f, 1.0f, 1.00390625f * 1.001f, 3.1e-5f, -2.2e-7f, 1e-8f, 65000};
    const Kernels *k;
    float *w = numbers(N, 1);
    uint16_t *y = low_rubbish(N);
    for (EACH_ISA(k))
        for (size_t c = 0; c < COUNT(values) * 4; c++) {
            LowCopy low = low_kinds[2 + c % 2];
            double x = values[c / 4], q = low_quantum(low.dtype, x), sum = 0, share = fmod(fabs(x), q) / q;
            low.data = y, low.update = (uint32_t)(c / 2);
            for (int i = 0; i < N; i++) w[i] = (float)x;
            Stream *s = stream_new_cpu(2);
            k->low_copy(s, &low, w, N);
            for (int i = 0; i < N; i++) sum += low_value(low.dtype, y[i]);
            if (fabs(sum / N - x) > 5 * q * sqrt(share * (1 - share) / N))
                fail_msg("%s: the mean of %.9g is %.9g", dtype_name(low.dtype), x, sum / N);
            stream_free(s);
        }
    free(w), free(y);
}

static void what_is_no_number_or_too_large_stays_so(void **state)
{
    (void)state;
    const float w[] = {NAN, INFINITY, -INFINITY, 1e6f, -1e6f, 3.4e38f};
    const Kernels *k;
    for (EACH_ISA(k))
        for (size_t c = 0; c < COUNT(low_kinds); c++) {
            Stream *s = stream_new_cpu(1);
            LowCopy low = low_kinds[c];
            uint16_t y[COUNT(w)];
            low.data = y;
            k->low_copy(s, &low, w, COUNT(w));
            bool f16 = low.dtype == DTYPE_F16;
            assert_true(isnan(low_value(low.dtype, y[0])));
            assert_true(low_value(low.dtype, y[1]) == INFINITY && low_value(low.dtype, y[2]) == -INFINITY);
            assert_true(f16 == (low_value(low.dtype, y[3]) == INFINITY));
            assert_true(f16 == (low_value(low.dtype, y[4]) == -INFINITY));
            assert_true(low_value(low.dtype, y[5]) > 3e38);
            stream_free(s);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_number_is_taken),
        cmocka_unit_test(by_chance_it_is_a_neighbour_and_no_split_changes_a_bit),
        cmocka_unit_test(by_chance_the_mean_is_right),
        cmocka_unit_test(what_is_no_number_or_too_large_stays_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
