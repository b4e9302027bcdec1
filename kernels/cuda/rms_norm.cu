/* RMS norm (Zhang and Sennrich 2019): y = x rstd (weight + offset). Rows, chunks and paths as in layer_norm.cu.
 * Backward, with xhat = x rstd and g = dy (weight + offset):
 *   dx = rstd (g - xhat mean(g xhat)),  dweight = sum of dy xhat over rows
 * Floor, in bytes of the dtype: forward 2*rows*hidden elements + 4*rows bytes, backward 3*rows*hidden elements moved (2
 * without dx) + 4*rows; the partial sums, 4*hidden bytes a chunk, are written and read on top. */
#include "kernels/cuda/families.h"
#include "kernels/cuda/rows.cuh"

enum { WARPS = 8, SHORT_ROW = 1024, MOST_THREADS = 256, AT_ONCE = 4, MOST_WIDE = 512 };

template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(32 * WARPS)
    forward_short(T *y, float *rstds, const T *x, const T *weight, int64_t rows, int n, float eps, float offset)
{
    constexpr int N = PACK<T>, PACKS = SHORT_ROW / (32 * N);
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += row * n, y += row * n;
    Pack<N> v[PACKS];
    float squares = 0;
#pragma unroll
    for (int f = 0; f < PACKS; f++) {
        int i = (f * 32 + lane) * N;
        v[f] = i < n ? load<ALIGNED, N>(x + i, ALIGNED ? N : n - i) : zero_pack<N>();
        squares += sum_pack(v[f] * v[f]);
    }
    float rstd = 1.0f / sqrtf(warp_sum(squares) / (float)n + eps);
#pragma unroll
    for (int f = 0; f < PACKS; f++) {
        int i = (f * 32 + lane) * N, left = ALIGNED ? N : n - i;
        if (i < n) store<ALIGNED>(y + i, v[f] * rstd * (load<ALIGNED, N>(weight + i, left) + offset), left);
    }
    if (lane == 0 && rstds) rstds[row] = rstd;
}

template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(MOST_THREADS)
    forward_long(T *y, float *rstds, const T *x, const T *weight, int64_t n, float eps, float offset)
{
    constexpr int N = PACK<T>;
    SHARED(float, room, [64]);
    int64_t row = blockIdx.x;
    x += row * n, y += row * n;
    float squares = 0;
    for (int64_t i = threadIdx.x * N; i < n; i += blockDim.x * N) {
        Pack<N> v = load<ALIGNED, N>(x + i, ALIGNED ? N : n - i);
        squares += sum_pack(v * v);
    }
    float rstd = 1.0f / sqrtf(block_sum(squares, room) / (float)n + eps);
    for (int64_t i = threadIdx.x * N; i < n; i += blockDim.x * N) {
        int64_t left = ALIGNED ? N : n - i;
        Pack<N> w = load<ALIGNED, N>(weight + i, left) + offset;
        store<ALIGNED>(y + i, load<ALIGNED, N>(x + i, left) * rstd * w, left);
    }
    if (threadIdx.x == 0 && rstds) rstds[row] = rstd;
}

static void rms_norm_forward(Stream *s, Dtype dtype, void *y, float *rstd, const void *x, const void *weight,
                             int64_t rows, int64_t hidden, float eps, float offset)
{
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        bool aligned = rows_of_packs<T>(hidden, {y, x, weight});
        if (hidden <= SHORT_ROW)
            launch(aligned ? forward_short<T, true> : forward_short<T, false>, cuda_blocks(rows, WARPS), 32 * WARPS, 0,
                   s, (T *)y, rstd, (const T *)x, (const T *)weight, rows, (int)hidden, eps, offset);
        else
            launch(aligned ? forward_long<T, true> : forward_long<T, false>, cuda_blocks(rows, 1),
                   pack_threads<T>(hidden, MOST_THREADS), 0, s, (T *)y, rstd, (const T *)x, (const T *)weight, hidden,
                   eps, offset);
    });
}

/* Rows of up to a pack for each thread. */
template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(MOST_WIDE, 1)
    backward_short(T *dx, float *partial, const T *dy, const T *x, const float *rstds, const T *weight, int64_t rows,
                   int n, int64_t chunk, float offset, bool accumulate_dx)
{
    constexpr int N = PACK<T>;
    SHARED(float, room, [2][AT_ONCE * 32]);
    int i = threadIdx.x * N, left = ALIGNED ? N : n - i, turn = 0;
    bool mine = i < n;
    float share = 1.0f / (float)n;
    int64_t first = (int64_t)blockIdx.x * chunk, last = first + chunk < rows ? first + chunk : rows;
    Pack<N> w = (mine ? load<ALIGNED, N>(weight + i, left) : zero_pack<N>()) + offset, dw = zero_pack<N>();
    for (int64_t row = first; row < last; row += AT_ONCE, turn ^= 1) {
        Pack<N> g[AT_ONCE], xhat[AT_ONCE];
        float rstd[AT_ONCE], sums[AT_ONCE];
#pragma unroll
        for (int r = 0; r < AT_ONCE; r++) { /* what is missing is 0, and so are its sums */
            bool there = row + r < last;
            int64_t at = (row + r) * n + i;
            g[r] = there && mine ? load<ALIGNED, N>(dy + at, left) : zero_pack<N>();
            xhat[r] = there && mine ? load<ALIGNED, N>(x + at, left) : zero_pack<N>();
            rstd[r] = there ? rstds[row + r] : 0;
        }
#pragma unroll
        for (int r = 0; r < AT_ONCE; r++) {
            xhat[r] = xhat[r] * rstd[r];
            dw = fma_pack(g[r], xhat[r], dw);
            g[r] = g[r] * w;
            sums[r] = sum_pack(g[r] * xhat[r]);
        }
        if (!dx) continue;
        block_sums_of<AT_ONCE>(sums, room[turn]);
#pragma unroll
        for (int r = 0; r < AT_ONCE; r++) {
            if (row + r >= last || !mine) continue;
            Pack<N> v = (g[r] + xhat[r] * -(sums[r] * share)) * rstd[r];
            T *to = dx + (row + r) * n + i;
            store<ALIGNED>(to, accumulate_dx ? v + load<ALIGNED, N>(to, left) : v, left);
        }
    }
    if (partial && mine) store<ALIGNED>(partial + (int64_t)blockIdx.x * n + i, dw, left);
}

