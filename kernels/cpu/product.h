/* Between gemm_native.c, which cuts a product into tiles, and product.c, which makes a tile with one instruction
 * set. */
#ifndef HONE_KERNELS_CPU_PRODUCT_H
#define HONE_KERNELS_CPU_PRODUCT_H

#include "kernels/gemm.h"

/* C = alpha op(A) op(B) + beta C: as gemm_typed() and gemm_serial() (which is all f32). m, n > 0. */
typedef struct Product {
    bool trans_a, trans_b;
    int64_t m, n, k, lda, ldb, ldc;
    Dtype type_a, type_b, type_c;
    const void *a, *b;
    void *c;
    float alpha, beta;
    GemmEpilogue *epilogue; /* on the pool only */
    void *context;
} Product;

#define PRODUCT_DECLARED(isa)                    \
    void product_serial_##isa(const Product *p); \
    void product_pool_##isa(Stream *s, const Product *p); \
    void product_alone_##isa(Stream *s, const Product *p); /* the same bits, fast with few rows too */
PRODUCT_DECLARED(base)
PRODUCT_DECLARED(avx2)
PRODUCT_DECLARED(avx512)
#undef PRODUCT_DECLARED

#endif
