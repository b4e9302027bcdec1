/* The CUDA table for tests that hold their arrays in host memory: each call copies them to the device, runs the kernel,
 * copies the outputs back. So the tests of the CPU's kernels run on cuda:0 unchanged; their number of threads chooses
 * other things that may not change a bit: the order of threads and blocks, the moment at which queued work runs, and
 * (3) arrays that are not aligned to 16 bytes.
 *
 * Low precision: a test holds f32 and says DTYPE_F32, while the arrays that kernels.h has in `dtype` are converted to
 * on_device_dtype on the way in and widened on the way out, and the kernel gets that dtype. Arrays that are f32 (or
 * integers) by contract stay so. A test that says another dtype than f32 holds such arrays itself.
 *
 * HONE_ON_CPU: the same with the CPU's tables in the place of the device's, for their low precision. */
#ifndef TESTS_CUDA_EMULATOR_ON_DEVICE_H
#define TESTS_CUDA_EMULATOR_ON_DEVICE_H

#ifdef __cplusplus
extern "C" {
#endif

#include "kernels/kernels.h"

const Kernels *kernels_on_device(void);
const Kernels *kernels_on_cpu(unsigned isa); /* HONE_ON_CPU */
Stream *stream_new_on_device(int variation); /* 1 … 3 */

void on_device_set_dtype(Dtype dtype); /* of all calls from now on; f32 at first */
Dtype on_device_dtype(void);
/* x as an array of that dtype has it: to nearest, even at a tie. */
void on_device_round(float *x, int64_t n);

#ifdef __cplusplus
}
#endif

#endif
