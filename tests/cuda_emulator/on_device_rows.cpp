/* on_device.h: norms, rotary positions, embedding, dropout. */
#include <algorithm>

#include "tests/cuda_emulator/on_device_call.h"

static void layer_norm_forward(Stream *s, Dtype d, void *y, float *mean, float *rstd, const void *x, const void *weight,
                               const void *bias, int64_t rows, int64_t hidden, float eps)
{
    Call c(s, d);
    c.out(y, rows * hidden), c.raw_out(mean, rows * 4), c.raw_out(rstd, rows * 4);
    c.in(x, rows * hidden), c.in(weight, hidden), c.in(bias, hidden), c.place();
    kernels_cuda()->layer_norm_forward(s, c.dtype(), c.at(y), c.at(mean), c.at(rstd), c.at(x), c.at(weight), c.at(bias),
                                       rows, hidden, eps);
}

static void layer_norm_backward(Stream *s, Dtype d, void *dx, float *dweight, float *dbias, const void *dy,
                                const void *x, const float *mean, const float *rstd, const void *weight, int64_t rows,
                                int64_t hidden, bool accumulate_dx, bool accumulate_params)
{
    Call c(s, d);
    c.out(dx, rows * hidden), c.raw_out(dweight, hidden * 4), c.raw_out(dbias, hidden * 4), c.in(dy, rows * hidden);
    c.in(x, rows * hidden), c.raw_in(mean, rows * 4), c.raw_in(rstd, rows * 4), c.in(weight, hidden), c.place();
    kernels_cuda()->layer_norm_backward(s, c.dtype(), c.at(dx), c.at(dweight), c.at(dbias), c.at(dy), c.at(x),
                                        c.at(mean), c.at(rstd), c.at(weight), rows, hidden, accumulate_dx,
                                        accumulate_params);
}

static void rms_norm_forward(Stream *s, Dtype d, void *y, float *rstd, const void *x, const void *weight, int64_t rows,
                             int64_t hidden, float eps, float offset)
{
    Call c(s, d);
    c.out(y, rows * hidden), c.raw_out(rstd, rows * 4), c.in(x, rows * hidden), c.in(weight, hidden), c.place();
    kernels_cuda()->rms_norm_forward(s, c.dtype(), c.at(y), c.at(rstd), c.at(x), c.at(weight), rows, hidden, eps,
                                     offset);
}

static void rms_norm_backward(Stream *s, Dtype d, void *dx, float *dweight, const void *dy, const void *x,
                              const float *rstd, const void *weight, int64_t rows, int64_t hidden, float offset,
                              bool accumulate_dx, bool accumulate_params)
{
    Call c(s, d);
    c.out(dx, rows * hidden), c.raw_out(dweight, hidden * 4), c.in(dy, rows * hidden);
    c.in(x, rows * hidden), c.raw_in(rstd, rows * 4), c.in(weight, hidden), c.place();
    kernels_cuda()->rms_norm_backward(s, c.dtype(), c.at(dx), c.at(dweight), c.at(dy), c.at(x), c.at(rstd),
                                      c.at(weight), rows, hidden, offset, accumulate_dx, accumulate_params);
}

static void rope(Stream *s, Dtype d, void *x, const float *cos, const float *sin, const int32_t *positions,
                 int64_t rows, int32_t heads, int32_t head_dim, int32_t rotary_dim, int64_t stride, bool inverse)
{
    Call c(s, d);
    int32_t most = 0;
    for (int64_t r = 0; r < rows; r++) most = std::max(most, positions[r] + 1);
    c.out(x, rows ? (rows - 1) * stride + heads * head_dim : 0);
    c.raw_in(cos, (int64_t)most * (rotary_dim / 2) * 4), c.raw_in(sin, (int64_t)most * (rotary_dim / 2) * 4),
        c.raw_in(positions, rows * 4), c.place();
    kernels_cuda()->rope(s, c.dtype(), c.at(x), c.at(cos), c.at(sin), c.at(positions), rows, heads, head_dim,
                         rotary_dim, stride, inverse);
}

