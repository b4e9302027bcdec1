/* Products by our own kernels (cpu/product.c; HONE_BLAS=native): within 5% of oneDNN, no library, no bit depends on the
 * number of rows. */
#include "kernels/cpu/product.h"

typedef struct Maker {
    void (*serial)(const Product *p);
    void (*pool)(Stream *s, const Product *p);
} Maker;

static Maker maker; /* set before the first product, by one thread */

void gemm_set_isa(unsigned isa)
{
    if (isa & ISA_AVX512) maker = (Maker){product_serial_avx512, product_pool_avx512};
    else if (isa & ISA_AVX2) maker = (Maker){product_serial_avx2, product_pool_avx2};
    else maker = (Maker){product_serial_base, product_pool_base};
}

const char *gemm_library(void) { return "own kernels"; }

static void scale(int64_t m, int64_t n, float beta, float *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
}

void gemm(Stream *s, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
          const float *b, int64_t ldb, float *c, int64_t ldc, bool accumulate, GemmEpilogue *epilogue, void *context)
{
    if (!m || !n) return;
    if (!k) {
        scale(m, n, accumulate, c, ldc);
        if (epilogue) epilogue(context, c, ldc, 0, 0, m, n);
        return;
    }
    if (!maker.pool) gemm_set_isa(isa_detect());
    Product p = {.trans_a = trans_a, .trans_b = trans_b, .m = m, .n = n, .k = k, .lda = lda, .ldb = ldb, .ldc = ldc,
                 .a = a, .b = b, .c = c, .alpha = 1, .beta = accumulate, .epilogue = epilogue, .context = context};
    maker.pool(s, &p);
}

void gemm_serial(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                 const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    if (!m || !n) return;
    if (!k) {
        scale(m, n, beta, c, ldc);
        return;
    }
    if (!maker.serial) gemm_set_isa(isa_detect());
    Product p = {.trans_a = trans_a, .trans_b = trans_b, .m = m, .n = n, .k = k, .lda = lda, .ldb = ldb, .ldc = ldc,
                 .a = a, .b = b, .c = c, .alpha = alpha, .beta = beta};
    maker.serial(&p);
}
