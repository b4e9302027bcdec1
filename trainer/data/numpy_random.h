/* numpy's Generator as the datasets library shuffles with it: default_rng(seed).permutation(n), to the number. */
#ifndef HONE_DATA_NUMPY_RANDOM_H
#define HONE_DATA_NUMPY_RANDOM_H

#include <stdint.h>

void numpy_permutation(uint64_t seed, int64_t *out, int64_t n);

#endif
