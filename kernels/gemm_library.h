/* What gemm_tiled.c asks of a library of matrix products; gemm_onednn.c or gemm_cblas.c is the one that is built
 * (HONE_BLAS). */
#ifndef HONE_KERNELS_GEMM_LIBRARY_H
#define HONE_KERNELS_GEMM_LIBRARY_H

#include <stdbool.h>
#include <stdint.h>

/* C = alpha op(A) op(B) + beta C, row-major, by the calling thread alone; m, n, k > 0. beta 0: C is not read. */
void gemm_library_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                        int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

/* The same of bf16 A and B, with alpha 1 and an f32 C that is added to where `accumulate`, by the library's own
 * kernels.
 * false: it has none for this machine and nothing has been done. */
bool gemm_library_bf16(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda,
                       const void *b, int64_t ldb, float *c, int64_t ldc, bool accumulate);
/* Lets the library use its bf16 instructions, up to those of AMX where `amx`; before the first product. */
void gemm_library_allow_bf16(bool amx);

#endif
