/* Layer norm (Ba et al. 2016): mean, then variance around it (no cancellation), then y.
 * Forward: rows of up to 1024 elements by a warp each, kept in registers; longer ones by a block each, read again from
 * the cache. Backward, with xhat = (x - mean) rstd and g = dy weight:
 *   dx = rstd (g - mean(g) - xhat mean(g xhat)),  dweight = sum of dy xhat,  dbias = sum of dy over rows
 * A block takes a chunk of rows (rows.cuh). Where a thread can have one pack of columns, it keeps these columns' sums
 * of dweight and dbias in registers, and AT_ONCE rows are read before the first is needed, so that memory is kept busy
 * while their sums go round the block. Longer rows are read twice, one by one, and the sums of columns lie in shared
 * memory, or in their place in global memory. The chunks' sums are then added in a fixed order.
 * Floor, in bytes of the dtype: forward 2*rows*hidden elements + 8*rows bytes, backward 3*rows*hidden elements moved (2
 * without dx) + 8*rows; the partial sums, 8*hidden bytes a chunk, are written and read on top (bf16, 32768 rows: 8%).
 */
#include "kernels/cuda/families.h"
#include "kernels/cuda/rows.cuh"

enum { WARPS = 8, SHORT_ROW = 1024, MOST_THREADS = 256, AT_ONCE = 4, MOST_WIDE = 512 };

/* d holds x - mean. */
template <bool ALIGNED, int N, typename T>
static __device__ __forceinline__ void write_pack(T *y, const Pack<N> &d, float rstd, const T *weight, const T *bias,
                                                  int64_t i, int64_t left)
{
    Pack<N> b = bias ? load<ALIGNED, N>(bias + i, left) : zero_pack<N>();
    store<ALIGNED>(y + i, fma_pack(d * rstd, load<ALIGNED, N>(weight + i, left), b), left);
}

template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(32 * WARPS, 3)
    forward_short(T *y, float *means, float *rstds, const T *x, const T *weight, const T *bias, int64_t rows, int n,
                  float eps)
{
    constexpr int N = PACK<T>, PACKS = SHORT_ROW / (32 * N);
    int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    int lane = threadIdx.x % 32;
    if (row >= rows) return;
    x += row * n, y += row * n;
    Pack<N> v[PACKS];
    float sum = 0, squares = 0;
#pragma unroll
    for (int f = 0; f < PACKS; f++) {
        int i = (f * 32 + lane) * N;
        v[f] = i < n ? load<ALIGNED, N>(x + i, ALIGNED ? N : n - i) : zero_pack<N>();
        sum += sum_pack(v[f]);
    }
    float mean = warp_sum(sum) / (float)n;
#pragma unroll
    for (int f = 0; f < PACKS; f++) {
        int i = (f * 32 + lane) * N;
        v[f] = v[f] - mean;
        if (i >= n) continue;
        Pack<N> d = keep_pack(v[f], ALIGNED ? N : n - i);
        squares += sum_pack(d * d);
    }
    float rstd = 1.0f / sqrtf(warp_sum(squares) / (float)n + eps);
#pragma unroll
    for (int f = 0; f < PACKS; f++) {
        int i = (f * 32 + lane) * N;
        if (i < n) write_pack<ALIGNED>(y, v[f], rstd, weight, bias, i, ALIGNED ? N : n - i);
    }
    if (lane == 0 && means) means[row] = mean, rstds[row] = rstd;
}

template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(MOST_THREADS)
    forward_long(T *y, float *means, float *rstds, const T *x, const T *weight, const T *bias, int64_t n, float eps)
{
    constexpr int N = PACK<T>;
    SHARED(float, room, [64]);
    int64_t row = blockIdx.x;
    x += row * n, y += row * n;
    float sum = 0, squares = 0;
    for (int64_t i = threadIdx.x * N; i < n; i += blockDim.x * N)
        sum += sum_pack(load<ALIGNED, N>(x + i, ALIGNED ? N : n - i));
    float mean = block_sum(sum, room) / (float)n;
    for (int64_t i = threadIdx.x * N; i < n; i += blockDim.x * N) {
        int64_t left = ALIGNED ? N : n - i;
        Pack<N> d = keep_pack(load<ALIGNED, N>(x + i, left) - mean, left);
        squares += sum_pack(d * d);
    }
    float rstd = 1.0f / sqrtf(block_sum(squares, room) / (float)n + eps);
    for (int64_t i = threadIdx.x * N; i < n; i += blockDim.x * N) {
        int64_t left = ALIGNED ? N : n - i;
        write_pack<ALIGNED>(y, load<ALIGNED, N>(x + i, left) - mean, rstd, weight, bias, i, left);
    }
    if (threadIdx.x == 0 && means) means[row] = mean, rstds[row] = rstd;
}

