/* y = act(x W + bias) and its gradients: three products (kernels/gemm.h). Bias and activation are applied to each tile
 * of y while it is in cache. The bias gradient is summed down strips of columns, rows in order: the order depends on
 * the shape alone.
 * Floor: 2*rows*in*out FLOPs each, at the rate of f32 products whatever the dtypes. */
#include "kernels/cpu/families.h"
#include "kernels/cpu/product.h"
#include "kernels/cpu/typed.h"
#include "kernels/gemm.h"

enum { STRIP = 64 }; /* columns of one task of a column sum: cache lines, registers for every instruction set */

typedef struct Epilogue {
    Dtype dtype;
    const void *bias;
    void *pre;
    int64_t out;
    Activation act;
} Epilogue;

/* A row of a tile, which begins at element `first` of pre. Where a dtype of 16 bits is kept, its activation is that of
 * what is kept, as it is when it is made again. */
VEC_FN void finish_row(Dtype d, const Epilogue *e, float *y, int64_t first, int64_t col, int64_t cols)
{
    for (int64_t j = 0; j < cols; j += VF) {
        vf v = vf_get(y + j, cols - j);
        if (e->bias) v += at(d, e->bias, col + j, cols - j);
        if (d != DTYPE_F32 && e->act != ACT_NONE) v = vh_widen(d, vf_narrow(d, v));
        if (e->pre) put(d, e->pre, first + j, v, cols - j);
        vf_put(y + j, v, cols - j);
    }
}

static void finish_tile(void *context, float *c, int64_t ldc, int64_t row, int64_t col, int64_t rows, int64_t cols)
{
    const Epilogue *e = context;
    for (int64_t i = 0; i < rows; i++) {
        float *y = c + i * ldc;
#define LOOP(d) finish_row(d, e, y, (row + i) * e->out + col, col, cols)
        switch (e->dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
        if (e->act != ACT_NONE) VARIANT(activation_span)(y, y, cols, e->act);
    }
}

/* W as an operand: [in, out], or transposed [out, in]. */
static GemmOperand weight_of(Dtype wdtype, const void *weight, int64_t in, int64_t out, WeightLayout layout)
{
    return (GemmOperand){weight, wdtype, layout == OUT_IN, layout == OUT_IN ? in : out};
}

static void linear_forward(Stream *s, Dtype dtype, Dtype wdtype, void *y, void *pre, const void *x, const void *weight,
                           const void *bias, int64_t rows, int64_t in, int64_t out, WeightLayout layout, Activation act)
{
    Epilogue e = {.dtype = dtype, .bias = bias, .pre = pre == y ? NULL : pre, .out = out, .act = act};
    bool plain = !e.bias && !e.pre && act == ACT_NONE;
    gemm_typed(s, rows, out, in, (GemmOperand){x, dtype, false, in}, weight_of(wdtype, weight, in, out, layout),
               (GemmResult){y, dtype, out, false, plain ? NULL : finish_tile, &e});
}

/* By our own kernels whatever the library is. */
static void linear_forward_alone(Stream *s, Dtype dtype, Dtype wdtype, void *y, void *pre, const void *x,
                                 const void *weight, const void *bias, int64_t rows, int64_t in, int64_t out,
                                 WeightLayout layout, Activation act)
{
    if (!rows || !in || !out) {
        linear_forward(s, dtype, wdtype, y, pre, x, weight, bias, rows, in, out, layout, act);
        return;
    }
    Epilogue e = {.dtype = dtype, .bias = bias, .pre = pre == y ? NULL : pre, .out = out, .act = act};
    Product p = {.trans_b = layout == OUT_IN, .m = rows, .n = out, .k = in, .lda = in,
                 .ldb = layout == OUT_IN ? in : out, .ldc = out, .type_a = dtype, .type_b = wdtype, .type_c = dtype,
                 .a = x, .b = weight, .c = y, .alpha = 1,
                 .epilogue = e.bias || e.pre || act != ACT_NONE ? finish_tile : NULL, .context = &e};
    VARIANT(product_alone)(s, &p);
}

static void linear_backward_input(Stream *s, Dtype dtype, Dtype wdtype, void *dx, const void *dy, const void *weight,
                                  int64_t rows, int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    GemmOperand w = weight_of(wdtype, weight, in, out, layout);
    w.trans = !w.trans;
    gemm_typed(s, rows, in, out, (GemmOperand){dy, dtype, false, out}, w,
               (GemmResult){dx, dtype, in, accumulate, NULL, NULL});
}

typedef struct ColumnSums {
    Dtype dtype;
    float *sum;
    const void *x;
    int64_t rows, cols;
    bool accumulate;
} ColumnSums;

VEC_FN void strip(Dtype d, const ColumnSums *c, int64_t col, int64_t n)
{
    vf total[STRIP / VF] = {0};
    for (int64_t i = 0; i < c->rows; i++)
        for (int64_t j = 0; j < STRIP / VF; j++)
            if (j * VF < n) total[j] += at(d, c->x, i * c->cols + col + j * VF, n - j * VF);
    for (int64_t j = 0; j < n; j += VF) {
        float *sum = c->sum + col + j;
        vf_put(sum, (c->accumulate ? vf_get(sum, n - j) : vf_zero()) + total[j / VF], n - j);
    }
}

static void sum_strip(void *context, int64_t task, int thread)
{
    (void)thread;
    const ColumnSums *c = context;
    int64_t col = task * STRIP, n = c->cols - col;
#define LOOP(d)                             \
    if (n >= STRIP) strip(d, c, col, STRIP); \
    else strip(d, c, col, n)
    switch (c->dtype) { DTYPE_CASES(LOOP) }
#undef LOOP
}

static void linear_backward_weight(Stream *s, Dtype dtype, float *dweight, float *dbias, const void *x, const void *dy,
                                   int64_t rows, int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    bool out_in = layout == OUT_IN; /* dW = dy^T x, or x^T dy */
    GemmOperand of_x = {x, dtype, !out_in, in}, of_dy = {dy, dtype, out_in, out};
    if (dweight)
        gemm_typed(s, out_in ? out : in, out_in ? in : out, rows, out_in ? of_dy : of_x, out_in ? of_x : of_dy,
                   (GemmResult){dweight, DTYPE_F32, out_in ? in : out, accumulate, NULL, NULL});
    if (!dbias) return;
    ColumnSums c = {.dtype = dtype, .sum = dbias, .x = dy, .rows = rows, .cols = out, .accumulate = accumulate};
    threads_run(stream_threads(s), (out + STRIP - 1) / STRIP, sum_strip, &c);
}

void VARIANT(linear_install)(Kernels *k)
{
    k->linear_forward = linear_forward;
    k->linear_forward_alone = linear_forward_alone;
    k->linear_backward_input = linear_backward_input;
    k->linear_backward_weight = linear_backward_weight;
}
