/* Clipping by the global norm, as torch's clip_grad_norm_ with the Trainer's use of it (trainer_semantics 5). */
#ifndef HONE_KERNELS_CLIP_H
#define HONE_KERNELS_CLIP_H

#include <stdbool.h>

#include "kernels/anywhere.h"

/* What gradients are multiplied with: min(1, max_norm / (norm + 1e-6)); 1 where max_norm <= 0. */
ANYWHERE float clip_scale(double norm, double max_norm)
{
    if (max_norm <= 0) return 1.0f;
    float scale = (float)max_norm / ((float)norm + 1e-6f);
    return scale < 1.0f ? scale : 1.0f;
}

/* Neither infinite nor NaN. */
ANYWHERE bool is_finite(double x) { return x - x == 0; }

#endif
