/* kernels/cpu/linear.c against a double reference, for both layouts, each instruction set and 1 to 3 threads (the same
 * bits). */
#include "tests/kernels/kernel_test.h"

typedef struct Shape { int64_t rows, in, out; } Shape;
static const Shape shapes[] = {{0, 3, 5},     {3, 0, 5},     {3, 5, 0},     {1, 1, 1},
                               {13, 33, 257}, {257, 13, 33}, {33, 257, 13}, {130, 40, 500},
                               {9, 24, 72}};

static double w_at(const float *w, const Shape *h, WeightLayout layout, int64_t i, int64_t o)
{
    return layout == OUT_IN ? w[o * h->in + i] : w[i * h->out + o];
}

static double act_of(double x, Activation act)
{
    switch (act) {
    case ACT_NONE: return x;
    case ACT_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case ACT_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    case ACT_RELU: return x > 0 ? x : 0;
    case ACT_SILU: return x / (1 + exp(-x));
    case ACT_TANH: return tanh(x);
    }
    return NAN;
}

/* A device's library applies gelu_tanh of 16-bit types before the rounding where it can, and not where memory is not
 * aligned. */
static void assert_same(const char *what, const float *x, const float *y, int64_t n, Activation act)
{
    if (act != ACT_GELU_TANH || dtype_unit() == 0) assert_same_bits(what, x, y, n);
    for (int64_t i = 0; i < n; i++) assert_true(fabs(x[i] - y[i]) <= 3 * dtype_unit() * (1 + fabs(y[i])));
}

static void check_forward(const Kernels *k, Stream *const streams[3], const Shape *h, WeightLayout layout,
                          Activation act, bool with_bias)
{
    int64_t n = h->rows * h->out;
    float *x = numbers(h->rows * h->in, 1), *w = numbers(h->in * h->out, 2),
          *bias = with_bias ? numbers(h->out, 3) : NULL, *first = NULL;
    double *pre_want = zeros(n), *want = zeros(n), tolerance = 1e-6 * (double)(h->in + 2);
    for (int64_t r = 0; r < h->rows; r++)
        for (int64_t o = 0; o < h->out; o++) {
            double sum = bias ? bias[o] : 0;
            for (int64_t i = 0; i < h->in; i++) sum += x[r * h->in + i] * w_at(w, h, layout, i, o);
            pre_want[r * h->out + o] = sum, want[r * h->out + o] = act_of(sum, act);
        }
    for (int t = 0; t < 3; t++) {
        float *y = rubbish(n), *pre = rubbish(n), *bare = rubbish(n);
        k->linear_forward(streams[t], DTYPE_F32, DTYPE_F32, y, pre, x, w, bias, h->rows, h->in, h->out, layout, act);
        k->linear_forward(streams[t], DTYPE_F32, DTYPE_F32, bare, act == ACT_NONE ? bare : NULL, x, w, bias, h->rows,
                          h->in, h->out, layout, act);
        assert_close_rounded("y", y, want, n, tolerance, act == ACT_NONE ? 0 : 1.2); /* slopes are up to 1.13 */
        assert_close("pre", pre, pre_want, n, tolerance);
        assert_same("pre kept or not", y, bare, n, act);
        if (first) assert_same("threads", y, first, n, act);
        else first = copy_of(y, n);
        free(y), free(pre), free(bare);
    }
    free(x), free(w), free(bias), free(first), free(pre_want), free(want);
}

static void forward_equals_the_reference(void **state)
{
    const Kernels *k;
    for (EACH_ISA(k))
        for (size_t i = 0; i < COUNT(shapes); i++)
            for (int act = ACT_NONE; act <= ACT_TANH; act++)
                check_forward(k, *state, &shapes[i], act & 1 ? IN_OUT : OUT_IN, (Activation)act, ((int)i + act) % 2);
}

