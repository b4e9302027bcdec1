/* The emulator's knobs for tests in C that are linked with it (HONE_TEST_CUDA). */
#ifndef TESTS_CUDA_EMULATOR_FROM_C_H
#define TESTS_CUDA_EMULATOR_FROM_C_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

void emulator_seed(uint64_t seed);    /* emulator.h: 0, at once; 1, as late as may be; others, at random */
uint64_t emulator_allocations(void);  /* asked of the runtime so far: device memory and pinned memory, and frees */
uint64_t emulator_stops(void);        /* times that the host waited, or a copy of pageable memory made it */

#ifdef __cplusplus
}
#endif

#endif
