/* Parts of matrices as f32, for products on tiles (gemm_tiled.c), by each instruction set (pack.c). */
#ifndef HONE_KERNELS_CPU_PACK_H
#define HONE_KERNELS_CPU_PACK_H

#include "kernels/kernels.h"

typedef struct Packing {
    /* y [rows, ldy] = x [rows, cols] of dtype */
    void (*straight)(float *y, int64_t ldy, Dtype dtype, const void *x, int64_t ldx, int64_t rows, int64_t cols);
    /* y [cols, ldy] = transposed x [rows, cols] of dtype */
    void (*transposed)(float *y, int64_t ldy, Dtype dtype, const void *x, int64_t ldx, int64_t rows, int64_t cols);
    /* y [rows, ldy] of dtype = x [rows, cols], to nearest even */
    void (*narrow)(Dtype dtype, void *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t cols);
} Packing;

extern const Packing packing_base, packing_avx2, packing_avx512;

#endif
