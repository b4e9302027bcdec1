/* Warp operations: lanes wait until all that their mask names have come with the same operation; the last one to come
 * computes what each gets, so nothing is read later. A mask may not name a lane that has returned: hardware forgives
 * it, until it reads from one. Lanes beyond the end of the block do not count; what is read from one is poison. */
#ifndef TESTS_CUDA_EMULATOR_WARP_H
#define TESTS_CUDA_EMULATOR_WARP_H

#include "tests/cuda_emulator/emulator.h"

namespace emu
{

struct Warp {
    Thread *lanes;
    unsigned exist, live, waiting; /* masks; the last warp of a block may lack lanes */
};

void warp_begin(Warp *w, Thread *lanes, unsigned count);
/* t waits; when it is the last, every lane has its result, the others are made ready, t goes on: true. */
bool warp_met(Warp *w, Thread *t, void (*make_ready)(Thread *));
void warp_left(Warp *w, Thread *t); /* t has returned: nobody may name it any more */

} // namespace emu

#endif
