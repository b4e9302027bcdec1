/* The CUDA backend's doors, for the program that has opened it and for tests. */
#ifndef HONE_KERNELS_CUDA_H
#define HONE_KERNELS_CUDA_H

#ifdef __cplusplus
extern "C" {
#endif

#include "kernels/device.h"

#define CUDA_DOOR __attribute__((visibility("default"))) /* all else is hidden */

/* Entries that are not written yet are NULL. */
CUDA_DOOR const Kernels *kernels_cuda(void);
/* A queue of its own on that device; the calling thread's launches go to it from now on. NULL: `message` (of at least
 * 200 bytes) says why. */
CUDA_DOOR Stream *stream_new_cuda(int device, char *message);
CUDA_DOOR int cuda_device_count(void); /* 0 without a driver too */
CUDA_DOOR const DeviceRanks *device_ranks_cuda(void);
CUDA_DOOR bool cuda_device_facts(int device, DeviceFacts *facts, char *why); /* why: at least 200 bytes */

#ifdef __cplusplus
}
#endif

#endif
