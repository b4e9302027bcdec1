/* Attention with f32 arithmetic, without tensor cores, for arrays of any dtype: what forward and backward share. A
 * block of 256 threads has ROWS rows (queries; in the gradients of keys: keys) against tiles of as many columns; thread
 * t has row t / 8 and, of a tile, columns 4 * (t % 8) … + 3: eight neighbours share a row, and dropout's four words are
 * a thread's four keys. Operands come through shared memory in slabs of 64 of head_dim's values, so any head_dim works.
 * Tiles begin at the sequence's first row: its bits do not depend on what else is in the batch. */
#ifndef HONE_KERNELS_CUDA_ATTENTION_CUH
#define HONE_KERNELS_CUDA_ATTENTION_CUH

#include "kernels/cuda/dropout.cuh"
#include "kernels/cuda/rows.cuh"

enum { ATTENTION_THREADS = 256, ROWS = 32, SLAB = 64, OWN = SLAB / 8 /* of a slab's columns, a thread's */ };

typedef float Slab[SLAB + 1]; /* of one row: the odd length spreads rows over banks */
typedef float Scores[ROWS + 1];

/* What all kernels of attention are told. */
struct AttentionCall {
    AttentionShape shape;
    Dropout dropout;
    uint32_t threshold; /* 0: no dropout */
    float keep_scale;
    int32_t tiles;      /* of the block's rows in the longest sequence */
    float *lse, *delta; /* delta [heads, rows] */
};

/* T: the storage, float, __nv_bfloat16 or __half. */
template <typename T> struct Attention : AttentionCall {
    const T *q, *k, *v, *out, *dout;
    T *to, *dq, *dk, *dv; /* to: out of the forward */
};

