/* Dynamic loss scaling (Micikevicius et al. 2018, "Mixed precision training"), as torch's GradScaler does it: gradients
 * of f16 activations are made scale times as large, so that the small ones are not lost. Halved when a gradient was not
 * finite (the update is then left out), doubled after 2000 updates that were. */
#ifndef HONE_OPTIM_LOSS_SCALE_H
#define HONE_OPTIM_LOSS_SCALE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct LossScale {
    float scale;        /* a power of two: taking it back is exact */
    int64_t good_steps; /* since it changed last */
} LossScale;

void loss_scale_begin(LossScale *s);
/* After an update whose gradients were finite, or not. */
void loss_scale_update(LossScale *s, bool finite);
/* Whether it has been halved so often that it is not the scale: gradients that are never finite. */
bool loss_scale_is_lost(const LossScale *s);

#endif
