/* The one seam to CPU matrix products: oneDNN, or our own kernels or any CBLAS by a build option (HONE_BLAS). */
#ifndef HONE_KERNELS_GEMM_H
#define HONE_KERNELS_GEMM_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kernels.h"

/* What is done to a finished tile while it is in cache, in f32, before it is rounded where C is not. rows x cols at c
 * (row stride ldc), its place in C at (row, col). */
typedef void GemmEpilogue(void *context, float *c, int64_t ldc, int64_t row, int64_t col, int64_t rows, int64_t cols);

/* f32, bf16 or f16, row-major. */
typedef struct GemmOperand {
    const void *data;
    Dtype dtype;
    bool trans;
    int64_t ld; /* elements between its rows in memory */
} GemmOperand;
typedef struct GemmResult {
    void *data;
    Dtype dtype;
    int64_t ld;
    bool accumulate;
    GemmEpilogue *epilogue; /* may be NULL */
    void *context;
} GemmResult;

/* C = op(A) op(B) + (accumulate ? C : 0), op(A) [m, k], op(B) [k, n]. Sums in f32; C is rounded once, to nearest even.
 * One-threaded library calls on tiles that depend on m, n, k and the dtypes alone, under the stream's pool: bits depend
 * on these and the instruction set only. What is not f32 is widened tile by tile. */
void gemm_typed(Stream *s, int64_t m, int64_t n, int64_t k, GemmOperand a, GemmOperand b, GemmResult c);
/* The same, all of it in f32. */
void gemm(Stream *s, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
          const float *b, int64_t ldb, float *c, int64_t ldc, bool accumulate, GemmEpilogue *epilogue, void *context);
/* The same by the calling thread alone (inside a task). */
void gemm_serial(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                 const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
void gemm_set_isa(unsigned isa); /* before the first product: keeps the library within it */
const char *gemm_library(void);  /* "oneDNN 2.6.3", "own kernels" */

#endif
