/* on_device.h: sums and optimizers. */
#include "tests/cuda_emulator/on_device_call.h"

static void sum_segments(Stream *s, double *sums, const float *x, int64_t n, const int32_t *bounds, int64_t segments)
{
    Call c(s);
    c.raw_out(sums, segments * 8), c.raw_in(x, n * 4), c.raw_in(bounds, (segments + 1) * 4), c.place();
    kernels_cuda()->sum_segments(s, c.at(sums), c.at(x), n, c.at(bounds), segments);
}

static void sum_squares(Stream *s, double *partials, const float *x, int64_t n)
{
    Call c(s);
    c.raw_out(partials, (n + KERNEL_BLOCK - 1) / KERNEL_BLOCK * 8), c.raw_in(x, n * 4), c.place();
    kernels_cuda()->sum_squares(s, c.at(partials), c.at(x), n);
}

static void clip_factor(Stream *s, float *grad_scale, double *norm_squared, const double *partials, int64_t blocks,
                        const double *losses, int64_t num_losses, double unscale, double max_norm)
{
    Call c(s);
    c.raw_out(grad_scale, 4), c.raw_out(norm_squared, 8), c.raw_in(partials, blocks * 8);
    c.raw_in(losses, num_losses * 8), c.place();
    kernels_cuda()->clip_factor(s, c.at(grad_scale), c.at(norm_squared), c.at(partials), blocks, c.at(losses),
                                num_losses, unscale, max_norm);
}

static void low_out(Call *c, const LowCopy *low, int64_t n)
{
    if (low) c->raw_out(low->data, n * (int64_t)dtype_bytes(low->dtype));
}

/* A copy that points to the device; NULL where low is. */
static const LowCopy *low_at(const Call &c, const LowCopy *low, LowCopy *copy)
{
    if (!low) return nullptr;
    *copy = *low;
    copy->data = c.at(static_cast<char *>(low->data));
    return copy;
}

static void adamw(Stream *s, float *w, float *m, float *v, const LowCopy *low, const float *g, int64_t n,
                  const float *grad_scale, double lr, double beta1, double beta2, double eps, double weight_decay,
                  double correction1, double correction2)
{
    Call c(s);
    LowCopy copy;
    c.raw_out(w, n * 4), c.raw_out(m, n * 4), c.raw_out(v, n * 4), c.raw_in(g, n * 4), c.raw_in(grad_scale, 4);
    low_out(&c, low, n), c.place();
    kernels_cuda()->adamw(s, c.at(w), c.at(m), c.at(v), low_at(c, low, &copy), c.at(g), n, c.at(grad_scale), lr, beta1,
                          beta2, eps, weight_decay, correction1, correction2);
}

static void sgd(Stream *s, float *w, float *buffer, const LowCopy *low, const float *g, int64_t n,
                const float *grad_scale, double lr, double weight_decay, double momentum, double dampening,
                bool nesterov, bool first)
{
    Call c(s);
    LowCopy copy;
    c.raw_out(w, n * 4), c.raw_out(buffer, n * 4), c.raw_in(g, n * 4), c.raw_in(grad_scale, 4);
    low_out(&c, low, n), c.place();
    kernels_cuda()->sgd(s, c.at(w), c.at(buffer), low_at(c, low, &copy), c.at(g), n, c.at(grad_scale), lr,
                        weight_decay, momentum, dampening, nesterov, first);
}

static void low_copy(Stream *s, const LowCopy *low, const float *w, int64_t n)
{
    Call c(s);
    LowCopy copy;
    low_out(&c, low, n), c.raw_in(w, n * 4), c.place();
    kernels_cuda()->low_copy(s, low_at(c, low, &copy), c.at(w), n);
}

void on_device_optimizers(Kernels *k)
{
    ON_DEVICE(sum_segments);
    ON_DEVICE(sum_squares);
    ON_DEVICE(clip_factor);
    ON_DEVICE(adamw);
    ON_DEVICE(sgd);
    ON_DEVICE(low_copy);
}
