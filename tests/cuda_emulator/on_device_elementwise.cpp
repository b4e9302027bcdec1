/* on_device.h: what sees no other elements, and bytes. */
#include "tests/cuda_emulator/on_device_call.h"

static void add(Stream *s, Dtype d, void *y, const void *x, int64_t n)
{
    Call c(s, d);
    c.out(y, n), c.in(x, n), c.place();
    kernels_cuda()->add(s, c.dtype(), c.at(y), c.at(x), n);
}

static void scale(Stream *s, Dtype d, void *y, float factor, int64_t n)
{
    Call c(s, d);
    c.out(y, n), c.place();
    kernels_cuda()->scale(s, c.dtype(), c.at(y), factor, n);
}

static void fill_zero(Stream *s, void *y, size_t bytes)
{
    Call c(s);
    c.raw_out(y, (int64_t)bytes), c.place();
    kernels_cuda()->fill_zero(s, c.at(y), bytes);
}

static void copy(Stream *s, void *y, const void *x, size_t bytes)
{
    Call c(s);
    c.raw_out(y, (int64_t)bytes), c.raw_in(x, (int64_t)bytes), c.place();
    kernels_cuda()->copy(s, c.at(y), c.at(x), bytes);
}

static void convert(Stream *s, Dtype to, void *y, Dtype from, const void *x, int64_t n)
{
    Call c(s);
    c.raw_out(y, n * (int64_t)dtype_bytes(to)), c.raw_in(x, n * (int64_t)dtype_bytes(from)), c.place();
    kernels_cuda()->convert(s, to, c.at(y), from, c.at(x), n);
}

static void activation_forward(Stream *s, Dtype d, void *y, const void *pre, int64_t n, Activation act)
{
    Call c(s, d);
    c.out(y, n), c.in(pre, n), c.place();
    kernels_cuda()->activation_forward(s, c.dtype(), c.at(y), c.at(pre), n, act);
}

static void activation_backward(Stream *s, Dtype d, void *dpre, const void *dy, const void *pre, int64_t n,
                                Activation act)
{
    Call c(s, d);
    c.out(dpre, n), c.in(dy, n), c.in(pre, n), c.place();
    kernels_cuda()->activation_backward(s, c.dtype(), c.at(dpre), c.at(dy), c.at(pre), n, act);
}

static void gated_forward(Stream *s, Dtype d, void *y, const void *gate, const void *up, int64_t n, Activation act)
{
    Call c(s, d);
    c.out(y, n), c.in(gate, n), c.in(up, n), c.place();
    kernels_cuda()->gated_forward(s, c.dtype(), c.at(y), c.at(gate), c.at(up), n, act);
}

static void gated_backward(Stream *s, Dtype d, void *dgate, void *dup, const void *dy, const void *gate, const void *up,
                           int64_t n, Activation act)
{
    Call c(s, d);
    c.out(dgate, n), c.out(dup, n);
    c.in(dy, n), c.in(gate, n), c.in(up, n), c.place();
    kernels_cuda()->gated_backward(s, c.dtype(), c.at(dgate), c.at(dup), c.at(dy), c.at(gate), c.at(up), n, act);
}

void on_device_elementwise(Kernels *k)
{
    ON_DEVICE(add);
    ON_DEVICE(scale);
    ON_DEVICE(fill_zero);
    ON_DEVICE(copy);
    ON_DEVICE(convert);
    ON_DEVICE(activation_forward);
    ON_DEVICE(activation_backward);
    ON_DEVICE(gated_forward);
    ON_DEVICE(gated_backward);
}
