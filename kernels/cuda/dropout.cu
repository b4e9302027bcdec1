/* y = residual + dropout(x) and its gradient. The mask is made again each time from philox.h's counters: a thread has
 * four columns of a row, which are one counter's words.
 * Floor: 2 arrays of rows*cols elements moved, 3 with a residual or when it adds. */
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/families.h"
#include "kernels/cuda/rows.cuh"

enum { MOST_THREADS = 256 };

template <bool ALIGNED>
static __global__ void __launch_bounds__(MOST_THREADS)
    mask(float *y, const float *x, const float *residual, int64_t cols, Dropout d, uint32_t threshold, float factor)
{
    int64_t row = blockIdx.x;
    uint32_t position = 0, sample = 0;
    if (threshold) {
        int32_t sequence = sequence_of(d.cu_seqlens, d.num_seqs, row);
        position = (uint32_t)(row - d.cu_seqlens[sequence]), sample = (uint32_t)d.sample[sequence];
    }
    x += row * cols, y += row * cols;
    for (int64_t i = threadIdx.x * 4; i < cols; i += blockDim.x * 4) {
        float4 v = load4<ALIGNED>(x + i, cols - i) * factor;
        if (threshold) {
            Philox w = dropout_words(&d, (uint32_t)(i / 4), position, 0, sample);
            v.x = w.v[0] >= threshold ? v.x : 0, v.y = w.v[1] >= threshold ? v.y : 0;
            v.z = w.v[2] >= threshold ? v.z : 0, v.w = w.v[3] >= threshold ? v.w : 0;
        }
        if (residual) v = v + load4<ALIGNED>(residual + row * cols + i, cols - i);
        store4<ALIGNED>(y + i, v, cols - i);
    }
}

static void run(Stream *s, void *y, const void *x, const void *residual, int64_t rows, int64_t cols,
                const Dropout *dropout)
{
    Dropout d = {};
    float factor = 1;
    uint32_t threshold = 0;
    if (dropout && dropout->p > 0) d = *dropout, factor = 1.0f / (1.0f - d.p), threshold = dropout_threshold(d.p);
    bool aligned = rows_are_aligned(cols, {y, x, residual});
    if (cols)
        launch(aligned ? mask<true> : mask<false>, cuda_blocks(rows, 1), row_threads(cols, MOST_THREADS), 0, s,
               (float *)y, (const float *)x, (const float *)residual, cols, d, threshold, factor);
}

static void dropout_add_forward(Stream *s, Dtype, void *y, const void *x, const void *residual, int64_t rows,
                                int64_t cols, const Dropout *d)
{
    run(s, y, x, residual, rows, cols, d);
}

static void dropout_backward(Stream *s, Dtype, void *dx, const void *dy, int64_t rows, int64_t cols, const Dropout *d,
                             bool accumulate)
{
    run(s, dx, dy, accumulate ? dx : nullptr, rows, cols, d);
}

void cuda_dropout_install(Kernels *k)
{
    k->dropout_add_forward = dropout_add_forward;
    k->dropout_backward = dropout_backward;
}
