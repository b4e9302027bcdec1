/* The order of an epoch's examples, by the sampler's strategy. */
#ifndef HONE_DATA_ORDER_H
#define HONE_DATA_ORDER_H

#include <stdint.h>

#include "trainer/base/status.h"
#include "trainer/data/sampler.h"

/* Writes the n indices of epoch 0.. to order. */
Status order_make(const SamplerConfig *c, int64_t epoch, int64_t *order);

#endif
