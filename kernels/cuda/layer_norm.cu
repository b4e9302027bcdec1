/* Layer norm (Ba et al. 2016): mean, then variance around it (no cancellation), then y.
 * Forward: rows of up to 1024 elements by a warp each, kept in registers; longer ones by a block each, read again from
 * the cache. Backward, with xhat = (x - mean) rstd and g = dy weight:
 *   dx = rstd (g - mean(g) - xhat mean(g xhat)),  dweight = sum of dy xhat,  dbias = sum of dy over rows
 * A block takes CHUNK rows; each of its threads adds up its own columns of dweight and dbias in shared memory; then the
 * chunks' sums are added in a fixed order (rows.cuh).
 * Floor: forward 2*rows*hidden elements + 8*rows bytes, backward 3*rows*hidden elements moved (2 without dx);
 * 8*hidden*rows/CHUNK bytes of partial sums written and read come on top (3% at CHUNK 32). */
#include "kernels/cuda/families.h"
#include "kernels/cuda/rows.cuh"

enum { WARPS = 8, FOURS = 8, SHORT_ROW = 32 * 4 * FOURS, MOST_THREADS = 256 };

/* d holds x - mean. */
template <bool ALIGNED>
static __device__ __forceinline__ void write4(float *y, float4 d, float rstd, const float *weight, const float *bias,
                                              int64_t i, int64_t n)
{
    float4 b = bias ? load4<ALIGNED>(bias + i, n - i) : zero4();
    store4<ALIGNED>(y + i, fma4(d * rstd, load4<ALIGNED>(weight + i, n - i), b), n - i);
}

template <bool ALIGNED>
static __global__ void __launch_bounds__(32 * WARPS)
    forward_short(float *y, float *means, float *rstds, const float *x, const float *weight, const float *bias,
                  int64_t rows, int n, float eps)
{
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += row * n, y += row * n;
    float4 v[FOURS];
    float sum = 0, squares = 0;
#pragma unroll
    for (int f = 0; f < FOURS; f++) {
        int i = (f * 32 + lane) * 4;
        v[f] = i < n ? load4<ALIGNED>(x + i, n - i) : zero4();
        sum += sum4(v[f]);
    }
    float mean = warp_sum(sum) / (float)n;
#pragma unroll
    for (int f = 0; f < FOURS; f++) {
        int i = (f * 32 + lane) * 4;
        v[f] = v[f] - mean;
        if (i >= n) continue;
        float4 d = keep4(v[f], n - i);
        squares += sum4(d * d);
    }
    float rstd = 1.0f / sqrtf(warp_sum(squares) / (float)n + eps);
#pragma unroll
    for (int f = 0; f < FOURS; f++) {
        int i = (f * 32 + lane) * 4;
        if (i < n) write4<ALIGNED>(y, v[f], rstd, weight, bias, i, n);
    }
    if (lane == 0 && means) means[row] = mean, rstds[row] = rstd;
}

template <bool ALIGNED>
static __global__ void __launch_bounds__(MOST_THREADS)
    forward_long(float *y, float *means, float *rstds, const float *x, const float *weight, const float *bias,
                 int64_t n, float eps)
{
    SHARED(float, room, [64]);
    int64_t row = blockIdx.x;
    x += row * n, y += row * n;
    float sum = 0, squares = 0;
    for (int64_t i = threadIdx.x * 4; i < n; i += blockDim.x * 4) sum += sum4(load4<ALIGNED>(x + i, n - i));
    float mean = block_sum(sum, room) / (float)n;
    for (int64_t i = threadIdx.x * 4; i < n; i += blockDim.x * 4) {
        float4 d = keep4(load4<ALIGNED>(x + i, n - i) - mean, n - i);
        squares += sum4(d * d);
    }
    float rstd = 1.0f / sqrtf(block_sum(squares, room) / (float)n + eps);
    for (int64_t i = threadIdx.x * 4; i < n; i += blockDim.x * 4)
        write4<ALIGNED>(y, load4<ALIGNED>(x + i, n - i) - mean, rstd, weight, bias, i, n);
    if (threadIdx.x == 0 && means) means[row] = mean, rstds[row] = rstd;
}

static void layer_norm_forward(Stream *s, Dtype, void *y, float *mean, float *rstd, const void *x, const void *weight,
                               const void *bias, int64_t rows, int64_t hidden, float eps)
{
    bool aligned = rows_are_aligned(hidden, {y, x, weight, bias});
    const float *in = (const float *)x, *w = (const float *)weight, *b = (const float *)bias;
    if (hidden <= SHORT_ROW)
        launch(aligned ? forward_short<true> : forward_short<false>, cuda_blocks(rows, WARPS), 32 * WARPS, 0, s,
               (float *)y, mean, rstd, in, w, b, rows, (int)hidden, eps);
    else
        launch(aligned ? forward_long<true> : forward_long<false>, cuda_blocks(rows, 1),
               row_threads(hidden, MOST_THREADS), 0, s, (float *)y, mean, rstd, in, w, b, hidden, eps);
}

