/* Rotary positions against the definition in double; the inverse undoes it. */
#include "tests/kernels/kernel_test.h"

typedef struct Case { int64_t rows; int32_t heads, head_dim, rotary_dim, extra; } Case; /* extra: between rows */

static const Case cases[] = {{0, 2, 8, 8, 0},    {1, 1, 2, 2, 0},       {13, 3, 24, 24, 5},
                             {33, 2, 66, 20, 1}, {130, 4, 64, 64, 300}, {5, 2, 10, 0, 0}};

enum { POSITIONS = 40 };

static void turns_by_the_angle_and_back(void **state)
{
    (void)state;
    const Kernels *k;
    for (size_t n = 0; n < COUNT(cases); n++) {
        Case c = cases[n];
        int64_t stride = c.heads * c.head_dim + c.extra, half = c.rotary_dim / 2, size = c.rows * stride;
        float *x = numbers(size, n), *cosines = rubbish(POSITIONS * half), *sines = rubbish(POSITIONS * half);
        int32_t *positions = malloc((size_t)c.rows * sizeof *positions + 1);
        double *want = zeros(size), *before = zeros(size);
        for (int64_t i = 0; i < POSITIONS * half; i++) {
            double angle = (double)(i / half) * pow(10000, -(double)(i % half) / (double)half);
            cosines[i] = (float)cos(angle), sines[i] = (float)sin(angle);
        }
        for (int64_t r = 0; r < c.rows; r++) positions[r] = (int32_t)(r * 7 % POSITIONS);
        for (int64_t i = 0; i < size; i++) want[i] = before[i] = x[i];
        for (int64_t r = 0; r < c.rows; r++)
            for (int64_t i = 0; i < c.heads * half; i++) {
                int64_t at = r * stride + i / half * c.head_dim + i % half, angle = positions[r] * half + i % half;
                want[at] = before[at] * cosines[angle] - before[at + half] * sines[angle];
                want[at + half] = before[at + half] * cosines[angle] + before[at] * sines[angle];
            }
        for (EACH_ISA(k))
            for (int threads = 1; threads <= 3; threads++) {
                Stream *s = stream_new_cpu(threads);
                float *y = copy_of(x, size);
                k->rope(s, DTYPE_F32, y, cosines, sines, positions, c.rows, c.heads, c.head_dim, c.rotary_dim, stride,
                        false);
                assert_close("turned", y, want, size, 2e-7);
                k->rope(s, DTYPE_F32, y, cosines, sines, positions, c.rows, c.heads, c.head_dim, c.rotary_dim, stride,
                        true);
                assert_close_rounded("turned back", y, before, size, 4e-7, 1);
                free(y);
                stream_free(s);
            }
        free(x), free(cosines), free(sines), free(positions), free(want), free(before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(turns_by_the_angle_and_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
