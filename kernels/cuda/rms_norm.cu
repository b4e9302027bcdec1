/* RMS norm (Zhang and Sennrich 2019): y = x rstd (weight + offset). Rows and chunks as in layer_norm.cu.
 * Backward, with xhat = x rstd and g = dy (weight + offset):
 *   dx = rstd (g - xhat mean(g xhat)),  dweight = sum of dy xhat over rows
 * Floor: forward 2*rows*hidden elements + 4*rows bytes, backward 3*rows*hidden elements moved (2 without dx). */
#include "kernels/cuda/families.h"
#include "kernels/cuda/rows.cuh"

enum { WARPS = 8, FOURS = 8, SHORT_ROW = 32 * 4 * FOURS, MOST_THREADS = 256 };

template <bool ALIGNED>
static __global__ void __launch_bounds__(32 * WARPS)
    forward_short(float *y, float *rstds, const float *x, const float *weight, int64_t rows, int n, float eps,
                  float offset)
{
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += row * n, y += row * n;
    float4 v[FOURS];
    float squares = 0;
#pragma unroll
    for (int f = 0; f < FOURS; f++) {
        int i = (f * 32 + lane) * 4;
        v[f] = i < n ? load4<ALIGNED>(x + i, n - i) : zero4();
        squares += sum4(v[f] * v[f]);
    }
    float rstd = 1.0f / sqrtf(warp_sum(squares) / (float)n + eps);
#pragma unroll
    for (int f = 0; f < FOURS; f++) {
        int i = (f * 32 + lane) * 4;
        if (i < n) store4<ALIGNED>(y + i, v[f] * rstd * (load4<ALIGNED>(weight + i, n - i) + offset), n - i);
    }
    if (lane == 0 && rstds) rstds[row] = rstd;
}

template <bool ALIGNED>
static __global__ void __launch_bounds__(MOST_THREADS)
    forward_long(float *y, float *rstds, const float *x, const float *weight, int64_t n, float eps, float offset)
{
    SHARED(float, room, [64]);
    int64_t row = blockIdx.x;
    x += row * n, y += row * n;
    float squares = 0;
    for (int64_t i = threadIdx.x * 4; i < n; i += blockDim.x * 4) {
        float4 v = load4<ALIGNED>(x + i, n - i);
        squares += sum4(v * v);
    }
    float rstd = 1.0f / sqrtf(block_sum(squares, room) / (float)n + eps);
    for (int64_t i = threadIdx.x * 4; i < n; i += blockDim.x * 4)
        store4<ALIGNED>(y + i, load4<ALIGNED>(x + i, n - i) * rstd * (load4<ALIGNED>(weight + i, n - i) + offset),
                        n - i);
    if (threadIdx.x == 0 && rstds) rstds[row] = rstd;
}

static void rms_norm_forward(Stream *s, Dtype, void *y, float *rstd, const void *x, const void *weight, int64_t rows,
                             int64_t hidden, float eps, float offset)
{
    bool aligned = rows_are_aligned(hidden, {y, x, weight});
    const float *in = (const float *)x, *w = (const float *)weight;
    if (hidden <= SHORT_ROW)
        launch(aligned ? forward_short<true> : forward_short<false>, cuda_blocks(rows, WARPS), 32 * WARPS, 0, s,
               (float *)y, rstd, in, w, rows, (int)hidden, eps, offset);
    else
        launch(aligned ? forward_long<true> : forward_long<false>, cuda_blocks(rows, 1),
               row_threads(hidden, MOST_THREADS), 0, s, (float *)y, rstd, in, w, hidden, eps, offset);
}

template <bool ALIGNED>
static __global__ void __launch_bounds__(MOST_THREADS)
    backward_chunk(float *dx, float *partial, const float *dy, const float *x, const float *rstds, const float *weight,
                   int64_t rows, int64_t n, float offset, bool accumulate_dx, bool sums_are_shared)
{
    SHARED(float, room, [64]);
    float *out = partial ? partial + (int64_t)blockIdx.x * n : nullptr,
          *sums = sums_are_shared ? dynamic_shared<float>() : out;
    int64_t first = (int64_t)blockIdx.x * CHUNK, last = first + CHUNK < rows ? first + CHUNK : rows;
    for (int64_t row = first; row < last; row++) {
        const float *xr = x + row * n, *dyr = dy + row * n;
        float rstd = rstds[row], sum = 0;
        for (int64_t i = threadIdx.x * 4; i < n; i += blockDim.x * 4) {
            float4 d = load4<ALIGNED>(dyr + i, n - i), xhat = load4<ALIGNED>(xr + i, n - i) * rstd;
            sum += sum4(d * (load4<ALIGNED>(weight + i, n - i) + offset) * xhat); /* 0 where an element is missing */
            if (sums) add_column<ALIGNED>(sums + i, d * xhat, n - i, row == first);
        }
        if (!dx) continue;
        float mean_g_xhat = block_sum(sum, room) / (float)n;
        for (int64_t i = threadIdx.x * 4; i < n; i += blockDim.x * 4) {
            float4 xhat = load4<ALIGNED>(xr + i, n - i) * rstd;
            float4 g = load4<ALIGNED>(dyr + i, n - i) * (load4<ALIGNED>(weight + i, n - i) + offset);
            float4 v = (g + xhat * -mean_g_xhat) * rstd;
            float *to = dx + row * n + i;
            store4<ALIGNED>(to, accumulate_dx ? v + load4<ALIGNED>(to, n - i) : v, n - i);
        }
    }
    if (!sums_are_shared) return;
    for (int64_t i = threadIdx.x * 4; i < n; i += blockDim.x * 4) /* its own columns: no barrier */
        store4<ALIGNED>(out + i, load4<ALIGNED>(sums + i, n - i), n - i);
}

static void rms_norm_backward(Stream *s, Dtype, void *dx, float *dweight, const void *dy, const void *x,
                              const float *rstd, const void *weight, int64_t rows, int64_t hidden, float offset,
                              bool accumulate_dx, bool accumulate_params)
{
    int64_t chunks = (rows + CHUNK - 1) / CHUNK;
    size_t row_bytes = (size_t)hidden * sizeof(float);
    float *partial = nullptr;
    if (dweight) partial = (float *)stream_scratch_cuda(s, 0, (size_t)chunks * row_bytes);
    bool aligned = rows_are_aligned(hidden, {dx, dy, x, weight, partial});
    size_t shared = partial && row_bytes <= SHARED_BYTES ? row_bytes : 0;
    if (hidden)
        launch(aligned ? backward_chunk<true> : backward_chunk<false>, cuda_blocks(chunks, 1),
               row_threads(hidden, MOST_THREADS), shared, s, (float *)dx, partial, (const float *)dy, (const float *)x,
               rstd, (const float *)weight, rows, hidden, offset, accumulate_dx, shared > 0);
    rows_add_chunks(s, dweight, partial, chunks, hidden, hidden, accumulate_params);
}

void cuda_rms_norm_install(Kernels *k)
{
    k->rms_norm_forward = rms_norm_forward;
    k->rms_norm_backward = rms_norm_backward;
}