__device__ __forceinline__ float attention_f32(float x) { return x; }
__device__ __forceinline__ float attention_f32(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float attention_f32(__half x) { return __half2float(x); }
__device__ __forceinline__ void attention_put(float *to, float x) { *to = x; }
__device__ __forceinline__ void attention_put(__nv_bfloat16 *to, float x) { *to = __float2bfloat16_rn(x); }
__device__ __forceinline__ void attention_put(__half *to, float x) { *to = __float2half_rn(x); }

/* One query head of one sequence: q, out … begin at its first row. */
struct Head {
    int32_t row_q, row_k, len_q, len_k, offset; /* offset: of query 0's own key */
    int32_t head, kv_head, sequence;
};

__device__ __forceinline__ Head head_of(const AttentionShape &s, int32_t sequence, int32_t head)
{
    Head h;
    h.sequence = sequence, h.head = head, h.kv_head = head / (s.heads / s.kv_heads);
    h.row_q = s.cu_seqlens_q[sequence], h.row_k = s.cu_seqlens_k[sequence];
    h.len_q = s.cu_seqlens_q[sequence + 1] - h.row_q, h.len_k = s.cu_seqlens_k[sequence + 1] - h.row_k;
    h.offset = h.len_k - h.len_q;
    return h;
}

__device__ __forceinline__ bool sees(const AttentionShape &s, const Head &h, int32_t query, int32_t key)
{
    int32_t distance = query + h.offset - key;
    return query < h.len_q && key < h.len_k && (!s.causal || distance >= 0) && (s.window <= 0 || distance < s.window);
}

/* Tiles [*from, *to) of keys hold all that queries [i0, i0 + ROWS) see. */
__device__ __forceinline__ void keys_seen(const AttentionShape &s, const Head &h, int32_t i0, int32_t *from,
                                          int32_t *to)
{
    int32_t first = s.window > 0 ? i0 + h.offset - s.window + 1 : 0;
    int32_t end = s.causal ? i0 + ROWS + h.offset : h.len_k;
    end = end < h.len_k ? end : h.len_k;
    *from = first > 0 ? first / ROWS : 0;
    *to = end > 0 ? (end + ROWS - 1) / ROWS : 0;
}

/* Tiles [*from, *to) of queries hold all that see some of keys [j0, j0 + ROWS). */
__device__ __forceinline__ void queries_seeing(const AttentionShape &s, const Head &h, int32_t j0, int32_t *from,
                                               int32_t *to)
{
    int32_t first = s.causal ? j0 - h.offset : 0;
    int32_t end = s.window > 0 ? j0 + ROWS - 1 - h.offset + s.window : h.len_q;
    end = end < h.len_q ? end : h.len_q;
    *from = first > 0 ? first / ROWS : 0;
    *to = end > 0 ? (end + ROWS - 1) / ROWS : 0;
}

/* tile = rows [first, first + ROWS) of x, columns [col, col + SLAB), 0 beyond `rows` and `cols`. */
template <typename T>
__device__ __forceinline__ void load_slab(Slab *tile, const T *x, int64_t stride, int32_t first, int32_t rows,
                                          int32_t col, int32_t cols)
{
#pragma unroll 2
    for (int i = threadIdx.x; i < ROWS * SLAB; i += ATTENTION_THREADS) {
        int32_t r = first + i / SLAB, c = col + i % SLAB;
        tile[i / SLAB][i % SLAB] = r < rows && c < cols ? attention_f32(x[(int64_t)r * stride + c]) : 0;
    }
}

/* sums[c] += a_row · b_column over head_dim. a_tile, b_tile: room of ROWS slabs; barriers before and after they are
 * filled. */
template <typename T>
__device__ __forceinline__ void dots(float (&sums)[4], const T *a, int64_t a_stride, int32_t a_first, int32_t a_rows,
                                     const T *b, int64_t b_stride, int32_t b_first, int32_t b_rows, int32_t dim,
                                     Slab *a_tile, Slab *b_tile)
{
    int row = threadIdx.x / 8, column = threadIdx.x % 8 * 4;
    for (int32_t col = 0; col < dim; col += SLAB) {
        __syncthreads();
        load_slab(a_tile, a, a_stride, a_first, a_rows, col, dim);
        load_slab(b_tile, b, b_stride, b_first, b_rows, col, dim);
        __syncthreads();
        int last = dim - col < SLAB ? dim - col : (int32_t)SLAB;
        /* Even and odd apart, slabs apart: shorter chains, and less rounding than in one long sum. Beyond `last` is 0.
         */
        float even[4] = {}, odd[4] = {};
#pragma unroll 4
        for (int d = 0; d < last; d += 2) {
            float x0 = a_tile[row][d], x1 = a_tile[row][d + 1];
#pragma unroll
            for (int c = 0; c < 4; c++) {
                even[c] = fmaf(x0, b_tile[column + c][d], even[c]);
                odd[c] = fmaf(x1, b_tile[column + c][d + 1], odd[c]);
            }
        }
#pragma unroll
        for (int c = 0; c < 4; c++) sums[c] += even[c] + odd[c];
    }
}

/* sums += (p of this thread's row) x, columns [col, col + SLABS * SLAB) of x: of each slab the thread has columns t % 8
 * + 8 * o. */
template <int SLABS, typename T>
__device__ __forceinline__ void products(float (&sums)[SLABS][OWN], const Scores *p, const T *x, int64_t stride,
                                         int32_t first, int32_t rows, int32_t col, int32_t dim, Slab *tile)
{
    int row = threadIdx.x / 8, column = threadIdx.x % 8;
#pragma unroll
    for (int s = 0; s < SLABS; s++) {
        if (col + s * SLAB >= dim) break; /* the same for all threads */
        __syncthreads();
        load_slab(tile, x, stride, first, rows, col + s * SLAB, dim);
        __syncthreads();
#pragma unroll 4
        for (int j = 0; j < ROWS; j++) {
            float y = p[row][j];
#pragma unroll
            for (int o = 0; o < OWN; o++) sums[s][o] = fmaf(y, tile[j][column + 8 * o], sums[s][o]);
        }
    }
}

/* to row [dim] (NULL: none) gets sums * factor. */
template <int SLABS, typename T>
__device__ __forceinline__ void store_sums(T *to, const float (&sums)[SLABS][OWN], float factor, int32_t col,
                                           int32_t dim)
{
#pragma unroll
    for (int s = 0; s < SLABS; s++)
#pragma unroll
        for (int o = 0; o < OWN; o++) {
            int32_t c = col + s * SLAB + (int32_t)threadIdx.x % 8 + 8 * o;
            if (to && c < dim) attention_put(to + c, sums[s][o] * factor);
        }
}

/* Columns of head_dim that a block has: groups of SLABS slabs are blocks of their own. */
inline int attention_slabs(int64_t dim) { return dim <= SLAB ? 1 : dim <= 2 * SLAB ? 2 : 4; }
inline unsigned attention_groups(int64_t dim) { return cuda_blocks(dim, (int64_t)attention_slabs(dim) * SLAB); }

/* shape and dropout alone; `rows`: of a block, `longest`: sequence. */
AttentionCall attention_call(const AttentionShape *shape, const Dropout *dropout, int64_t longest, int rows);

void cuda_attention_backward(Stream *s, Dtype dtype, void *dq, void *dk, void *dv, const void *dout, const void *q,
                             const void *k, const void *v, const void *out, const float *lse,
                             const AttentionShape *shape, const Dropout *dropout);

#endif
