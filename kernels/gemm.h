/* The one seam to CPU matrix products: oneDNN, or our own kernels or any CBLAS by a build option (HONE_BLAS). */
#ifndef HONE_KERNELS_GEMM_H
#define HONE_KERNELS_GEMM_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* What is done to a finished tile while it is in cache. rows x cols at c (row stride ldc), its place in C at (row,
 * col). */
typedef void GemmEpilogue(void *context, float *c, int64_t ldc, int64_t row, int64_t col, int64_t rows, int64_t cols);

/* C = op(A) op(B) + (accumulate ? C : 0), f32, row-major, op(A) [m, k], op(B) [k, n]. One-threaded library calls on
 * tiles that depend on m, n, k alone, under the stream's pool: bits depend on shape and instruction set only. epilogue
 * may be NULL. */
void gemm(Stream *s, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
          const float *b, int64_t ldb, float *c, int64_t ldc, bool accumulate, GemmEpilogue *epilogue, void *context);
/* The same by the calling thread alone (inside a task). */
void gemm_serial(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                 const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
void gemm_set_isa(unsigned isa); /* before the first product: keeps the library within it */
const char *gemm_library(void);  /* "oneDNN 2.6.3", "own kernels" */

#endif
