/* Stochastic gradient descent with torch's momentum: the first step puts the gradient itself into the buffer. */
#include "optim/types.h"

static void update(const Kernels *k, Stream *s, const OptimizerConfig *c, float *w, float *const states[2],
                   const LowCopy *low, const float *g, int64_t n, const float *grad_scale, double lr,
                   double weight_decay, int64_t step)
{
    k->sgd(s, w, c->momentum != 0 ? states[0] : NULL, low, g, n, grad_scale, lr, weight_decay, c->momentum,
           c->dampening, c->nesterov, step == 1);
}

const OptimizerType optimizer_sgd = {"sgd", 1, {"momentum_buffer", NULL}, update};
