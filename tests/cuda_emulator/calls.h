/* What the host asks of the runtime that takes its time or makes it wait: counted, and written into HONE_EMU_LOG as
 * "cuda:0 host NAME", so that tests can say that a step does none of it. */
#ifndef TESTS_CUDA_EMULATOR_CALLS_H
#define TESTS_CUDA_EMULATOR_CALLS_H

#include <cstdint>

namespace emu
{

enum class Call {
    ALLOCATE,     /* cudaMalloc, cudaFree: both wait for the device */
    ALLOCATE_HOST /* pinned memory, likewise */,
    SYNCHRONIZE,  /* a stream or the device */
    WAIT,         /* for an event that had not come yet */
    PAGEABLE,     /* a copy from or to host memory that is not pinned */
    KINDS
};

void count_call(Call call);
uint64_t calls(Call call); /* so far */

} // namespace emu

#endif
