/* Matrix products by oneDNN. Its threads are OpenMP's, which the pool's threads have set to one (threads.c). */
#include <oneapi/dnnl/dnnl.h>
#include <stdio.h>

#include "kernels/gemm.h"
#include "kernels/gemm_library.h"

void gemm_library_sgemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                        int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    dnnl_sgemm(trans_a ? 'T' : 'N', trans_b ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

void gemm_set_isa(unsigned isa)
{
    dnnl_set_max_cpu_isa(isa & ISA_AVX512 ? dnnl_cpu_isa_avx512_core
                         : isa & ISA_AVX2 ? dnnl_cpu_isa_avx2
                                          : dnnl_cpu_isa_sse41);
}

const char *gemm_library(void)
{
    static char name[32]; /* every caller writes the same bytes */
    const dnnl_version_t *v = dnnl_version();
    snprintf(name, sizeof name, "oneDNN %d.%d.%d", v->major, v->minor, v->patch);
    return name;
}
