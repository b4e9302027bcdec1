/* AdamW (Loshchilov and Hutter 2019, "Decoupled weight decay regularization"). */
#include <math.h>

#include "optim/types.h"

static void update(const Kernels *k, Stream *s, const OptimizerConfig *c, float *w, float *const states[2],
                   const LowCopy *low, const float *g, int64_t n, const float *grad_scale, double lr,
                   double weight_decay, int64_t step)
{
    k->adamw(s, w, states[0], states[1], low, g, n, grad_scale, lr, c->beta1, c->beta2, c->eps, weight_decay,
             1 - pow(c->beta1, (double)step), 1 - pow(c->beta2, (double)step));
}

const OptimizerType optimizer_adamw = {"adamw", 2, {"exp_avg", "exp_avg_sq"}, update};
