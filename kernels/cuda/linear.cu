/* y = act(x W + bias) and its gradients: three products (product.cuh), the bias in the first one's epilogue, the
 * activation behind it. The gradient of the bias is summed down the columns in two stages (rows.cuh).
 * Floor: 2*rows*in*out FLOPs each; the activation moves 2*rows*out elements more, the gradient of the bias rows*out. */
#include "kernels/cuda/families.h"
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/rows.cuh"

enum { THREADS = 256 };

static __global__ void __launch_bounds__(THREADS) fill_bias(float *y, const float *bias, int64_t n, int64_t out)
{
    int64_t step = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += step) y[i] = bias ? bias[i % out] : 0;
}

static void linear_forward(Stream *s, Dtype dtype, void *y, void *pre, const void *x, const void *weight,
                           const void *bias, int64_t rows, int64_t in, int64_t out, WeightLayout layout, Activation act)
{
    float *to = (float *)(pre ? pre : y);
    if (in)
        product(s, false, layout == OUT_IN, rows, out, in, (const float *)x, in, (const float *)weight,
                layout == OUT_IN ? in : out, to, out, false, (const float *)bias);
    else
        launch(fill_bias, cuda_blocks(rows * out, THREADS), THREADS, 0, s, to, (const float *)bias, rows * out, out);
    if (act != ACT_NONE || to != y) cuda_activation_forward(s, dtype, y, to, rows * out, act);
}

static void linear_backward_input(Stream *s, Dtype, void *dx, const void *dy, const void *weight, int64_t rows,
                                  int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    if (out)
        product(s, false, layout == IN_OUT, rows, in, out, (const float *)dy, out, (const float *)weight,
                layout == OUT_IN ? in : out, (float *)dx, in, accumulate, nullptr);
    else if (!accumulate)
        launch(fill_bias, cuda_blocks(rows * in, THREADS), THREADS, 0, s, (float *)dx, (const float *)nullptr,
               rows * in, in);
}

static void linear_backward_weight(Stream *s, Dtype, float *dweight, float *dbias, const void *x, const void *dy,
                                   int64_t rows, int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    const float *a = (const float *)x, *d = (const float *)dy;
    if (dweight && !rows && !accumulate)
        launch(fill_bias, cuda_blocks(in * out, THREADS), THREADS, 0, s, dweight, (const float *)nullptr, in * out,
               in * out);
    else if (dweight && rows && layout == OUT_IN)
        product(s, true, false, out, in, rows, d, out, a, in, dweight, in, accumulate, nullptr);
    else if (dweight && rows)
        product(s, true, false, in, out, rows, a, in, d, out, dweight, out, accumulate, nullptr);
    if (dbias) rows_sum_columns(s, dbias, d, rows, out, accumulate);
}

void cuda_linear_install(Kernels *k)
{
    k->linear_forward = linear_forward;
    k->linear_backward_input = linear_backward_input;
    k->linear_backward_weight = linear_backward_weight;
}