template <bool ALIGNED>
static __global__ void __launch_bounds__(MOST_THREADS)
    backward_chunk(float *dx, float *partial, const float *dy, const float *x, const float *means, const float *rstds,
                   const float *weight, int64_t rows, int64_t n, bool accumulate_dx, bool sums_are_shared)
{
    SHARED(float, room, [64]);
    float *out = partial ? partial + (int64_t)blockIdx.x * 2 * n : nullptr,
          *sums = sums_are_shared ? dynamic_shared<float>() : out;
    int64_t first = (int64_t)blockIdx.x * CHUNK, last = first + CHUNK < rows ? first + CHUNK : rows;
    for (int64_t row = first; row < last; row++) {
        const float *xr = x + row * n, *dyr = dy + row * n;
        float mean = means[row], rstd = rstds[row], sum = 0, sum_xhat = 0;
        for (int64_t i = threadIdx.x * 4; i < n; i += blockDim.x * 4) {
            float4 d = load4<ALIGNED>(dyr + i, n - i), xhat = (load4<ALIGNED>(xr + i, n - i) - mean) * rstd;
            float4 g = d * load4<ALIGNED>(weight + i, n - i);
            sum += sum4(g);
            sum_xhat += sum4(g * xhat); /* where an element is missing g is 0 */
            if (!sums) continue;
            add_column<ALIGNED>(sums + i, d * xhat, n - i, row == first);
            add_column<ALIGNED>(sums + n + i, d, n - i, row == first);
        }
        if (!dx) continue;
        block_sums(&sum, &sum_xhat, room);
        float mean_g = sum / (float)n, mean_g_xhat = sum_xhat / (float)n;
        for (int64_t i = threadIdx.x * 4; i < n; i += blockDim.x * 4) {
            float4 xhat = (load4<ALIGNED>(xr + i, n - i) - mean) * rstd;
            float4 g = load4<ALIGNED>(dyr + i, n - i) * load4<ALIGNED>(weight + i, n - i);
            float4 v = (g - mean_g + xhat * -mean_g_xhat) * rstd;
            float *to = dx + row * n + i;
            store4<ALIGNED>(to, accumulate_dx ? v + load4<ALIGNED>(to, n - i) : v, n - i);
        }
    }
    if (!sums_are_shared) return;
    for (int64_t i = threadIdx.x * 4; i < n; i += blockDim.x * 4) { /* its own columns: no barrier */
        store4<ALIGNED>(out + i, load4<ALIGNED>(sums + i, n - i), n - i);
        store4<ALIGNED>(out + n + i, load4<ALIGNED>(sums + n + i, n - i), n - i);
    }
}

static void layer_norm_backward(Stream *s, Dtype, void *dx, float *dweight, float *dbias, const void *dy, const void *x,
                                const float *mean, const float *rstd, const void *weight, int64_t rows, int64_t hidden,
                                bool accumulate_dx, bool accumulate_params)
{
    int64_t chunks = (rows + CHUNK - 1) / CHUNK;
    float *partial = nullptr;
    if (dweight || dbias) partial = (float *)stream_scratch_cuda(s, 0, (size_t)(chunks * 2 * hidden) * sizeof(float));
    bool aligned = rows_are_aligned(hidden, {dx, dy, x, weight, partial});
    size_t shared =
        partial && 2 * (size_t)hidden * sizeof(float) <= SHARED_BYTES ? 2 * (size_t)hidden * sizeof(float) : 0;
    if (hidden)
        launch(aligned ? backward_chunk<true> : backward_chunk<false>, cuda_blocks(chunks, 1),
               row_threads(hidden, MOST_THREADS), shared, s, (float *)dx, partial, (const float *)dy, (const float *)x,
               mean, rstd, (const float *)weight, rows, hidden, accumulate_dx, shared > 0);
    rows_add_chunks(s, dweight, partial, chunks, hidden, 2 * hidden, accumulate_params);
    rows_add_chunks(s, dbias, partial ? partial + hidden : nullptr, chunks, hidden, 2 * hidden, accumulate_params);
}

void cuda_layer_norm_install(Kernels *k)
{
    k->layer_norm_forward = layer_norm_forward;
    k->layer_norm_backward = layer_norm_backward;
}
