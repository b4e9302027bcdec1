/* What convert.cu lends. */
#ifndef HONE_KERNELS_CUDA_CONVERT_CUH
#define HONE_KERNELS_CUDA_CONVERT_CUH

#include "kernels/cuda/launch.cuh"

/* y [rows, cols] = x, rows at the strides, to nearest even; another dtype. */
void cuda_convert_rows(Stream *s, Dtype to, void *y, int64_t ldy, Dtype from, const void *x, int64_t ldx, int64_t rows,
                       int64_t cols);

#endif
