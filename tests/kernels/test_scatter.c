/* kernels/cpu/scatter.c: rows come where they were sent, and nothing else changes;
 * columns of rows likewise. */
#include "tests/kernels/kernel_test.h"

typedef struct Shape { int64_t rows, cols, stride, offset, places; } Shape;
static const Shape shapes[] = {{0, 8, 8, 0, 3},    {1, 1, 1, 0, 1},      {3, 7, 21, 7, 9},  {200, 13, 14, 1, 333},
                               {5, 16, 48, 16, 8}, {300, 64, 64, 0, 301}, {4, 0, 5, 0, 4}, {6, 16, 19, 0, 11}};

static void rows_come_where_they_were_sent(void **state)
{
    (void)state;
    const Kernels *k;
    for (EACH_ISA(k))
        for (size_t i = 0; i < COUNT(shapes); i++)
            for (int threads = 1; threads <= 3; threads++) {
                const Shape *h = &shapes[i];
                Stream *s = stream_new_cpu(threads);
                int64_t n = h->places * h->cols;
                float *x = numbers(h->rows * h->stride + h->offset, 1), *y = numbers(n, 2), *want = copy_of(y, n);
                int32_t *to = malloc((size_t)h->rows * sizeof *to + 1);
                for (int64_t r = 0; r < h->rows; r++) {
                    to[r] = (int32_t)(h->places - 1 - r); /* descending: no order is taken for granted */
                    for (int64_t c = 0; c < h->cols; c++)
                        want[to[r] * h->cols + c] = x[r * h->stride + h->offset + c];
                }
                k->scatter_rows(s, DTYPE_F32, y, to, x + h->offset, h->rows, h->cols, h->stride);
                assert_same_bits("y", y, want, n);
                free(x), free(y), free(want), free(to);
                stream_free(s);
            }
}

static void columns_are_copied_between_strides(void **state)
{
    (void)state;
    const Kernels *k;
    for (EACH_ISA(k))
        for (size_t i = 0; i < COUNT(shapes); i++) {
            const Shape *h = &shapes[i];
            Stream *s = stream_new_cpu(2);
            int64_t y_stride = h->cols + h->offset, n = h->rows * y_stride;
            float *x = numbers(h->rows * h->stride + h->offset, 1), *y = numbers(n, 2), *want = copy_of(y, n);
            for (int64_t r = 0; r < h->rows; r++)
                for (int64_t c = 0; c < h->cols; c++) want[r * y_stride + c] = x[r * h->stride + h->offset + c];
            k->copy_columns(s, DTYPE_F32, y, y_stride, x + h->offset, h->stride, h->rows, h->cols);
            assert_same_bits("y", y, want, n);
            free(x), free(y), free(want);
            stream_free(s);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_come_where_they_were_sent),
                                       cmocka_unit_test(columns_are_copied_between_strides)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
