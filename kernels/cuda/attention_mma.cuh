/* Attention on tensor cores (Dao 2023, FlashAttention-2), what forward and backward share. T is __nv_bfloat16 or
 * __half, D the width of a head in shared memory: 64 or 128, head_dim padded by zeros that the copies write.
 *
 * A block has four warps; a warp has BLOCKS * 16 rows of its own against tiles of the other side. Its scores lie in the
 * fragments of mma.cuh: of block m and columns 8n …, c[m][n][e] is row 16m + g + 8 * (e / 2), column 8n + 2t + e % 2.
 * So they never leave the registers: rounded, they are the left operand of the next product. With two blocks of 16 rows
 * what is read from shared memory is used twice, without which its 128 bytes a cycle would be the limit.
 *
 * A tile is rows of D values, 8 (16 bytes) a chunk; chunk c of row r lies at place c ^ r % 8: the eight rows that
 * ldmatrix reads together are in different banks, and so are the chunks of a row that copies write. */
#ifndef HONE_KERNELS_CUDA_ATTENTION_MMA_CUH
#define HONE_KERNELS_CUDA_ATTENTION_MMA_CUH

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/mma.cuh"

enum { MMA_THREADS = 128, MMA_WARPS = MMA_THREADS / 32 };

#define LOG2_E 1.4426950408889634f
#define LN_2 0.6931471805599453f

/* What a warp's fragments are of: lane l = 4g + t. */
struct Lane {
    int g, t;
    int row, chunk; /* that it names for 16 rows of two chunks: rows are those of a left operand, or k of a right one */
    int row_n, chunk_n; /* and for 16 columns n of two chunks of k */
    int flip;           /* row % 8, of all its rows */
};

__device__ __forceinline__ Lane lane_of_thread()
{
    int l = threadIdx.x % 32;
    return {l / 4, l % 4, l & 15, l >> 4, (l & 7) + (l >> 4) * 8, l >> 3 & 1, l & 7};
}

/* Where a lane finds its row of 16, at chunk 2k or 2k + 1. */
template <int D, typename T>
__device__ __forceinline__ const T *place(const T *tile, int row, int chunk, int flip, int k)
{
    return tile + row * D + ((chunk ^ flip) ^ 2 * k) * 8;
}

/* Starts to copy rows [first, first + ROWS) of x into a tile, 0 beyond `rows` and `dim`. */
template <int D, int TILE, typename T>
__device__ __forceinline__ void load_tile(T *tile, const T *x, int64_t stride, int32_t first, int32_t rows, int32_t dim)
{
    constexpr int CHUNKS = D / 8, STEP = MMA_THREADS / CHUNKS; /* rows that are copied together */
    int chunk = threadIdx.x % CHUNKS, row = threadIdx.x / CHUNKS;
    const T *from = x + (first + row) * stride + chunk * 8;
    T *to = tile + row * D + (chunk ^ row % 8) * 8; /* STEP is a multiple of 8 */
#pragma unroll
    for (int i = 0; i < TILE / STEP; i++) {
        bool is_there = first + row + i * STEP < rows && chunk * 8 < dim;
        copy_async(to + i * STEP * D, is_there ? from + i * STEP * stride : x, is_there ? 16 : 0);
    }
}

/* c = a b^T over D: `left(m, k, fragment)` gives a's, b is N * 8 rows of a tile. */
template <int D, typename T, int BLOCKS, int N, typename Left>
__device__ __forceinline__ void multiply_rows(float (&c)[BLOCKS][N][4], Left left, const T *b, const Lane &lane)
{
#pragma unroll
    for (int m = 0; m < BLOCKS; m++)
#pragma unroll
        for (int n = 0; n < N; n++) c[m][n][0] = c[m][n][1] = c[m][n][2] = c[m][n][3] = 0;
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        uint32_t a[BLOCKS][4];
#pragma unroll
        for (int m = 0; m < BLOCKS; m++) left(m, k, a[m]);
#pragma unroll
        for (int n = 0; n < N; n += 2) {
            uint32_t r[4];
            load_matrices(r, place<D>(b + n * 8 * D, lane.row_n, lane.chunk_n, lane.flip, k));
#pragma unroll
            for (int m = 0; m < BLOCKS; m++) {
                mma<T>(c[m][n], a[m], r[0], r[1]);
                mma<T>(c[m][n + 1], a[m], r[2], r[3]);
            }
        }
    }
}