static void layer_norm_forward(Stream *s, Dtype dtype, void *y, float *mean, float *rstd, const void *x,
                               const void *weight, const void *bias, int64_t rows, int64_t hidden, float eps)
{
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        bool aligned = rows_of_packs<T>(hidden, {y, x, weight, bias});
        if (hidden <= SHORT_ROW)
            launch(aligned ? forward_short<T, true> : forward_short<T, false>, cuda_blocks(rows, WARPS), 32 * WARPS, 0,
                   s, (T *)y, mean, rstd, (const T *)x, (const T *)weight, (const T *)bias, rows, (int)hidden, eps);
        else
            launch(aligned ? forward_long<T, true> : forward_long<T, false>, cuda_blocks(rows, 1),
                   pack_threads<T>(hidden, MOST_THREADS), 0, s, (T *)y, mean, rstd, (const T *)x, (const T *)weight,
                   (const T *)bias, hidden, eps);
    });
}

/* Rows of up to a pack for each thread. */
template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(MOST_WIDE, 1)
    backward_short(T *dx, float *partial, const T *dy, const T *x, const float *means, const float *rstds,
                   const T *weight, int64_t rows, int n, int64_t chunk, bool accumulate_dx)
{
    constexpr int N = PACK<T>;
    SHARED(float, room, [2][2 * AT_ONCE * 32]);
    int i = threadIdx.x * N, left = ALIGNED ? N : n - i, turn = 0;
    bool mine = i < n;
    float share = 1.0f / (float)n;
    int64_t first = (int64_t)blockIdx.x * chunk, last = first + chunk < rows ? first + chunk : rows;
    Pack<N> w = mine ? load<ALIGNED, N>(weight + i, left) : zero_pack<N>(), dw = zero_pack<N>(), db = dw;
    for (int64_t row = first; row < last; row += AT_ONCE, turn ^= 1) {
        Pack<N> g[AT_ONCE], xhat[AT_ONCE];
        float mean[AT_ONCE], rstd[AT_ONCE], sums[2 * AT_ONCE];
#pragma unroll
        for (int r = 0; r < AT_ONCE; r++) { /* what is missing is 0, and so are its sums */
            bool there = row + r < last;
            int64_t at = (row + r) * n + i;
            g[r] = there && mine ? load<ALIGNED, N>(dy + at, left) : zero_pack<N>();
            xhat[r] = there && mine ? load<ALIGNED, N>(x + at, left) : zero_pack<N>();
            mean[r] = there ? means[row + r] : 0, rstd[r] = there ? rstds[row + r] : 0;
        }
#pragma unroll
        for (int r = 0; r < AT_ONCE; r++) {
            xhat[r] = (xhat[r] - mean[r]) * rstd[r];
            dw = fma_pack(g[r], xhat[r], dw), db = db + g[r];
            g[r] = g[r] * w;
            sums[2 * r] = sum_pack(g[r]), sums[2 * r + 1] = sum_pack(g[r] * xhat[r]);
        }
        if (!dx) continue;
        block_sums_of<2 * AT_ONCE>(sums, room[turn]);
#pragma unroll
        for (int r = 0; r < AT_ONCE; r++) {
            if (row + r >= last || !mine) continue;
            float mean_g = sums[2 * r] * share, mean_g_xhat = sums[2 * r + 1] * share;
            Pack<N> v = (g[r] - mean_g + xhat[r] * -mean_g_xhat) * rstd[r];
            T *to = dx + (row + r) * n + i;
            store<ALIGNED>(to, accumulate_dx ? v + load<ALIGNED, N>(to, left) : v, left);
        }
    }
    if (!partial || !mine) return;
    partial += (int64_t)blockIdx.x * 2 * n + i;
    store<ALIGNED>(partial, dw, left), store<ALIGNED>(partial + n, db, left);
}

