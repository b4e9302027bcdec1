/* What the fused end of a model (linear_cross_entropy.cu) asks of the loss over logits (cross_entropy.cu). */
#ifndef HONE_KERNELS_CUDA_LOSS_CUH
#define HONE_KERNELS_CUDA_LOSS_CUH

#include "kernels/cuda/launch.cuh"

enum { IGNORED = -100 }; /* a label */

struct Loss {
    float *row_loss;
    void *gradient; /* NULL: none; may be logits; its rows begin where those of logits would */
    const float *logits;
    const int32_t *labels, *index,
        *count; /* index, count NULL: all rows; else row i of the chunk is index[first + i], while below count */
    int64_t first, vocab, stride;
    float scale, smoothing, softcap, z_loss;
};

/* Loss of `rows` rows, and where there is a gradient, this in dtype. */
void cuda_losses(Stream *s, Dtype dtype, const Loss &l, int64_t rows);

/* As of the table. */
void cuda_linear_cross_entropy(Stream *s, Dtype dtype, Dtype wdtype, float *row_loss, void *dx, float *dweight,
                               const void *x, const void *weight, const int32_t *labels, int64_t rows, int64_t hidden,
                               int64_t vocab, float scale, float smoothing, float softcap, float z_loss,
                               bool accumulate);

#endif
