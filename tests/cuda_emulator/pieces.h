/* What hone's own cache of device memory (kernels/cuda/memory.cu) tells the emulator, so that the pieces it cuts from a
 * block are checked like blocks: guards, poison, use after release. */
#ifndef TESTS_CUDA_EMULATOR_PIECES_H
#define TESTS_CUDA_EMULATOR_PIECES_H

#include <cstddef>

#include <cuda_runtime.h>

namespace emu
{

/* `bytes` of the `room` at p are somebody's from now on: poisoned, and what follows them guarded, when the stream gets
 * there. */
void piece_take(void *p, size_t bytes, size_t room, cudaStream_t stream);
/* From now on nothing may be queued that uses it; its guard is looked at and it is filled with another poison when the
 * stream gets there, and that has to be whole when it is taken again. */
void piece_give(void *p, cudaStream_t stream);
bool allocation_fails(); /* fail_allocation_after() counts pieces too */

/* ---- for memory.cpp ------------------------------ */
/* Reports a use of what is in no piece, where [block, block + block_bytes) has been cut. */
void pieces_check(const void *p, size_t bytes, const void *block, size_t block_bytes, const char *what);
void pieces_check_guards(int device, const char *culprit); /* the device is open */
void pieces_forget(int device, const void *block, size_t block_bytes); /* it goes back to the device, which is open */

} // namespace emu

#endif