static void backward_input_equals_the_reference(void **state)
{
    const Kernels *k;
    Stream **streams = *state;
    for (EACH_ISA(k))
        for (size_t i = 0; i < COUNT(shapes); i++)
            for (int bits = 0; bits < 4; bits++) {
                const Shape *h = &shapes[i];
                WeightLayout layout = bits & 1 ? IN_OUT : OUT_IN;
                bool accumulate = bits & 2;
                int64_t n = h->rows * h->in;
                float *dy = numbers(h->rows * h->out, 1), *w = numbers(h->in * h->out, 2), *before = numbers(n, 3),
                      *first = NULL;
                double *want = zeros(n);
                for (int64_t r = 0; r < h->rows; r++)
                    for (int64_t j = 0; j < h->in; j++) {
                        double sum = accumulate ? before[r * h->in + j] : 0;
                        for (int64_t o = 0; o < h->out; o++) sum += dy[r * h->out + o] * w_at(w, h, layout, j, o);
                        want[r * h->in + j] = sum;
                    }
                for (int t = 0; t < 3; t++) {
                    float *dx = accumulate ? copy_of(before, n) : rubbish(n);
                    k->linear_backward_input(streams[t], DTYPE_F32, DTYPE_F32, dx, dy, w, h->rows, h->in, h->out,
                                             layout, accumulate);
                    assert_close("dx", dx, want, n, 1e-6 * (double)(h->out + 2));
                    if (first) assert_same_bits("threads", dx, first, n);
                    else first = copy_of(dx, n);
                    free(dx);
                }
                free(dy), free(w), free(before), free(first), free(want);
            }
}

static void backward_weight_equals_the_reference(void **state)
{
    const Kernels *k;
    Stream **streams = *state;
    for (EACH_ISA(k))
        for (size_t i = 0; i < COUNT(shapes); i++)
            for (int bits = 0; bits < 8; bits++) {
                const Shape *h = &shapes[i];
                WeightLayout layout = bits & 1 ? IN_OUT : OUT_IN;
                bool accumulate = bits & 2, with_bias = bits & 4;
                int64_t n = h->in * h->out;
                float *x = numbers(h->rows * h->in, 1), *dy = numbers(h->rows * h->out, 2),
                      *before = numbers(n + h->out, 3), *first = NULL;
                double *want = zeros(n + h->out); /* dW, then dbias */
                for (int64_t j = 0; accumulate && j < n + h->out; j++) want[j] = before[j];
                for (int64_t r = 0; r < h->rows; r++)
                    for (int64_t o = 0; o < h->out; o++) {
                        double g = dy[r * h->out + o];
                        want[n + o] += g;
                        for (int64_t j = 0; j < h->in; j++)
                            want[layout == OUT_IN ? o * h->in + j : j * h->out + o] += g * x[r * h->in + j];
                    }
                for (int t = 0; t < 3; t++) {
                    float *d = accumulate ? copy_of(before, n + h->out) : rubbish(n + h->out);
                    k->linear_backward_weight(streams[t], DTYPE_F32, d, with_bias ? d + n : NULL, x, dy, h->rows, h->in,
                                              h->out, layout, accumulate);
                    int64_t filled = n + (with_bias ? h->out : 0);
                    assert_close_f32("dW and dbias", d, want, filled, 1e-6 * (double)(h->rows + 2));
                    if (first) assert_same_bits("threads", d, first, filled);
                    else first = copy_of(d, n + h->out);
                    free(d);
                }
                float *bias =
                    accumulate ? copy_of(before + n, h->out) : rubbish(h->out); /* a frozen weight: x is not needed */
                k->linear_backward_weight(streams[1], DTYPE_F32, NULL, bias, NULL, dy, h->rows, h->in, h->out, layout,
                                          accumulate);
                if (with_bias) assert_same_bits("dbias alone", bias, first + n, h->out);
                free(bias);
                free(x), free(dy), free(before), free(first), free(want);
            }
}

static int streams_open(void **state)
{
    static Stream *streams[3];
    for (int t = 0; t < 3; t++) streams[t] = stream_new_cpu(t + 1);
    *state = streams;
    return 0;
}

static int streams_close(void **state)
{
    for (int t = 0; t < 3; t++) stream_free(((Stream **)*state)[t]);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(forward_equals_the_reference),
        cmocka_unit_test(backward_input_equals_the_reference),
        cmocka_unit_test(backward_weight_equals_the_reference),
    };
    return cmocka_run_group_tests(tests, streams_open, streams_close);
}
