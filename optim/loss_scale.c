/* torch 2.15's defaults (torch/amp/grad_scaler.py) and arithmetic (aten AmpKernels.cu). */
#include "optim/loss_scale.h"

#include <math.h>

enum { GROWTH_INTERVAL = 2000 };
static const float INITIAL = 65536, GROWTH = 2, BACKOFF = 0.5f, LEAST = 0x1p-13f; /* the last as fairseq: 1e-4 */

void loss_scale_begin(LossScale *s) { *s = (LossScale){.scale = INITIAL}; }

void loss_scale_update(LossScale *s, bool finite)
{
    if (!finite) {
        *s = (LossScale){.scale = s->scale * BACKOFF};
    } else if (++s->good_steps == GROWTH_INTERVAL) {
        if (isfinite(s->scale * GROWTH)) s->scale *= GROWTH;
        s->good_steps = 0;
    }
}

bool loss_scale_is_lost(const LossScale *s) { return s->scale < LEAST; }
