/* rows.cuh.
 * Floor: rows_sum_columns rows*n elements read, in bytes of the dtype; rows_add_chunks 4*chunks*n. */
#include "kernels/cuda/rows.cuh"

enum { SEGMENTS = 32, COLUMNS = 32 };
enum { WARPS = 8, PIECE = 128 /* rows of a block of the first stage of rows_sum_columns */ };

/* Block x: columns x*COLUMNS … of both outputs side by side. */
static __global__ void __launch_bounds__(COLUMNS *SEGMENTS)
    add_chunks(float *out, float *more, const float *partial, int64_t chunks, int64_t n, int64_t stride,
               bool accumulate)
{
    SHARED(float, sums, [SEGMENTS][COLUMNS]);
    int64_t column = (int64_t)blockIdx.x * COLUMNS + threadIdx.x;
    float *to = column < n ? out : more;
    bool wanted = column < stride && to;
    float sum = 0;
    if (wanted)
        for (int64_t c = threadIdx.y; c < chunks; c += SEGMENTS) sum += partial[c * stride + column];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y || !wanted) return;
    for (int i = 1; i < SEGMENTS; i++) sum += sums[i][threadIdx.x];
    to += column < n ? column : column - n;
    *to = accumulate ? *to + sum : sum;
}

void rows_add_chunks(Stream *s, float *out, float *more, const float *partial, int64_t chunks, int64_t n,
                     int64_t stride, bool accumulate)
{
    if (out || more)
        launch(add_chunks, cuda_blocks(more ? stride : n, COLUMNS), dim3(COLUMNS, SEGMENTS), 0, s, out, more, partial,
               chunks, n, stride, accumulate);
}

/* Block (x, y): a pack of columns for each lane, rows y*piece … in turn to the warps; the sums go to row y of partial.
 */
template <typename T, bool ALIGNED>
static __global__ void __launch_bounds__(32 * WARPS)
    add_rows(float *partial, const T *x, int64_t rows, int64_t n, int64_t piece)
{
    constexpr int N = PACK<T>;
    SHARED(float, sums, [WARPS][N][32]);
    int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    int64_t column = ((int64_t)blockIdx.x * 32 + lane) * N, first = blockIdx.y * piece,
            last = first + piece < rows ? first + piece : rows;
    Pack<N> sum = zero_pack<N>();
    if (column < n)
#pragma unroll 4
        for (int64_t r = first + warp; r < last; r += WARPS)
            sum = sum + load<ALIGNED, N>(x + r * n + column, ALIGNED ? N : n - column);
#pragma unroll
    for (int i = 0; i < N; i++) sums[warp][i][lane] = sum.v[i];
    __syncthreads();
    for (int i = warp; i < N; i += WARPS) { /* each warp adds up its share of the columns */
        float total = 0;
        for (int w = 0; w < WARPS; w++) total += sums[w][i][lane];
        if (column + i < n) partial[blockIdx.y * n + column + i] = total;
    }
}

void rows_sum_columns(Stream *s, float *out, Dtype dtype, const void *x, int64_t rows, int64_t n, bool accumulate)
{
    if (!out) return;
    /* a grid has at most 65535 blocks in y */
    int64_t piece = rows / PIECE < 65535 ? (int64_t)PIECE : rows / 65535 + 1, pieces = (rows + piece - 1) / piece;
    float *partial = (float *)stream_scratch_cuda(s, 0, (size_t)(pieces * n) * sizeof *partial);
    with_dtype(dtype, [&](auto zero) {
        typedef decltype(zero) T;
        auto *kernel = rows_of_packs<T>(n, {x}) ? add_rows<T, true> : add_rows<T, false>;
        launch(kernel, dim3(cuda_blocks(n, 32 * PACK<T>), (unsigned)pieces), 32 * WARPS, 0, s, partial, (const T *)x,
               rows, n, piece);
    });
    rows_add_chunks(s, out, nullptr, partial, pieces, n, n, accumulate);
}
