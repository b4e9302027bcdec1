/* Matrix products by cuBLASLt. */
#ifndef HONE_KERNELS_CUDA_PRODUCT_CUH
#define HONE_KERNELS_CUDA_PRODUCT_CUH

#include "kernels/cuda/launch.cuh"

/* C = op(A) op(B) (+ bias) + (accumulate ? C : 0), f32, row-major as in kernels/gemm.h; bias [n] or NULL, not with
 * accumulate. */
void product(Stream *s, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
             const float *b, int64_t ldb, float *c, int64_t ldc, bool accumulate, const float *bias);
void products_free(CudaStream *s); /* what product() has kept in the stream */
bool products_set_tf32(Stream *s, bool on); /* stream.h */

#endif
