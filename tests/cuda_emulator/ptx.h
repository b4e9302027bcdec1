/* Runs PTX for one warp: an interpreter of the few instructions that nvcc makes of wrappers.cu, written from the PTX
 * ISA and sharing nothing with the twins. Straight-line code; each instruction is done for all lanes before the next.
 * What it does not know is an error, never passed over. */
#ifndef TESTS_CUDA_EMULATOR_PTX_H
#define TESTS_CUDA_EMULATOR_PTX_H

#include <cstdint>
#include <string>
#include <vector>

/* The error, with its line, or "". Parameters: pointers. */
std::string ptx_run(const std::string &text, const std::string &kernel, const std::vector<uint64_t> &parameters);

#endif