template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(MOST_THREADS)
    backward_long(T *dx, float *partial, const T *dy, const T *x, const float *means, const float *rstds,
                  const T *weight, int64_t rows, int64_t n, int64_t chunk, bool accumulate_dx, bool sums_are_shared)
{
    constexpr int N = PACK<T>;
    SHARED(float, room, [64]);
    float *out = partial ? partial + (int64_t)blockIdx.x * 2 * n : nullptr,
          *sums = sums_are_shared ? dynamic_shared<float>() : out;
    int64_t first = (int64_t)blockIdx.x * chunk, last = first + chunk < rows ? first + chunk : rows;
    for (int64_t row = first; row < last; row++) {
        const T *xr = x + row * n, *dyr = dy + row * n;
        float mean = means[row], rstd = rstds[row], sum = 0, sum_xhat = 0;
        for (int64_t i = threadIdx.x * N; i < n; i += blockDim.x * N) {
            int64_t left = ALIGNED ? N : n - i;
            Pack<N> d = load<ALIGNED, N>(dyr + i, left), xhat = (load<ALIGNED, N>(xr + i, left) - mean) * rstd;
            Pack<N> g = d * load<ALIGNED, N>(weight + i, left);
            sum += sum_pack(g);
            sum_xhat += sum_pack(g * xhat); /* where an element is missing g is 0 */
            if (!sums) continue;
            add_columns<ALIGNED>(sums + i, d * xhat, left, row == first);
            add_columns<ALIGNED>(sums + n + i, d, left, row == first);
        }
        if (!dx) continue;
        block_sums(&sum, &sum_xhat, room);
        float mean_g = sum / (float)n, mean_g_xhat = sum_xhat / (float)n;
        for (int64_t i = threadIdx.x * N; i < n; i += blockDim.x * N) {
            int64_t left = ALIGNED ? N : n - i;
            Pack<N> xhat = (load<ALIGNED, N>(xr + i, left) - mean) * rstd;
            Pack<N> g = load<ALIGNED, N>(dyr + i, left) * load<ALIGNED, N>(weight + i, left);
            Pack<N> v = (g - mean_g + xhat * -mean_g_xhat) * rstd;
            T *to = dx + row * n + i;
            store<ALIGNED>(to, accumulate_dx ? v + load<ALIGNED, N>(to, left) : v, left);
        }
    }
    if (!sums_are_shared) return;
    for (int64_t i = threadIdx.x * N; i < n; i += blockDim.x * N) { /* its own columns: no barrier */
        int64_t left = ALIGNED ? N : n - i;
        store<ALIGNED>(out + i, load<ALIGNED, N>(sums + i, left), left);
        store<ALIGNED>(out + n + i, load<ALIGNED, N>(sums + n + i, left), left);
    }
}

static void layer_norm_backward(Stream *s, Dtype dtype, void *dx, float *dweight, float *dbias, const void *dy,
                                const void *x, const float *mean, const float *rstd, const void *weight, int64_t rows,
                                int64_t hidden, bool accumulate_dx, bool accumulate_params)
{
    if (!hidden) return;
    int64_t chunk = row_chunk(rows), chunks = (rows + chunk - 1) / chunk;
    size_t sums = 2 * (size_t)hidden * sizeof(float);
    float *partial = nullptr;
    if (dweight || dbias) partial = (float *)stream_scratch_cuda(s, 0, (size_t)chunks * sums);
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        bool aligned = rows_of_packs<T>(hidden, {dx, dy, x, weight, partial});
        size_t shared = partial && sums <= SHARED_BYTES ? sums : 0;
        if (hidden <= MOST_WIDE * PACK<T>)
            launch(aligned ? backward_short<T, true> : backward_short<T, false>, cuda_blocks(chunks, 1),
                   pack_threads<T>(hidden, MOST_WIDE), 0, s, (T *)dx, partial, (const T *)dy, (const T *)x, mean, rstd,
                   (const T *)weight, rows, (int)hidden, chunk, accumulate_dx);
        else
            launch(aligned ? backward_long<T, true> : backward_long<T, false>, cuda_blocks(chunks, 1), MOST_THREADS,
                   shared, s, (T *)dx, partial, (const T *)dy, (const T *)x, mean, rstd, (const T *)weight, rows,
                   hidden, chunk, accumulate_dx, shared > 0);
    });
    rows_add_chunks(s, dweight, dbias, partial, chunks, hidden, 2 * hidden, accumulate_params);
}

void cuda_layer_norm_install(Kernels *k)
{
    k->layer_norm_forward = layer_norm_forward;
    k->layer_norm_backward = layer_norm_backward;
}
