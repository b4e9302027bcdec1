/* on_device.h: sums and optimizers. */
#include "tests/cuda_emulator/on_device_call.h"

static void sum_in_order(Stream *s, double *sum, const float *x, int64_t n)
{
    Call c(s);
    c.raw_in(x, n * 4), c.place();
    kernels_cuda()->sum_in_order(s, sum, c.at(x), n);
}

static void sum_squares(Stream *s, double *partials, const float *x, int64_t n)
{
    Call c(s);
    c.raw_in(x, n * 4), c.place();
    kernels_cuda()->sum_squares(s, partials, c.at(x), n);
}

static void adamw(Stream *s, float *w, float *m, float *v, const float *g, int64_t n, float grad_scale, double lr,
                  double beta1, double beta2, double eps, double weight_decay, double correction1, double correction2)
{
    Call c(s);
    c.raw_out(w, n * 4), c.raw_out(m, n * 4), c.raw_out(v, n * 4), c.raw_in(g, n * 4), c.place();
    kernels_cuda()->adamw(s, c.at(w), c.at(m), c.at(v), c.at(g), n, grad_scale, lr, beta1, beta2, eps, weight_decay,
                          correction1, correction2);
}

static void sgd(Stream *s, float *w, float *buffer, const float *g, int64_t n, float grad_scale, double lr,
                double weight_decay, double momentum, double dampening, bool nesterov, bool first)
{
    Call c(s);
    c.raw_out(w, n * 4), c.raw_out(buffer, n * 4), c.raw_in(g, n * 4), c.place();
    kernels_cuda()->sgd(s, c.at(w), c.at(buffer), c.at(g), n, grad_scale, lr, weight_decay, momentum, dampening,
                        nesterov, first);
}

void on_device_optimizers(Kernels *k)
{
    ON_DEVICE(sum_in_order);
    ON_DEVICE(sum_squares);
    ON_DEVICE(adamw);
    ON_DEVICE(sgd);
}