/* sums += p b: p, rounded, is BLOCKS * 16 rows of N * 8 columns; b is N * 8 rows of a tile. */
template <int D, typename T, int BLOCKS, int N>
__device__ __forceinline__ void multiply_columns(float (&sums)[BLOCKS][D / 8][4], const float (&p)[BLOCKS][N][4],
                                                 const T *b, const Lane &lane)
{
#pragma unroll
    for (int k = 0; k < N / 2; k++) {
        uint32_t a[BLOCKS][4];
#pragma unroll
        for (int m = 0; m < BLOCKS; m++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                a[m][i] = pack<T>(p[m][2 * k + i / 2][i % 2 * 2], p[m][2 * k + i / 2][i % 2 * 2 + 1]);
#pragma unroll
        for (int n = 0; n < D / 8; n += 2) {
            uint32_t r[4];
            load_matrices_transposed(r, place<D>(b + k * 16 * D, lane.row, lane.chunk, lane.flip, n / 2));
#pragma unroll
            for (int m = 0; m < BLOCKS; m++) {
                mma<T>(sums[m][n], a[m], r[0], r[1]);
                mma<T>(sums[m][n + 1], a[m], r[2], r[3]);
            }
        }
    }
}

/* The fragment of a left operand: 16 rows of a tile, columns 16k … */
template <int D, typename T>
__device__ __forceinline__ void load_left(uint32_t (&a)[4], const T *rows, int k, const Lane &lane)
{
    load_matrices(a, place<D>(rows, lane.row, lane.chunk, lane.flip, k));
}

/* Keys [low, high) that a query sees. */
struct Seen {
    int32_t low, high;
};

__device__ __forceinline__ Seen seen_by(const AttentionShape &s, const Head &h, int32_t query)
{
    int32_t own = query + h.offset, high = s.causal && own < h.len_k ? own + 1 : h.len_k;
    return {s.window > 0 ? own - s.window + 1 : INT32_MIN, query < h.len_q ? high : INT32_MIN};
}

/* Of queries [i0, i1) and keys [j0, j1): whether any pair, and whether every pair, sees each other. */
__device__ __forceinline__ bool any_seen(const AttentionShape &s, const Head &h, int32_t i0, int32_t i1, int32_t j0,
                                         int32_t j1)
{
    if (i0 >= h.len_q || j0 >= h.len_k) return false;
    return (!s.causal || j0 <= i1 - 1 + h.offset) && (s.window <= 0 || j1 - 1 > i0 + h.offset - s.window);
}
__device__ __forceinline__ bool all_seen(const AttentionShape &s, const Head &h, int32_t i0, int32_t i1, int32_t j0,
                                         int32_t j1)
{
    if (i1 > h.len_q || j1 > h.len_k) return false;
    return (!s.causal || j1 - 1 <= i0 + h.offset) && (s.window <= 0 || j0 > i1 - 1 + h.offset - s.window);
}

/* Dropout's words of a fragment whose rows are queries: of rows i and i + 8 and columns 2t, 2t + 1 behind key j0 (a
 * multiple of 8). Four keys of a query share a call: neighbours t and t ^ 1 make one each, and exchange halves. */
__device__ __forceinline__ void fragment_words(uint32_t (&words)[4], const Dropout *d, int32_t i, int32_t j0,
                                               int32_t head, uint32_t sample, int t)
{
    bool odd = t & 1;
    Philox w = dropout_words(d, (uint32_t)(j0 / 4 + t / 2), (uint32_t)(i + (odd ? 8 : 0)), (uint32_t)head, sample);
    uint32_t x = __shfl_xor_sync(FULL_WARP, odd ? w.v[0] : w.v[2], 1);
    uint32_t y = __shfl_xor_sync(FULL_WARP, odd ? w.v[1] : w.v[3], 1);
    words[0] = odd ? x : w.v[0], words[1] = odd ? y : w.v[1];
    words[2] = odd ? w.v[2] : x, words[3] = odd ? w.v[3] : y;
}

/* The same where rows are keys: of rows j0 + g and j0 + g + 8 and queries i, i + 1. The four lanes g & ~3 … make a call
 * each, lane r for row half r / 2 and query r % 2, and exchange them word by word. */
__device__ __forceinline__ void fragment_words_of_keys(uint32_t (&words)[4], const Dropout *d, int32_t i, int32_t j0,
                                                       int32_t head, uint32_t sample, int g)
{
    int r = g & 3;
    Philox w = dropout_words(d, (uint32_t)(j0 / 4 + g / 4 + r / 2 * 2), (uint32_t)(i + r % 2), (uint32_t)head, sample);
    uint32_t got[4]; /* [x]: from lane r ^ x, so of its call */
    got[0] = dropout_word(w, r);
#pragma unroll
    for (int x = 1; x < 4; x++) got[x] = __shfl_xor_sync(FULL_WARP, dropout_word(w, r ^ x), 4 * x);
#pragma unroll
    for (int e = 0; e < 4; e++) words[e] = r == e ? got[0] : (r ^ 1) == e ? got[1] : (r ^ 2) == e ? got[2] : got[3];
}

/* A warp's sums of 16 rows, times `factor` (of rows g and g + 8), to rows [first, …) of `to` that are below `rows`:
 * through the warp's own 16 rows of a tile, which nobody else may be reading, so that accesses are of 16 bytes. */
template <int D, typename T>
__device__ __forceinline__ void store_rows(T *to, int64_t stride, int32_t first, int32_t rows, int32_t dim, T *room,
                                           const float (&sums)[D / 8][4], float factor, float factor_8,
                                           const Lane &lane)
{
    __syncwarp();
#pragma unroll
    for (int n = 0; n < D / 8; n++) {
        uint32_t *at = reinterpret_cast<uint32_t *>(room + lane.g * D + (n ^ lane.g) * 8) + lane.t;
        at[0] = pack<T>(sums[n][0] * factor, sums[n][1] * factor);
        at[8 * D / 2] = pack<T>(sums[n][2] * factor_8, sums[n][3] * factor_8);
    }
    __syncwarp();
    constexpr int CHUNKS = D / 8;
#pragma unroll
    for (int i = 0; i < CHUNKS / 2; i++) {
        int at = i * 32 + (int)threadIdx.x % 32, row = at / CHUNKS, chunk = at % CHUNKS;
        if (first + row < rows && chunk * 8 < dim)
            *reinterpret_cast<uint4 *>(to + (first + row) * stride + chunk * 8) =
                *reinterpret_cast<const uint4 *>(room + row * D + (chunk ^ row % 8) * 8);
    }
}

/* Chosen on the host: 16-byte rows of heads that fit. */
inline bool attention_takes_mma(const AttentionShape &s, std::initializer_list<const void *> arrays)
{
    bool fits = s.head_dim % 8 == 0 && s.head_dim <= 128 && s.scale > 0;
    for (int64_t stride : {s.q_stride, s.k_stride, s.v_stride, s.out_stride}) fits = fits && stride % 8 == 0;
    for (const void *p : arrays) fits = fits && cuda_is_aligned(p);
    return fits;
}

template <typename Kernel, typename Arguments>
inline void launch_mma(Kernel kernel, int64_t blocks, size_t shared_bytes, Stream *s, const Arguments &a)
{
    if (shared_bytes > 48 << 10 && blocks > 0)
        cuda_ok(s,
                cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                                     cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared_bytes),
                "shared memory of attention");
    launch(kernel, cuda_blocks(blocks, 1), MMA_THREADS, shared_bytes, s, a);
}

/* attention_mma.cu, attention_mma_backward.cu; `a` is filled. T: __nv_bfloat16, __half. */
template <typename T> void attention_mma_forward(Stream *s, const Attention<T> &a);
template <typename T> void attention_mma_backward(Stream *s, const Attention<T> &a);

#endif
