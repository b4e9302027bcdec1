/* y = act(x W + bias) and its gradients: three products (kernels/gemm.h). Bias and activation are applied to each tile
 * of y while it is in cache. The bias gradient is summed down strips of columns, rows in order: the order depends on
 * the shape alone. */
#include <assert.h>

#include "kernels/cpu/families.h"
#include "kernels/cpu/product.h"
#include "kernels/gemm.h"

enum { STRIP = 64 }; /* columns of one task of a column sum: four cache lines, registers for every instruction set */

typedef struct Epilogue {
    const float *bias;
    float *pre;
    int64_t out;
    Activation act;
} Epilogue;

static void finish_tile(void *context, float *c, int64_t ldc, int64_t row, int64_t col, int64_t rows, int64_t cols)
{
    const Epilogue *e = context;
    for (int64_t i = 0; i < rows; i++) {
        float *restrict y = c + i * ldc;
        if (e->bias) {
            const float *restrict bias = e->bias + col;
            for (int64_t j = 0; j < cols; j++) y[j] += bias[j];
        }
        if (e->pre) {
            float *restrict pre = e->pre + (row + i) * e->out + col;
            for (int64_t j = 0; j < cols; j++) pre[j] = y[j];
        }
        if (e->act != ACT_NONE) VARIANT(activation_span)(y, y, cols, e->act);
    }
}

static void linear_forward(Stream *s, Dtype dtype, void *y, void *pre, const void *x, const void *weight,
                           const void *bias, int64_t rows, int64_t in, int64_t out, WeightLayout layout, Activation act)
{
    assert(dtype == DTYPE_F32 && (pre != y || !pre || act == ACT_NONE)), (void)dtype;
    Epilogue e = {.bias = bias, .pre = pre == y ? NULL : pre, .out = out, .act = act};
    bool plain = !e.bias && !e.pre && act == ACT_NONE;
    gemm(s, false, layout == OUT_IN, rows, out, in, x, in, weight, layout == OUT_IN ? in : out, y, out, false,
         plain ? NULL : finish_tile, &e);
}

/* By our own kernels whatever the library is. */
static void linear_forward_alone(Stream *s, Dtype dtype, void *y, void *pre, const void *x, const void *weight,
                                 const void *bias, int64_t rows, int64_t in, int64_t out, WeightLayout layout,
                                 Activation act)
{
    assert(dtype == DTYPE_F32 && (pre != y || !pre || act == ACT_NONE));
    if (!rows || !in || !out) {
        linear_forward(s, dtype, y, pre, x, weight, bias, rows, in, out, layout, act);
        return;
    }
    Epilogue e = {.bias = bias, .pre = pre == y ? NULL : pre, .out = out, .act = act};
    Product p = {.trans_b = layout == OUT_IN, .m = rows, .n = out, .k = in, .lda = in,
                 .ldb = layout == OUT_IN ? in : out, .ldc = out, .a = x, .b = weight, .c = y, .alpha = 1,
                 .epilogue = e.bias || e.pre || act != ACT_NONE ? finish_tile : NULL, .context = &e};
    VARIANT(product_alone)(s, &p);
}

static void linear_backward_input(Stream *s, Dtype dtype, void *dx, const void *dy, const void *weight, int64_t rows,
                                  int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    assert(dtype == DTYPE_F32), (void)dtype;
    gemm(s, false, layout == IN_OUT, rows, in, out, dy, out, weight, layout == OUT_IN ? in : out, dx, in, accumulate,
         NULL, NULL);
}

typedef struct ColumnSums {
    float *sum;
    const float *x;
    int64_t rows, cols;
    bool accumulate;
} ColumnSums;

static void sum_strip(void *context, int64_t task, int thread)
{
    (void)thread;
    const ColumnSums *c = context;
    int64_t col = task * STRIP, n = c->cols - col < STRIP ? c->cols - col : STRIP;
    float total[STRIP] = {0};
    if (n == STRIP) {
        for (int64_t i = 0; i < c->rows; i++)
            for (int j = 0; j < STRIP; j++) total[j] += c->x[i * c->cols + col + j];
    } else {
        for (int64_t i = 0; i < c->rows; i++)
            for (int64_t j = 0; j < n; j++) total[j] += c->x[i * c->cols + col + j];
    }
    for (int64_t j = 0; j < n; j++) c->sum[col + j] = (c->accumulate ? c->sum[col + j] : 0) + total[j];
}

static void linear_backward_weight(Stream *s, Dtype dtype, float *dweight, float *dbias, const void *x, const void *dy,
                                   int64_t rows, int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    assert(dtype == DTYPE_F32), (void)dtype;
    if (dweight && layout == OUT_IN)
        gemm(s, true, false, out, in, rows, dy, out, x, in, dweight, in, accumulate, NULL, NULL);
    else if (dweight) gemm(s, true, false, in, out, rows, x, in, dy, out, dweight, out, accumulate, NULL, NULL);
    if (!dbias) return;
    ColumnSums c = {.sum = dbias, .x = dy, .rows = rows, .cols = out, .accumulate = accumulate};
    threads_run(stream_threads(s), (out + STRIP - 1) / STRIP, sum_strip, &c);
}

void VARIANT(linear_install)(Kernels *k)
{
    k->linear_forward = linear_forward;
    k->linear_forward_alone = linear_forward_alone;
    k->linear_backward_input = linear_backward_input;
    k->linear_backward_weight = linear_backward_weight;
}