static void embedding_forward(Stream *s, Dtype d, Dtype w, void *y, const void *table, const int32_t *ids, int64_t rows,
                              int64_t width, bool accumulate)
{
    Call c(s, d);
    int32_t most = 0;
    for (int64_t r = 0; r < rows; r++) most = std::max(most, ids[r] + 1);
    c.out(y, rows * width), c.weight_in(table, w, most * width), c.raw_in(ids, rows * 4), c.place();
    kernels_cuda()->embedding_forward(s, c.dtype(), c.dtype_of(w), c.at(y), c.at(table), c.at(ids), rows, width,
                                      accumulate);
}

static void embedding_backward(Stream *s, Dtype d, float *dtable, const void *dy, const int32_t *ids, int64_t rows,
                               int64_t width, int64_t vocab, int64_t padding, bool accumulate)
{
    Call c(s, d);
    c.raw_out(dtable, vocab * width * 4), c.in(dy, rows * width), c.raw_in(ids, rows * 4), c.place();
    kernels_cuda()->embedding_backward(s, c.dtype(), c.at(dtable), c.at(dy), c.at(ids), rows, width, vocab, padding,
                                       accumulate);
}

static void dropout_add_forward(Stream *s, Dtype d, void *y, const void *x, const void *residual, int64_t rows,
                                int64_t cols, const Dropout *dropout)
{
    Call c(s, d);
    Dropout moved;
    int64_t n = rows * cols;
    c.out(y, n), c.in(x, n), c.in(residual, n), c.dropout_in(dropout), c.place();
    kernels_cuda()->dropout_add_forward(s, c.dtype(), c.at(y), c.at(x), c.at(residual), rows, cols,
                                        c.dropout_at(dropout, &moved));
}

static void dropout_backward(Stream *s, Dtype d, void *dx, const void *dy, int64_t rows, int64_t cols,
                             const Dropout *dropout, bool accumulate)
{
    Call c(s, d);
    Dropout moved;
    int64_t n = rows * cols;
    c.out(dx, n), c.in(dy, n), c.dropout_in(dropout), c.place();
    kernels_cuda()->dropout_backward(s, c.dtype(), c.at(dx), c.at(dy), rows, cols, c.dropout_at(dropout, &moved),
                                     accumulate);
}

static void scatter_rows(Stream *s, Dtype d, void *y, const int32_t *to, const void *x, int64_t rows, int64_t cols,
                         int64_t x_stride)
{
    Call c(s, d);
    int64_t last = -1;
    for (int64_t i = 0; i < rows; i++) last = std::max<int64_t>(last, to[i]);
    c.out(y, (last + 1) * cols), c.raw_in(to, rows * 4), c.in(x, rows ? (rows - 1) * x_stride + cols : 0), c.place();
    kernels_cuda()->scatter_rows(s, c.dtype(), c.at(y), c.at(to), c.at(x), rows, cols, x_stride);
}

static void copy_columns(Stream *s, Dtype d, void *y, int64_t y_stride, const void *x, int64_t x_stride, int64_t rows,
                         int64_t cols)
{
    Call c(s, d);
    if (rows == 0) return;
    c.out(y, (rows - 1) * y_stride + cols), c.in(x, (rows - 1) * x_stride + cols), c.place();
    kernels_cuda()->copy_columns(s, c.dtype(), c.at(y), y_stride, c.at(x), x_stride, rows, cols);
}

void on_device_rows(Kernels *k)
{
    ON_DEVICE(layer_norm_forward);
    ON_DEVICE(layer_norm_backward);
    ON_DEVICE(rms_norm_forward);
    ON_DEVICE(rms_norm_backward);
    ON_DEVICE(rope);
    ON_DEVICE(embedding_forward);
    ON_DEVICE(embedding_backward);
    ON_DEVICE(scatter_rows);
    ON_DEVICE(copy_columns);
    ON_DEVICE(dropout_add_forward);
    ON_DEVICE(dropout_backward);
}
