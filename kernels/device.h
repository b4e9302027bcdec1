/* Devices beyond the CPU. Their kernels are a library, libhone_cuda.so, that is opened when a device is asked for: the
 * program runs where neither the library nor the driver is, and starts without either. */
#ifndef HONE_KERNELS_DEVICE_H
#define HONE_KERNELS_DEVICE_H

#include "kernels/kernels.h"

enum { DEVICE_WHY_BYTES = 1024 };

/* How many there are. 0: why says which file or device is missing. */
int device_count(char why[DEVICE_WHY_BYTES]);
/* The kernels of device number `index` and a stream of its own; the caller frees the stream. false: why says why. */
bool device_open(int index, const Kernels **k, Stream **stream, char why[DEVICE_WHY_BYTES]);

#endif
