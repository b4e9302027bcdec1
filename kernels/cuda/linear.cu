/* y = act(x W + bias) and its gradients: three products (product.cuh). Bias and gelu ride in the epilogue of the first
 * one where the library has it; else y begins as the bias and the product adds to it, rounded once like the other way,
 * and the activation is a pass behind. The gradient of the bias is summed down the columns in two stages (rows.cuh).
 * Floor: 2*rows*in*out FLOPs each; a pass of the activation moves 2*rows*out elements more, one of the bias as many,
 * the gradient of the bias reads rows*out. */
#include "kernels/cuda/families.h"
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/rows.cuh"

enum { THREADS = 256 };

/* y [n] = bias [out] again and again, or zeros. */
template <typename T>
static __global__ void __launch_bounds__(THREADS) fill_bias(T *y, const T *bias, int64_t n, int64_t out)
{
    int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) y[i] = bias ? bias[i % out] : T();
}

static void fill(Stream *s, Dtype dtype, void *y, const void *bias, int64_t rows, int64_t out)
{
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        launch(fill_bias<T>, cuda_blocks(rows * out, THREADS), THREADS, 0, s, (T *)y, (const T *)bias, rows * out, out);
    });
}

static void linear_forward(Stream *s, Dtype dtype, void *y, void *pre, const void *x, const void *weight,
                           const void *bias, int64_t rows, int64_t in, int64_t out, WeightLayout layout, Activation act)
{
    if (!rows || !out) return;
    void *to = pre ? pre : y;
    Product p = {};
    p.from = p.to = dtype, p.trans_b = layout == OUT_IN, p.m = rows, p.n = out, p.k = in;
    p.a = x, p.lda = in, p.b = weight, p.ldb = layout == OUT_IN ? in : out, p.ldc = out, p.bias = bias;
    if (in && act == ACT_GELU_TANH) {
        p.c = y, p.pre = pre, p.gelu = true;
        if (product(s, p)) return;
    }
    p.c = to, p.pre = nullptr, p.gelu = false;
    if (!in || !product(s, p)) {
        fill(s, dtype, to, bias, rows, out);
        p.bias = nullptr, p.accumulate = true;
        if (in) product(s, p);
    }
    if (act != ACT_NONE || to != y) cuda_activation_forward(s, dtype, y, to, rows * out, act);
}

/* The same bits for a row whatever rows are beside it: the library chooses another algorithm for another number. */
static void linear_forward_alone(Stream *s, Dtype dtype, void *y, void *pre, const void *x, const void *weight,
                                 const void *bias, int64_t rows, int64_t in, int64_t out, WeightLayout layout,
                                 Activation act)
{
    if (rows && in && out)
        linear_alone(s, dtype, y, pre, x, weight, bias, rows, in, out, layout, act);
    else
        linear_forward(s, dtype, y, pre, x, weight, bias, rows, in, out, layout, act);
}

static void linear_backward_input(Stream *s, Dtype dtype, void *dx, const void *dy, const void *weight, int64_t rows,
                                  int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    Product p = {};
    p.from = p.to = dtype, p.trans_b = layout == IN_OUT, p.m = rows, p.n = in, p.k = out;
    p.a = dy, p.lda = out, p.b = weight, p.ldb = layout == OUT_IN ? in : out, p.c = dx, p.ldc = in;
    p.accumulate = accumulate;
    if (!rows || !in) return;
    if (out)
        product(s, p);
    else if (!accumulate)
        fill(s, dtype, dx, nullptr, rows, in);
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
        fill(s, DTYPE_F32, dweight, nullptr, in, out);
    if (dbias) rows_sum_columns(s, dbias, dtype, dy, rows, out, accumulate);
}

void cuda_linear_install(Kernels *k)
{
    k->linear_forward = linear_forward;
    k->linear_forward_alone = linear_forward_alone;
    k->linear_backward_input = linear_backward_input;
    k->linear_backward_weight = linear_backward_weight;
}
