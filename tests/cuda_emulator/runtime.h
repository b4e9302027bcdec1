/* What the files of the emulated runtime API share. */
#ifndef TESTS_CUDA_EMULATOR_RUNTIME_H
#define TESTS_CUDA_EMULATOR_RUNTIME_H

#include "tests/cuda_emulator/calls.h"
#include "tests/cuda_emulator/stream.h"

#define HOLD std::lock_guard<std::recursive_mutex> hold(emu::mutex)

namespace emu
{

/* Kept for cudaGetLastError, and given back. */
inline cudaError_t result(cudaError_t error)
{
    set_error(error);
    return error;
}

} // namespace emu

#endif
