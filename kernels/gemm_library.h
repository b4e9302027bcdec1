/* What gemm_tiled.c asks of a library of matrix products; gemm_onednn.c or gemm_cblas.c is the one that is built
 * (HONE_BLAS). */
#ifndef HONE_KERNELS_GEMM_LIBRARY_H
#define HONE_KERNELS_GEMM_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

/* C = alpha op(A) op(B) + beta C, row-major, by the calling thread alone; m, n, k > 0. beta 0: C is not read. */
void gemm_library_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                        int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

#endif
