/* Attention forward on tensor cores (Dao 2023; tiles and fragments: attention_mma.cuh): a block has 128 queries, 32 a
 * warp, and walks tiles of 64 keys (32 where heads are of 128, 16 with dropout or a soft cap: registers). Keys and
 * values have a buffer each, which is filled while the other's is multiplied. The running maximum and sum of a row are
 * kept by the four lanes of the row; scores are kept in units of log2. Floor: 4 * (pairs that see each other) * heads *
 * head_dim FLOPs at the tensor cores' rate; q, k, v, out moved once. At T = 1024, heads of 64, causal: 134 MFLOP a head
 * and sequence for 0.5 MB, so FLOPs it is. */
#include "kernels/cuda/attention_mma.cuh"

enum { BLOCKS = 2, QUERIES = MMA_WARPS * BLOCKS * 16 };

template <int D, bool EXTRA> constexpr int KEYS_OF = D == 64 ? 64 : EXTRA ? 16 : 32;

struct Softmax {
    float most[BLOCKS][2], sum[BLOCKS][2]; /* of rows g and g + 8; sum: this lane's columns */
};

__device__ static __forceinline__ float max4(float v)
{
    v = fmaxf(v, __shfl_xor_sync(FULL_WARP, v, 1));
    return fmaxf(v, __shfl_xor_sync(FULL_WARP, v, 2));
}

__device__ static __forceinline__ float sum4(float v)
{
    v += __shfl_xor_sync(FULL_WARP, v, 1);
    return v + __shfl_xor_sync(FULL_WARP, v, 2);
}

/* Scores become -inf where the query does not see the key. */
template <int N>
__device__ static __forceinline__ void hide(float (&x)[BLOCKS][N][4], const AttentionShape &s, const Head &h,
                                            int32_t i0, int32_t j0, const Lane &lane)
{
#pragma unroll
    for (int m = 0; m < BLOCKS; m++)
#pragma unroll
        for (int upper = 0; upper < 2; upper++) {
            Seen seen = seen_by(s, h, i0 + 16 * m + 8 * upper + lane.g);
#pragma unroll
            for (int n = 0; n < N; n++)
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    int32_t j = j0 + 8 * n + 2 * lane.t + e;
                    if (j < seen.low || j >= seen.high) x[m][n][2 * upper + e] = -INFINITY;
                }
        }
}

/* x becomes exp(x - maximum), sums fade to the new maximum. factor: of x, in units of log2. */
template <int D, int N>
__device__ static __forceinline__ void softmax(float (&x)[BLOCKS][N][4], Softmax *row, float (&out)[BLOCKS][D / 8][4],
                                               float factor)
{
#pragma unroll
    for (int m = 0; m < BLOCKS; m++)
#pragma unroll
        for (int upper = 0; upper < 2; upper++) {
            float most = row->most[m][upper], part = 0;
#pragma unroll
            for (int n = 0; n < N; n++) most = fmaxf(most, fmaxf(x[m][n][2 * upper], x[m][n][2 * upper + 1]));
            most = max4(most);
            float base = most == -INFINITY ? 0 : most * factor;
            float fade = fast_exp2(fmaf(row->most[m][upper], factor, -base));
#pragma unroll
            for (int n = 0; n < N; n++)
#pragma unroll
                for (int e = 2 * upper; e < 2 * upper + 2; e++) {
                    x[m][n][e] = fast_exp2(fmaf(x[m][n][e], factor, -base));
                    part += x[m][n][e];
                }
            row->most[m][upper] = most, row->sum[m][upper] = fmaf(row->sum[m][upper], fade, part);
#pragma unroll
            for (int n = 0; n < D / 8; n++) out[m][n][2 * upper] *= fade, out[m][n][2 * upper + 1] *= fade;
        }
}

