/* y = residual + dropout(x) and its gradient. The mask is made again each time from philox.h's counters: a thread has
 * a pack of columns of a row; each four of them are one counter's words.
 * Floor, in bytes of the dtype: 2 arrays of rows*cols elements moved, 3 with a residual or when it adds. */
#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/families.h"
#include "kernels/cuda/pack.cuh"

enum { MOST_THREADS = 256 };

template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(MOST_THREADS)
    mask(T *y, const T *x, const T *residual, int64_t cols, Dropout d, uint32_t threshold, float factor)
{
    constexpr int N = PACK<T>;
    int64_t row = blockIdx.x;
    uint32_t position = 0, sample = 0;
    if (threshold) {
        int32_t sequence = sequence_of(d.cu_seqlens, d.num_seqs, row);
        position = (uint32_t)(row - d.cu_seqlens[sequence]), sample = (uint32_t)d.sample[sequence];
    }
    x += row * cols, y += row * cols;
    for (int64_t i = threadIdx.x * N; i < cols; i += blockDim.x * N) {
        int64_t left = ALIGNED ? N : cols - i;
        Pack<N> v = load<ALIGNED, N>(x + i, left) * factor;
        if (threshold) {
#pragma unroll
            for (int quad = 0; quad < N / 4; quad++) {
                Philox w = dropout_words(&d, (uint32_t)(i / 4 + quad), position, 0, sample);
#pragma unroll
                for (int j = 0; j < 4; j++) v.v[4 * quad + j] = w.v[j] >= threshold ? v.v[4 * quad + j] : 0;
            }
        }
        if (residual) v = v + load<ALIGNED, N>(residual + row * cols + i, left);
        store<ALIGNED>(y + i, v, left);
    }
}

static void run(Stream *s, Dtype dtype, void *y, const void *x, const void *residual, int64_t rows, int64_t cols,
                const Dropout *dropout)
{
    Dropout d = {};
    float factor = 1;
    uint32_t threshold = 0;
    if (dropout && dropout->p > 0) d = *dropout, factor = 1.0f / (1.0f - d.p), threshold = dropout_threshold(d.p);
    if (!cols) return;
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        bool aligned = rows_of_packs<T>(cols, {y, x, residual});
        launch(aligned ? mask<T, true> : mask<T, false>, cuda_blocks(rows, 1), pack_threads<T>(cols, MOST_THREADS), 0,
               s, (T *)y, (const T *)x, (const T *)residual, cols, d, threshold, factor);
    });
}

static void dropout_add_forward(Stream *s, Dtype dtype, void *y, const void *x, const void *residual, int64_t rows,
                                int64_t cols, const Dropout *d)
{
    run(s, dtype, y, x, residual, rows, cols, d);
}

static void dropout_backward(Stream *s, Dtype dtype, void *dx, const void *dy, int64_t rows, int64_t cols,
                             const Dropout *d, bool accumulate)
{
    run(s, dtype, dx, dy, accumulate ? dx : nullptr, rows, cols, d);
}

void cuda_dropout_install(Kernels *k)
{
    k->dropout_add_forward = dropout_add_forward;
    k->dropout_backward = dropout_backward;
}
