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

/* They widen what they pack: there is nothing to choose. */
bool gemm_has_bf16(void) { return false; }

static void scale(int64_t m, int64_t n, float beta, float *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
}

void gemm_typed(Stream *s, int64_t m, int64_t n, int64_t k, GemmOperand a, GemmOperand b, GemmResult c)
{
    if (!m || !n) return;
    if (!maker.pool) gemm_set_isa(isa_detect());
    Product p = {.trans_a = a.trans, .trans_b = b.trans, .m = m, .n = n, .k = k, .lda = a.ld, .ldb = b.ld, .ldc = c.ld,
                 .type_a = a.dtype, .type_b = b.dtype, .type_c = c.dtype, .a = a.data, .b = b.data, .c = c.data,
                 .alpha = 1, .beta = c.accumulate, .epilogue = c.epilogue, .context = c.context};
    maker.pool(s, &p);
}

void gemm(Stream *s, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
          const float *b, int64_t ldb, float *c, int64_t ldc, bool accumulate, GemmEpilogue *epilogue, void *context)
{
    gemm_typed(s, m, n, k, (GemmOperand){a, DTYPE_F32, trans_a, lda}, (GemmOperand){b, DTYPE_F32, trans_b, ldb},
               (GemmResult){c, DTYPE_F32, ldc, accumulate, epilogue, context});
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
