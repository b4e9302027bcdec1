/* What tests ask of the emulated cuBLASLt beyond its own interface. */
#ifndef TESTS_CUDA_EMULATOR_CUBLAS_H
#define TESTS_CUDA_EMULATOR_CUBLAS_H

#include <cstddef>
#include <cstdint>

namespace emu
{

size_t cublas_objects(); /* handles, descriptors, layouts, preferences that are alive */
uint64_t cublas_asked(); /* how often an algorithm was asked for */
/* No algorithm for products with this epilogue from now on, as on a device or in a version that has none; 0: all are
 * found again. */
void cublas_refuse(uint32_t epilogue);

} // namespace emu

#endif