template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(MOST_THREADS)
    backward_long(T *dx, float *partial, const T *dy, const T *x, const float *rstds, const T *weight, int64_t rows,
                  int64_t n, int64_t chunk, float offset, bool accumulate_dx, bool sums_are_shared)
{
    constexpr int N = PACK<T>;
    SHARED(float, room, [64]);
    float *out = partial ? partial + (int64_t)blockIdx.x * n : nullptr,
          *sums = sums_are_shared ? dynamic_shared<float>() : out;
    int64_t first = (int64_t)blockIdx.x * chunk, last = first + chunk < rows ? first + chunk : rows;
    for (int64_t row = first; row < last; row++) {
        const T *xr = x + row * n, *dyr = dy + row * n;
        float rstd = rstds[row], sum = 0;
        for (int64_t i = threadIdx.x * N; i < n; i += blockDim.x * N) {
            int64_t left = ALIGNED ? N : n - i;
            Pack<N> d = load<ALIGNED, N>(dyr + i, left), xhat = load<ALIGNED, N>(xr + i, left) * rstd;
            sum += sum_pack(d * (load<ALIGNED, N>(weight + i, left) + offset) * xhat); /* a missing element gives 0 */
            if (sums) add_columns<ALIGNED>(sums + i, d * xhat, left, row == first);
        }
        if (!dx) continue;
        float mean_g_xhat = block_sum(sum, room) / (float)n;
        for (int64_t i = threadIdx.x * N; i < n; i += blockDim.x * N) {
            int64_t left = ALIGNED ? N : n - i;
            Pack<N> xhat = load<ALIGNED, N>(xr + i, left) * rstd;
            Pack<N> g = load<ALIGNED, N>(dyr + i, left) * (load<ALIGNED, N>(weight + i, left) + offset);
            Pack<N> v = (g + xhat * -mean_g_xhat) * rstd;
            T *to = dx + row * n + i;
            store<ALIGNED>(to, accumulate_dx ? v + load<ALIGNED, N>(to, left) : v, left);
        }
    }
    if (!sums_are_shared) return;
    for (int64_t i = threadIdx.x * N; i < n; i += blockDim.x * N) { /* its own columns: no barrier */
        int64_t left = ALIGNED ? N : n - i;
        store<ALIGNED>(out + i, load<ALIGNED, N>(sums + i, left), left);
    }
}

static void rms_norm_backward(Stream *s, Dtype dtype, void *dx, float *dweight, const void *dy, const void *x,
                              const float *rstd, const void *weight, int64_t rows, int64_t hidden, float offset,
                              bool accumulate_dx, bool accumulate_params)
{
    if (!hidden) return;
    int64_t chunk = row_chunk(rows), chunks = (rows + chunk - 1) / chunk;
    size_t sums = (size_t)hidden * sizeof(float);
    float *partial = nullptr;
    if (dweight) partial = (float *)stream_scratch_cuda(s, 0, (size_t)chunks * sums);
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        bool aligned = rows_of_packs<T>(hidden, {dx, dy, x, weight, partial});
        size_t shared = partial && sums <= SHARED_BYTES ? sums : 0;
        if (hidden <= MOST_WIDE * PACK<T>)
            launch(aligned ? backward_short<T, true> : backward_short<T, false>, cuda_blocks(chunks, 1),
                   pack_threads<T>(hidden, MOST_WIDE), 0, s, (T *)dx, partial, (const T *)dy, (const T *)x, rstd,
                   (const T *)weight, rows, (int)hidden, chunk, offset, accumulate_dx);
        else
            launch(aligned ? backward_long<T, true> : backward_long<T, false>, cuda_blocks(chunks, 1), MOST_THREADS,
                   shared, s, (T *)dx, partial, (const T *)dy, (const T *)x, rstd, (const T *)weight, rows, hidden,
                   chunk, offset, accumulate_dx, shared > 0);
    });
    rows_add_chunks(s, dweight, nullptr, partial, chunks, hidden, hidden, accumulate_params);
}

void cuda_rms_norm_install(Kernels *k)
{
    k->rms_norm_forward = rms_norm_forward;
    k->rms_norm_backward = rms_norm_backward;
}
