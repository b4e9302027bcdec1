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

bool isa_has_bf16(void); /* AVX-512 BF16: what the library's bf16 products take */
bool isa_has_amx(void);  /* AMX's tiles of bf16, which the system lets programs use */
/* How bf16 by bf16 is done: widened to f32, or by the library's own bf16 products, whose bits are others. A race at the
 * start would make bits a matter of luck, so the instruction set decides: the library's where there is AVX-512 BF16 or
 * AMX, widened elsewhere. On two cores of an EPYC the library's rate is 1.8 times that of f32, and a step of GPT-2 124M
 * took 28% less. HONE_BF16=widened|library decides otherwise; gemm_rates tells what it is worth. */
typedef enum Bf16Products { BF16_WIDENED, BF16_LIBRARY } Bf16Products;
Bf16Products gemm_bf16(void);
void gemm_set_bf16(Bf16Products how); /* before the first product, or between two; the library's only where it has
                                         them */
bool gemm_has_bf16(void);             /* the library has any on this machine */
/* Whether HONE_BF16 (`wanted`) asks for something that is there, as isa_allowed. */
bool gemm_bf16_allowed(const char *wanted, char why[ISA_WHY_BYTES]);
/* FLOP/s of products of 512 x 512 x 512 on the pool, the best of a few: 50 ms in all. bf16_library: 0 where there are
 * none. */
typedef struct GemmRates {
    double f32, bf16_widened, bf16_library;
} GemmRates;
GemmRates gemm_rates(Stream *s);

#endif
