/* The CUDA table for tests that hold their arrays in host memory: each call copies them to the device, runs the kernel,
 * copies the outputs back. So the tests of the CPU's kernels run on cuda:0 unchanged; their number of threads chooses
 * other things that may not change a bit: the order of threads and blocks, the moment at which queued work runs, and
 * (3) arrays that are not aligned to 16 bytes. */
#ifndef TESTS_CUDA_EMULATOR_ON_DEVICE_H
#define TESTS_CUDA_EMULATOR_ON_DEVICE_H

#ifdef __cplusplus
extern "C" {
#endif

#include "kernels/kernels.h"

const Kernels *kernels_on_device(void);
Stream *stream_new_on_device(int variation); /* 1 … 3 */

#ifdef __cplusplus
}
#endif

#endif
