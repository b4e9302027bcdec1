/* What comm.cu, whose table it is, and comm_nccl.cu share. */
#ifndef HONE_KERNELS_CUDA_COMM_CUH
#define HONE_KERNELS_CUDA_COMM_CUH

#include "kernels/cuda/launch.cuh"

extern "C" {
#include "kernels/device.h"
}

void cuda_comm_nccl_install(DeviceRanks *t);

#endif
