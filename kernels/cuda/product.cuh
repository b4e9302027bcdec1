/* Matrix products by cuBLASLt, and those of few rows by our own kernel. */
#ifndef HONE_KERNELS_CUDA_PRODUCT_CUH
#define HONE_KERNELS_CUDA_PRODUCT_CUH

#include "kernels/cuda/launch.cuh"

/* C [m, n] = gelu(op(A) op(B) + bias) (+ C where accumulate), row-major as in kernels/gemm.h; sizes > 0. A and B of
 * dtype `from`, all else of `to`: that of A and B, or f32. Sums in f32, results rounded once. f32 by f32 in TF32 where
 * stream_set_tf32 says so. */
struct Product {
    Dtype from, to;
    bool trans_a, trans_b;
    int64_t m, n, k;
    const void *a;
    int64_t lda;
    const void *b;
    int64_t ldb;
    void *c;
    int64_t ldc;
    bool accumulate;
    /* The epilogue. */
    const void *bias; /* [n]; NULL: none */
    bool gelu;        /* tanh's */
    void *pre;        /* as C, what gelu is applied to; NULL: not kept */
};

/* false: the library has this product without its epilogue only: nothing has been done. A failure is in the stream. */
bool product(Stream *s, const Product &p);
void products_free(CudaStream *s);          /* what product() has kept in the stream */
bool products_set_tf32(Stream *s, bool on); /* stream.h */

/* linear_forward_alone of kernels.h, for some of its columns; sizes > 0. */
struct Alone {
    Dtype dtype;
    void *y, *pre;
    const void *x, *weight, *bias;
    int64_t rows, in, out, ldy, ldw; /* elements between rows of y and pre, of the weight */
    WeightLayout layout;
    Activation act;
};
void linear_alone(Stream *s, const Alone &a);

#endif
