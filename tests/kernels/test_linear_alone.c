/* linear_forward_alone (kernels/cpu/product_few.c): a double reference; a row's bits depend neither on the rows
 * beside it (few rows and many take different ways) nor on threads. */
#include "tests/kernels/kernel_test.h"

typedef struct Shape {
    int64_t in, out;
} Shape;
static const Shape shapes[] = {{1, 1}, {33, 257}, {257, 13}, {768, 70}, {300, 700}, {515, 131}, {1030, 640}};
enum { ROWS = 21 };
#if defined HONE_TEST_CUDA || defined HONE_TEST_LOW
static int64_t next(int64_t rows) { return rows < 3 ? rows + 1 : rows + 6; } /* 8 share the weights there */
#else
static int64_t next(int64_t rows) { return rows < 9 ? rows + 1 : rows + 4; }
#endif

static void check(const Kernels *k, Stream *const streams[3], const Shape *h, WeightLayout layout, Activation act,
                  bool with_bias)
{
    float *x = numbers(ROWS * h->in, 1), *w = numbers(h->in * h->out, 2), *bias = with_bias ? numbers(h->out, 3) : NULL;
    float *all = rubbish(ROWS * h->out);
    double *want = zeros(ROWS * h->out);
    for (int64_t r = 0; r < ROWS; r++)
        for (int64_t o = 0; o < h->out; o++) {
            double sum = bias ? bias[o] : 0;
            for (int64_t i = 0; i < h->in; i++)
                sum += (double)x[r * h->in + i] * w[layout == OUT_IN ? o * h->in + i : i * h->out + o];
            want[r * h->out + o] = act == ACT_RELU && sum < 0 ? 0 : sum;
        }
    k->linear_forward_alone(streams[0], DTYPE_F32, DTYPE_F32, all, NULL, x, w, bias, ROWS, h->in, h->out, layout, act);
    assert_close("y", all, want, ROWS * h->out, 1e-6 * (double)(h->in + 2));
    for (int64_t rows = 1, first = 0; rows <= ROWS; rows = next(rows), first = ROWS - rows)
        for (int t = 0; t < 3; t++) {
            float *y = rubbish(rows * h->out), *pre = rubbish(rows * h->out);
            k->linear_forward_alone(streams[t], DTYPE_F32, DTYPE_F32, y, act == ACT_NONE ? NULL : pre,
                                    x + first * h->in, w, bias, rows, h->in, h->out, layout, act);
            assert_same_bits("some rows", y, all + first * h->out, rows * h->out);
            free(y), free(pre);
        }
    free(x), free(w), free(bias), free(all), free(want);
}

static void a_row_has_its_bits_alone(void **state)
{
    Stream *streams[3] = {stream_new_cpu(1), stream_new_cpu(2), stream_new_cpu(3)};
    const Kernels *k;
    (void)state;
    for (EACH_ISA(k))
        for (size_t i = 0; i < COUNT(shapes); i++)
            for (int layout = 0; layout < 2; layout++)
                check(k, streams, &shapes[i], layout ? IN_OUT : OUT_IN, i % 2 ? ACT_RELU : ACT_NONE,
                      layout == (int)(i % 2));
    for (int t = 0; t < 3; t++) stream_free(streams[t]);
}

static void empty_sizes_are_fine(void **state)
{
    (void)state;
    const Kernels *k;
    Stream *s = stream_new_cpu(1);
    for (EACH_ISA(k)) {
        float y[3] = {NAN, NAN, NAN}, bias[3] = {1, 2, 3};
        k->linear_forward_alone(s, DTYPE_F32, DTYPE_F32, y, NULL, NULL, NULL, bias, 1, 0, 3, OUT_IN, ACT_NONE);
        assert_same_bits("no inputs", y, bias, 3);
        k->linear_forward_alone(s, DTYPE_F32, DTYPE_F32, NULL, NULL, NULL, NULL, NULL, 0, 4, 3, OUT_IN, ACT_NONE);
        k->linear_forward_alone(s, DTYPE_F32, DTYPE_F32, NULL, NULL, y, NULL, NULL, 1, 3, 0, IN_OUT, ACT_NONE);
    }
    stream_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_has_its_bits_alone),
        cmocka_unit_test(empty_sizes_are_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