/* EXTRA: with soft cap or dropout. */
template <int D, typename T, bool EXTRA>
static __global__ void __launch_bounds__(MMA_THREADS, 2) mma_forward(Attention<T> a)
{
    constexpr int KEYS = KEYS_OF<D, EXTRA>, N = KEYS / 8;
    constexpr bool KEEP = D == 64 && !EXTRA; /* queries in registers: there is room */
    T *q_tile = dynamic_shared<T>(), *k_tile = q_tile + QUERIES * D, *v_tile = k_tile + KEYS * D;
    const AttentionShape &s = a.shape;
    /* The longest rows of a causal head first. */
    int32_t block = (int32_t)blockIdx.x, i0 = (a.tiles - 1 - block % a.tiles) * QUERIES, dim = s.head_dim;
    Head h = head_of(s, block / a.tiles / s.heads, block / a.tiles % s.heads);
    if (i0 >= h.len_q) return;
    Lane lane = lane_of_thread();
    const T *q = a.q + (int64_t)h.row_q * s.q_stride + h.head * dim,
            *k = a.k + (int64_t)h.row_k * s.k_stride + h.kv_head * dim,
            *v = a.v + (int64_t)h.row_k * s.v_stride + h.kv_head * dim;
    int warp_row = (int)threadIdx.x / 32 * BLOCKS * 16, from, to;
    int32_t first = i0 + warp_row, sample = EXTRA && a.threshold ? a.dropout.sample[h.sequence] : 0;
    Seen low = seen_by(s, h, i0), high = seen_by(s, h, (i0 + QUERIES < h.len_q ? i0 + QUERIES : h.len_q) - 1);
    from = low.low > 0 ? low.low / KEYS : 0, to = high.high > 0 ? (high.high + KEYS - 1) / KEYS : 0;

    float out[BLOCKS][D / 8][4] = {}, factor = EXTRA && s.softcap > 0 ? LOG2_E : s.scale * LOG2_E;
    Softmax row;
    uint32_t kept[KEEP ? BLOCKS : 1][KEEP ? D / 16 : 1][4];
#pragma unroll
    for (int m = 0; m < BLOCKS; m++) row.most[m][0] = row.most[m][1] = -INFINITY, row.sum[m][0] = row.sum[m][1] = 0;
    load_tile<D, QUERIES>(q_tile, q, s.q_stride, i0, h.len_q, dim);
    if (from < to) load_tile<D, KEYS>(k_tile, k, s.k_stride, from * KEYS, h.len_k, dim);
    copy_commit();
    for (int32_t tile = from; tile < to; tile++) {
        int32_t j0 = tile * KEYS;
        bool mine = any_seen(s, h, first, first + BLOCKS * 16, j0, j0 + KEYS); /* the same in a warp */
        float x[BLOCKS][N][4];
        copy_wait<0>();
        __syncthreads(); /* keys are there, values no longer read */
        load_tile<D, KEYS>(v_tile, v, s.v_stride, j0, h.len_k, dim);
        copy_commit();
        if (KEEP && tile == from) {
#pragma unroll
            for (int m = 0; m < BLOCKS; m++)
#pragma unroll
                for (int n = 0; n < D / 16; n++)
                    load_left<D>(kept[KEEP ? m : 0][KEEP ? n : 0], q_tile + (warp_row + 16 * m) * D, n, lane);
        }
        if (mine) {
            multiply_rows<D, T>(
                x,
                [&](int m, int n, uint32_t(&fragment)[4]) {
                    if (KEEP)
                        for (int i = 0; i < 4; i++) fragment[i] = kept[KEEP ? m : 0][KEEP ? n : 0][i];
                    else
                        load_left<D>(fragment, q_tile + (warp_row + 16 * m) * D, n, lane);
                },
                k_tile, lane);
            if (EXTRA && s.softcap > 0) {
#pragma unroll
                for (int i = 0; i < BLOCKS * N * 4; i++) {
                    float &y = x[i / (4 * N)][i / 4 % N][i % 4];
                    y = s.softcap * tanhf(y * s.scale / s.softcap);
                }
            }
            if (!all_seen(s, h, first, first + BLOCKS * 16, j0, j0 + KEYS)) hide(x, s, h, first, j0, lane);
        }
        copy_wait<0>();
        __syncthreads(); /* values are there, keys no longer read */
        if (tile + 1 < to) load_tile<D, KEYS>(k_tile, k, s.k_stride, j0 + KEYS, h.len_k, dim);
        copy_commit();
        if (!mine) continue;
        softmax<D>(x, &row, out, factor);
        if (EXTRA && a.threshold) {
#pragma unroll
            for (int m = 0; m < BLOCKS; m++)
#pragma unroll
                for (int n = 0; n < N; n++) {
                    uint32_t words[4];
                    fragment_words(words, &a.dropout, first + 16 * m + lane.g, j0 + 8 * n, h.head, (uint32_t)sample,
                                   lane.t);
#pragma unroll
                    for (int e = 0; e < 4; e++) x[m][n][e] = words[e] >= a.threshold ? x[m][n][e] : 0;
                }
        }
        multiply_columns<D, T>(out, x, v_tile, lane);
    }
    copy_wait<0>(); /* queries too, where there was no tile */
    __syncthreads();
    int64_t total = s.cu_seqlens_q[s.num_seqs];
#pragma unroll
    for (int m = 0; m < BLOCKS; m++) {
        float sums[2], factors[2];
#pragma unroll
        for (int upper = 0; upper < 2; upper++) {
            int32_t i = first + 16 * m + 8 * upper + lane.g;
            sums[upper] = sum4(row.sum[m][upper]);
            factors[upper] = sums[upper] == 0 ? 0 : a.keep_scale / sums[upper];
            if (a.lse && lane.t == 0 && i < h.len_q)
                a.lse[h.head * total + h.row_q + i] = row.most[m][upper] * factor * LN_2 + logf(sums[upper]);
        }
        store_rows<D>(a.to + (int64_t)h.row_q * s.out_stride + h.head * dim, s.out_stride, first + 16 * m, h.len_q, dim,
                      q_tile + (warp_row + 16 * m) * D, out[m], factors[0], factors[1], lane);
    }
}

template <int D, typename T, bool EXTRA> static void forward_of(Stream *s, const Attention<T> &filled)
{
    Attention<T> a = filled;
    a.tiles = (a.shape.max_seqlen_q + QUERIES - 1) / QUERIES;
    launch_mma(mma_forward<D, T, EXTRA>, (int64_t)a.tiles * a.shape.heads * a.shape.num_seqs,
               (QUERIES + 2 * KEYS_OF<D, EXTRA>)*D * sizeof(T), s, a);
}

template <typename T> void attention_mma_forward(Stream *s, const Attention<T> &a)
{
    bool extra = a.threshold || a.shape.softcap > 0;
    if (a.shape.head_dim <= 64)
        extra ? forward_of<64, T, true>(s, a) : forward_of<64, T, false>(s, a);
    else
        extra ? forward_of<128, T, true>(s, a) : forward_of<128, T, false>(s, a);
}

template void attention_mma_forward(Stream *s, const Attention<__nv_bfloat16> &a);
template void attention_mma_forward(Stream *s, const Attention<__half> &a);
