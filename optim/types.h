/* One line an optimizer: the names that the `optim` key has for it. */
#ifndef HONE_OPTIM_TYPES_H
#define HONE_OPTIM_TYPES_H

#include "optim/optimizer.h"

#define OPTIMIZERS(OPTIMIZER)              \
    OPTIMIZER(adamw, "adamw_torch")        \
    OPTIMIZER(adamw, "adamw_torch_fused")  \
    OPTIMIZER(sgd, "sgd")

extern const OptimizerType optimizer_adamw, optimizer_sgd;

#endif
