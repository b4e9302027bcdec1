/* y = act(x W + bias) and its gradients: three products (product.cuh). Bias and gelu ride in the epilogue of the first
 * one where the library has it; else y begins as the bias and the product adds to it, rounded once like the other way,
 * and the activation is a pass behind. The gradient of the bias is summed down the columns in two stages (rows.cuh).
 * Floor: 2*rows*in*out FLOPs each; a pass of the activation moves 2*rows*out elements more, one of the bias as many,
 * the gradient of the bias reads rows*out. */
#include "kernels/cuda/families.h"
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/weight_parts.cuh"

enum { THREADS = 256 };

/* y [rows, out] at stride ld: the bias in each row, or zeros. */
template <typename T>
static __global__ void __launch_bounds__(THREADS) fill_bias(T *y, const T *bias, int64_t n, int64_t out, int64_t ld)
{
    int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step)
        y[i / out * ld + i % out] = bias ? bias[i % out] : T();
}

static void fill(Stream *s, Dtype dtype, void *y, const void *bias, int64_t rows, int64_t out, int64_t ld)
{
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        launch(fill_bias<T>, cuda_blocks(rows * out, THREADS), THREADS, 0, s, (T *)y, (const T *)bias, rows * out, out,
               ld);
    });
}

static void *element(Dtype dtype, const void *p, int64_t i)
{
    return p ? const_cast<char *>(static_cast<const char *>(p)) + (size_t)i * dtype_bytes(dtype) : nullptr;
}

/* c = x W + bias of the columns that p has; whether with what is left of the epilogue. */
static bool forward_columns(Stream *s, Product p, bool gelu, void *y, void *pre)
{
    if (p.k && gelu) {
        p.c = y, p.pre = pre, p.gelu = true;
        if (product(s, p)) return true;
    }
    p.c = pre ? pre : y, p.pre = nullptr, p.gelu = false;
    if (p.k && product(s, p)) return false;
    fill(s, p.from, p.c, p.bias, p.m, p.n, p.ldc);
    p.bias = nullptr, p.accumulate = true;
    if (p.k) product(s, p);
    return false;
}

static void linear_forward(Stream *s, Dtype dtype, Dtype wdtype, void *y, void *pre, const void *x, const void *weight,
                           const void *bias, int64_t rows, int64_t in, int64_t out, WeightLayout layout, Activation act)
{
    if (!rows || !out) return;
    bool done = false;
    Weight w = {wdtype, weight, layout == OUT_IN ? out : in, layout == OUT_IN ? in : out};
    with_weight_parts(s, dtype, w, layout == IN_OUT, [&](int64_t first, int64_t count, const void *part, int64_t ld) {
        Product p = {};
        p.from = p.to = dtype, p.trans_b = layout == OUT_IN, p.m = rows, p.n = count, p.k = in;
        p.a = x, p.lda = in, p.b = part, p.ldb = ld, p.ldc = out, p.bias = element(dtype, bias, first);
        done = forward_columns(s, p, act == ACT_GELU_TANH && count == out, element(dtype, y, first),
                               element(dtype, pre, first));
    });
    void *to = pre ? pre : y;
    if (!done && (act != ACT_NONE || to != y)) cuda_activation_forward(s, dtype, y, to, rows * out, act);
}

/* The same bits for a row whatever rows are beside it: the library chooses another algorithm for another number. */
static void linear_forward_alone(Stream *s, Dtype dtype, Dtype wdtype, void *y, void *pre, const void *x,
                                 const void *weight, const void *bias, int64_t rows, int64_t in, int64_t out,
                                 WeightLayout layout, Activation act)
{
    if (!rows || !in || !out) {
        linear_forward(s, dtype, wdtype, y, pre, x, weight, bias, rows, in, out, layout, act);
        return;
    }
    Weight w = {wdtype, weight, layout == OUT_IN ? out : in, layout == OUT_IN ? in : out};
    with_weight_parts(s, dtype, w, layout == IN_OUT, [&](int64_t first, int64_t count, const void *part, int64_t ld) {
        Alone a = {dtype, element(dtype, y, first), element(dtype, pre, first), x, part, element(dtype, bias, first),
                   rows, in, count, out, ld, layout, act};
        linear_alone(s, a);
    });
}

static void linear_backward_input(Stream *s, Dtype dtype, Dtype wdtype, void *dx, const void *dy, const void *weight,
                                  int64_t rows, int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    if (!rows || !in) return;
    if (!out) {
        if (!accumulate) fill(s, dtype, dx, nullptr, rows, in, in);
        return;
    }
    Weight w = {wdtype, weight, layout == OUT_IN ? out : in, layout == OUT_IN ? in : out};
    with_weight_parts(s, dtype, w, layout == OUT_IN, [&](int64_t first, int64_t count, const void *part, int64_t ld) {
        Product p = {};
        p.from = p.to = dtype, p.trans_b = layout == IN_OUT, p.m = rows, p.n = count, p.k = out;
        p.a = dy, p.lda = out, p.b = part, p.ldb = ld, p.c = element(dtype, dx, first), p.ldc = in;
        p.accumulate = accumulate;
        product(s, p);
    });
}

static void linear_backward_weight(Stream *s, Dtype dtype, float *dweight, float *dbias, const void *x, const void *dy,
                                   int64_t rows, int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    bool out_in = layout == OUT_IN;
    Product p = {};
    p.from = dtype, p.to = DTYPE_F32, p.trans_a = true, p.m = out_in ? out : in, p.n = out_in ? in : out, p.k = rows;
    p.a = out_in ? dy : x, p.lda = p.m, p.b = out_in ? x : dy, p.ldb = p.n, p.c = dweight, p.ldc = p.n;
    p.accumulate = accumulate;
    if (dweight && in && out && rows)
        product(s, p);
    else if (dweight && in && out && !accumulate)
        fill(s, DTYPE_F32, dweight, nullptr, in, out, out);
    if (dbias) rows_sum_columns(s, dbias, dtype, dy, rows, out, accumulate);
}

void cuda_linear_install(Kernels *k)
{
    k->linear_forward = linear_forward;
    k->linear_forward_alone = linear_forward_alone;
    k->linear_backward_input = linear_backward_input;
    k->linear_backward_weight = linear_backward_weight;
}
