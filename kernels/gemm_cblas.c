/* Matrix products by any CBLAS (HONE_BLAS=cblas; BLA_VENDOR chooses it). One that threads by itself must be told not to
 * by its environment (OPENBLAS_NUM_THREADS=1), unless its threads are OpenMP's. */
#include <cblas.h>

#include "kernels/gemm.h"
#include "kernels/gemm_library.h"

void gemm_library_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                        int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    cblas_sgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, (int)m, (int)n,
                (int)k, alpha, a, (int)lda, b, (int)ldb, beta, c, (int)ldc);
}

/* CBLAS has no bf16 that all have. */
bool gemm_library_bf16(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const void *a, int64_t lda,
                       const void *b, int64_t ldb, float *c, int64_t ldc, bool accumulate)
{
    (void)trans_a, (void)trans_b, (void)m, (void)n, (void)k, (void)a, (void)lda, (void)b, (void)ldb, (void)c, (void)ldc;
    (void)accumulate;
    return false;
}

void gemm_library_allow_bf16(bool amx) { (void)amx; }
bool gemm_has_bf16(void) { return false; }
void gemm_set_isa(unsigned isa) { (void)isa; }

const char *gemm_library(void) { return "CBLAS"; }
