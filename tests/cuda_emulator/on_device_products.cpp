/* on_device.h: products and losses. */
#include "tests/cuda_emulator/on_device_call.h"

static void linear_forward(Stream *s, Dtype d, Dtype w, void *y, void *pre, const void *x, const void *weight,
                           const void *bias, int64_t rows, int64_t in, int64_t out, WeightLayout layout, Activation act)
{
    Call c(s, d);
    c.out(y, rows * out), c.out(pre, rows * out), c.in(x, rows * in), c.weight_in(weight, w, in * out), c.in(bias, out),
        c.place();
    kernels_cuda()->linear_forward(s, c.dtype(), c.dtype_of(w), c.at(y), c.at(pre), c.at(x), c.at(weight), c.at(bias),
                                   rows, in, out, layout, act);
}

static void linear_forward_alone(Stream *s, Dtype d, Dtype w, void *y, void *pre, const void *x, const void *weight,
                                 const void *bias, int64_t rows, int64_t in, int64_t out, WeightLayout layout,
                                 Activation act)
{
    Call c(s, d);
    c.out(y, rows * out), c.out(pre, rows * out), c.in(x, rows * in), c.weight_in(weight, w, in * out), c.in(bias, out),
        c.place();
    kernels_cuda()->linear_forward_alone(s, c.dtype(), c.dtype_of(w), c.at(y), c.at(pre), c.at(x), c.at(weight),
                                         c.at(bias), rows, in, out, layout, act);
}

static void linear_backward_input(Stream *s, Dtype d, Dtype w, void *dx, const void *dy, const void *weight,
                                  int64_t rows, int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    Call c(s, d);
    c.out(dx, rows * in), c.in(dy, rows * out), c.weight_in(weight, w, in * out), c.place();
    kernels_cuda()->linear_backward_input(s, c.dtype(), c.dtype_of(w), c.at(dx), c.at(dy), c.at(weight), rows, in, out,
                                          layout, accumulate);
}

static void linear_backward_weight(Stream *s, Dtype d, float *dweight, float *dbias, const void *x, const void *dy,
                                   int64_t rows, int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    Call c(s, d);
    c.raw_out(dweight, in * out * 4), c.raw_out(dbias, out * 4), c.in(x, rows * in), c.in(dy, rows * out), c.place();
    kernels_cuda()->linear_backward_weight(s, c.dtype(), c.at(dweight), c.at(dbias), c.at(x), c.at(dy), rows, in, out,
                                           layout, accumulate);
}

static void linear_cross_entropy(Stream *s, Dtype d, Dtype w, float *row_loss, void *dx, float *dweight, const void *x,
                                 const void *weight, const int32_t *labels, int64_t rows, int64_t hidden, int64_t vocab,
                                 float factor, float smoothing, float softcap, float z_loss, bool accumulate)
{
    Call c(s, d);
    c.raw_out(row_loss, rows * 4), c.out(dx, rows * hidden), c.raw_out(dweight, vocab * hidden * 4);
    c.in(x, rows * hidden), c.weight_in(weight, w, vocab * hidden), c.raw_in(labels, rows * 4), c.place();
    kernels_cuda()->linear_cross_entropy(s, c.dtype(), c.dtype_of(w), c.at(row_loss), c.at(dx), c.at(dweight), c.at(x),
                                         c.at(weight), c.at(labels), rows, hidden, vocab, factor, smoothing, softcap,
                                         z_loss, accumulate);
}

static void cross_entropy(Stream *s, float *row_loss, float *dlogits, const float *logits, const int32_t *labels,
                          int64_t rows, int64_t vocab, float factor, float smoothing, float softcap, float z_loss)
{
    Call c(s);
    c.raw_out(row_loss, rows * 4), c.raw_out(dlogits, rows * vocab * 4), c.raw_in(logits, rows * vocab * 4),
        c.raw_in(labels, rows * 4), c.place();
    kernels_cuda()->cross_entropy(s, c.at(row_loss), c.at(dlogits), c.at(logits), c.at(labels), rows, vocab, factor,
                                  smoothing, softcap, z_loss);
}

void on_device_products(Kernels *k)
{
    ON_DEVICE(linear_forward);
    ON_DEVICE(linear_forward_alone);
    ON_DEVICE(linear_backward_input);
    ON_DEVICE(linear_backward_weight);
    ON_DEVICE(linear_cross_entropy);
    ON_DEVICE(cross_entropy);
}
