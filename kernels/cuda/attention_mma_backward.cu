/* Attention backward on tensor cores (formulas: attention_backward.cu; tiles and fragments: attention_mma.cuh). Two
 * kernels, so that every sum has one owner and one order without atomics: blocks of queries walk keys for dQ, blocks of
 * keys walk the query heads of their group and the queries for dK and dV. Scores and dP are made in both: 7 products
 * instead of 5. The alternative, one kernel that leaves a part of dQ for each block of keys, would move T / 128 times
 * dQ in f32, 1 byte for each 64 FLOPs that it saves, where an H100 does 117 FLOPs in a byte's time. In the keys' kernel
 * scores are made transposed, K Q^T, so that P^T and dS^T are left operands as they lie in registers. Floor: 10 *
 * (pairs that see each other) * heads * head_dim FLOPs at the tensor cores' rate (14 are done); q, k, v, out, dout and
 * their gradients moved once. */
#include "kernels/cuda/attention_mma.cuh"

/* Of a warp: blocks of 16 rows. Of a tile of the other side: its rows. PART: how many of them have scores at a time; it
 * is what registers allow. */
template <int D> constexpr int BLOCKS_OF = D == 64 ? 2 : 1;
template <int D> constexpr int OWN_ROWS = BLOCKS_OF<D> * 16 * MMA_WARPS;
template <int D> constexpr int TILE_OF = D == 64 ? 64 : 32;
enum { STAGES = 2 };

/* delta [heads, rows] = dout · out: D / 8 lanes for each row and head. */
template <int D, typename T> static __global__ void __launch_bounds__(MMA_THREADS) mma_delta(Attention<T> a)
{
    constexpr int LANES = D / 8;
    const AttentionShape &s = a.shape;
    int64_t total = s.cu_seqlens_q[s.num_seqs], step = (int64_t)gridDim.x * (MMA_THREADS / LANES);
    int64_t n = (int64_t)blockIdx.x * (MMA_THREADS / LANES) + threadIdx.x / LANES,
            rounds = (total * s.heads + step - 1) / step;
    int chunk = threadIdx.x % LANES;
    for (int64_t round = 0; round < rounds; round++, n += step) { /* all lanes go round together */
        int64_t row = n / s.heads, head = n % s.heads, at = row * s.out_stride + head * s.head_dim + chunk * 8;
        float sum = 0;
        if (row < total && chunk * 8 < s.head_dim) {
            union Chunk {
                uint4 words;
                T values[8];
                __device__ Chunk(uint4 w) : words(w) {}
            } x = *reinterpret_cast<const uint4 *>(a.dout + at), y = *reinterpret_cast<const uint4 *>(a.out + at);
#pragma unroll
            for (int i = 0; i < 8; i++) sum = fmaf(attention_f32(x.values[i]), attention_f32(y.values[i]), sum);
        }
#pragma unroll
        for (int lanes = LANES / 2; lanes; lanes /= 2) sum += __shfl_xor_sync(FULL_WARP, sum, lanes);
        if (row < total && chunk == 0) a.delta[head * total + row] = sum;
    }
}

/* One pair: x, the product of query and key, becomes its probability after dropout but not yet scaled for it; dp
 * becomes dS / scale. lse in units of log2. */
template <bool EXTRA>
static __device__ __forceinline__ void gradient(const AttentionCall &a, float *x, float *dp, float lse, float delta,
                                                bool seen, bool kept)
{
    const AttentionShape &s = a.shape;
    float score = *x * s.scale, slope = 1, d = *dp;
    if (EXTRA && s.softcap > 0) {
        float t = tanhf(score / s.softcap);
        score = t * s.softcap, slope = fmaf(-t, t, 1);
    }
    float p = fast_exp2(fmaf(score, LOG2_E, -lse));
    if (!seen) p = 0;
    if (EXTRA) d = kept ? d * a.keep_scale : 0;
    *dp = p * (d - delta) * slope;
    *x = !EXTRA || kept ? p : 0;
}

template <int D, typename T, bool EXTRA>
static __global__ void __launch_bounds__(MMA_THREADS, 2) mma_queries(Attention<T> a)
{
    constexpr int BLOCKS = BLOCKS_OF<D>, QUERIES = OWN_ROWS<D>, KEYS = TILE_OF<D>, PART = 32, N = PART / 8;
    T *q_tile = dynamic_shared<T>(), *dout_tile = q_tile + QUERIES * D, *stages = dout_tile + QUERIES * D;
    const AttentionShape &s = a.shape;
    int32_t block = (int32_t)blockIdx.x, i0 = (a.tiles - 1 - block % a.tiles) * QUERIES, dim = s.head_dim;
    Head h = head_of(s, block / a.tiles / s.heads, block / a.tiles % s.heads);
    if (i0 >= h.len_q) return;
    Lane lane = lane_of_thread();
    const T *k = a.k + (int64_t)h.row_k * s.k_stride + h.kv_head * dim,
            *v = a.v + (int64_t)h.row_k * s.v_stride + h.kv_head * dim;
    int32_t warp_row = (int32_t)threadIdx.x / 32 * BLOCKS * 16, first = i0 + warp_row, last = first + BLOCKS * 16, from,
            to;
    int32_t sample = EXTRA && a.threshold ? a.dropout.sample[h.sequence] : 0;
    Seen low = seen_by(s, h, i0), high = seen_by(s, h, (i0 + QUERIES < h.len_q ? i0 + QUERIES : h.len_q) - 1);
    from = low.low > 0 ? low.low / KEYS : 0, to = high.high > 0 ? (high.high + KEYS - 1) / KEYS : 0;
    auto load_keys = [&](int32_t tile) {
        T *stage = stages + tile % STAGES * 2 * KEYS * D;
        load_tile<D, KEYS>(stage, k, s.k_stride, tile * KEYS, h.len_k, dim);
        load_tile<D, KEYS>(stage + KEYS * D, v, s.v_stride, tile * KEYS, h.len_k, dim);
    };

    float dq[BLOCKS][D / 8][4] = {}, lse[BLOCKS][2], delta[BLOCKS][2];
#pragma unroll
    for (int m = 0; m < BLOCKS; m++)
#pragma unroll
        for (int upper = 0; upper < 2; upper++) {
            int32_t i = first + 16 * m + 8 * upper + lane.g;
            int64_t at = (int64_t)h.head * s.cu_seqlens_q[s.num_seqs] + h.row_q + i;
            lse[m][upper] = i < h.len_q ? a.lse[at] * LOG2_E : 0, delta[m][upper] = i < h.len_q ? a.delta[at] : 0;
        }
    load_tile<D, QUERIES>(q_tile, a.q + (int64_t)h.row_q * s.q_stride + h.head * dim, s.q_stride, i0, h.len_q, dim);
    load_tile<D, QUERIES>(dout_tile, a.dout + (int64_t)h.row_q * s.out_stride + h.head * dim, s.out_stride, i0, h.len_q,
                          dim);
    if (from < to) load_keys(from);
    copy_commit();
    for (int32_t tile = from; tile < to; tile++) {
        copy_wait<0>();
        __syncthreads(); /* this tile is there, the one before no longer read */
        if (tile + 1 < to) load_keys(tile + 1);
        copy_commit();
#pragma unroll 1
        for (int part = 0; part < KEYS; part += PART) {
            const T *k_rows = stages + tile % STAGES * 2 * KEYS * D + part * D, *v_rows = k_rows + KEYS * D;
            int32_t j0 = tile * KEYS + part;
            float x[BLOCKS][N][4], dp[BLOCKS][N][4];
            if (!any_seen(s, h, first, last, j0, j0 + PART)) continue;
            bool all = all_seen(s, h, first, last, j0, j0 + PART);
            multiply_rows<D, T>(
                x,
                [&](int m, int n, uint32_t(&fragment)[4]) {
                    load_left<D>(fragment, q_tile + (warp_row + 16 * m) * D, n, lane);
                },
                k_rows, lane);
            multiply_rows<D, T>(
                dp,
                [&](int m, int n, uint32_t(&fragment)[4]) {
                    load_left<D>(fragment, dout_tile + (warp_row + 16 * m) * D, n, lane);
                },
                v_rows, lane);
#pragma unroll
            for (int m = 0; m < BLOCKS; m++)
#pragma unroll
                for (int n = 0; n < N; n++) {
                    uint32_t words[4] = {};
                    int32_t i = first + 16 * m + lane.g, j = j0 + 8 * n + 2 * lane.t;
                    if (EXTRA && a.threshold)
                        fragment_words(words, &a.dropout, i, j0 + 8 * n, h.head, (uint32_t)sample, lane.t);
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        gradient<EXTRA>(a, &x[m][n][e], &dp[m][n][e], lse[m][e / 2], delta[m][e / 2],
                                        all || sees(s, h, i + e / 2 * 8, j + e % 2), words[e] >= a.threshold);
                }
            multiply_columns<D, T>(dq, dp, k_rows, lane);
        }
    }
    copy_wait<0>(); /* queries too, where there was no tile */
    __syncthreads();
#pragma unroll
    for (int m = 0; m < BLOCKS; m++)
        store_rows<D>(a.dq + (int64_t)h.row_q * s.q_stride + h.head * dim, s.q_stride, first + 16 * m, h.len_q, dim,
                      q_tile + (warp_row + 16 * m) * D, dq[m], s.scale, s.scale, lane);
}

template <int D, typename T, bool EXTRA>
static __global__ void __launch_bounds__(MMA_THREADS, 2) mma_keys(Attention<T> a)
{
    constexpr int BLOCKS = BLOCKS_OF<D>, KEYS = OWN_ROWS<D>, QUERIES = TILE_OF<D>, PART = D == 64 ? 16 : 32,
                  N = PART / 8;
    T *k_tile = dynamic_shared<T>(), *v_tile = k_tile + KEYS * D, *stages = v_tile + KEYS * D;
    SHARED(float, statistics, [STAGES][2][QUERIES]); /* lse, delta */
    const AttentionShape &s = a.shape;
    int32_t block = (int32_t)blockIdx.x, j0 = block % a.tiles * KEYS, dim = s.head_dim, group = s.heads / s.kv_heads;
    int32_t kv_head = block / a.tiles % s.kv_heads, sequence = block / a.tiles / s.kv_heads;
    Head h = head_of(s, sequence, kv_head * group);
    if (j0 >= h.len_k) return;
    Lane lane = lane_of_thread();
    int32_t warp_row = (int32_t)threadIdx.x / 32 * BLOCKS * 16, first = j0 + warp_row, last = first + BLOCKS * 16;
    int32_t sample = EXTRA && a.threshold ? a.dropout.sample[sequence] : 0;
    /* Tiles [from, from + tiles) of queries see some of the block's keys: of each head of the group, so one count runs
     * over both. */
    int32_t from = s.causal && j0 > h.offset ? (j0 - h.offset) / QUERIES : 0;
    int32_t end = s.window > 0 ? j0 + KEYS - 1 - h.offset + s.window : h.len_q;
    end = end < h.len_q ? end : h.len_q;
    int32_t tiles = (end + QUERIES - 1) / QUERIES - from, count = end > 0 && tiles > 0 ? tiles * group : 0;
    int64_t total = s.cu_seqlens_q[s.num_seqs];
    auto load_queries = [&](int32_t n) {
        int32_t head = kv_head * group + n / tiles, i0 = (from + n % tiles) * QUERIES;
        T *stage = stages + n % STAGES * 2 * QUERIES * D;
        load_tile<D, QUERIES>(stage, a.q + (int64_t)h.row_q * s.q_stride + head * dim, s.q_stride, i0, h.len_q, dim);
        load_tile<D, QUERIES>(stage + QUERIES * D, a.dout + (int64_t)h.row_q * s.out_stride + head * dim, s.out_stride,
                              i0, h.len_q, dim);
        int which = (int)threadIdx.x / QUERIES, row = (int)threadIdx.x % QUERIES;
        if (which < 2) {
            const float *from_row = (which ? a.delta : a.lse) + head * total + h.row_q;
            bool is_there = i0 + row < h.len_q;
            copy_async_4(&statistics[n % STAGES][which][row], is_there ? from_row + i0 + row : from_row,
                         is_there ? 4 : 0);
        }
    };

    float dk[BLOCKS][D / 8][4] = {}, dv[BLOCKS][D / 8][4] = {};
    load_tile<D, KEYS>(k_tile, a.k + (int64_t)h.row_k * s.k_stride + kv_head * dim, s.k_stride, j0, h.len_k, dim);
    load_tile<D, KEYS>(v_tile, a.v + (int64_t)h.row_k * s.v_stride + kv_head * dim, s.v_stride, j0, h.len_k, dim);
    if (count) load_queries(0);
    copy_commit();
    for (int32_t number = 0; number < count; number++) {
        copy_wait<0>();
        __syncthreads(); /* this tile is there, the one before no longer read */
        if (number + 1 < count) load_queries(number + 1);
        copy_commit();
        int32_t stage = number % STAGES, head = kv_head * group + number / tiles;
#pragma unroll 1
        for (int part = 0; part < QUERIES; part += PART) {
            const T *q_rows = stages + stage * 2 * QUERIES * D + part * D, *dout_rows = q_rows + QUERIES * D;
            int32_t i0 = (from + number % tiles) * QUERIES + part;
            float x[BLOCKS][N][4], dp[BLOCKS][N][4];
            if (!any_seen(s, h, i0, i0 + PART, first, last)) continue;
            bool all = all_seen(s, h, i0, i0 + PART, first, last);
            multiply_rows<D, T>(
                x,
                [&](int m, int n, uint32_t(&fragment)[4]) {
                    load_left<D>(fragment, k_tile + (warp_row + 16 * m) * D, n, lane);
                },
                q_rows, lane);
            multiply_rows<D, T>(
                dp,
                [&](int m, int n, uint32_t(&fragment)[4]) {
                    load_left<D>(fragment, v_tile + (warp_row + 16 * m) * D, n, lane);
                },
                dout_rows, lane);
#pragma unroll
            for (int n = 0; n < N; n++) {
                int32_t column = part + 8 * n + 2 * lane.t, i = i0 + 8 * n + 2 * lane.t;
                float2 lse = *reinterpret_cast<const float2 *>(&statistics[stage][0][column]);
                float2 delta = *reinterpret_cast<const float2 *>(&statistics[stage][1][column]);
                lse.x *= LOG2_E, lse.y *= LOG2_E;
#pragma unroll
                for (int m = 0; m < BLOCKS; m++) {
                    uint32_t words[4] = {};
                    if (EXTRA && a.threshold)
                        fragment_words_of_keys(words, &a.dropout, i, first + 16 * m, head, (uint32_t)sample, lane.g);
#pragma unroll
                    for (int e = 0; e < 4; e++)
                        gradient<EXTRA>(a, &x[m][n][e], &dp[m][n][e], e % 2 ? lse.y : lse.x, e % 2 ? delta.y : delta.x,
                                        all || sees(s, h, i + e % 2, first + 16 * m + lane.g + e / 2 * 8),
                                        words[e] >= a.threshold);
                }
            }
            multiply_columns<D, T>(dv, x, dout_rows, lane);
            multiply_columns<D, T>(dk, dp, q_rows, lane);
        }
    }
    copy_wait<0>();
    __syncthreads();
#pragma unroll
    for (int m = 0; m < BLOCKS; m++) {
        store_rows<D>(a.dk + (int64_t)h.row_k * s.k_stride + kv_head * dim, s.k_stride, first + 16 * m, h.len_k, dim,
                      k_tile + (warp_row + 16 * m) * D, dk[m], s.scale, s.scale, lane);
        store_rows<D>(a.dv + (int64_t)h.row_k * s.v_stride + kv_head * dim, s.v_stride, first + 16 * m, h.len_k, dim,
                      v_tile + (warp_row + 16 * m) * D, dv[m], a.keep_scale, a.keep_scale, lane);
    }
}

template <int D, typename T, bool EXTRA> static void backward_of(Stream *s, const Attention<T> &filled)
{
    Attention<T> a = filled;
    const AttentionShape &shape = a.shape;
    size_t shared_bytes = (2 * OWN_ROWS<D> + STAGES * 2 * TILE_OF<D>)*D * sizeof(T);
    launch(mma_delta<D, T>,
           cuda_blocks((int64_t)shape.max_seqlen_q * shape.num_seqs * shape.heads, MMA_THREADS / (D / 8)), MMA_THREADS,
           0, s, a);
    a.tiles = (shape.max_seqlen_q + OWN_ROWS<D> - 1) / OWN_ROWS<D>;
    launch_mma(mma_queries<D, T, EXTRA>, (int64_t)a.tiles * shape.heads * shape.num_seqs, shared_bytes, s, a);
    a.tiles = (shape.max_seqlen_k + OWN_ROWS<D> - 1) / OWN_ROWS<D>;
    launch_mma(mma_keys<D, T, EXTRA>, (int64_t)a.tiles * shape.kv_heads * shape.num_seqs, shared_bytes, s, a);
}

template <typename T> void attention_mma_backward(Stream *s, const Attention<T> &a)
{
    bool extra = a.threshold || a.shape.softcap > 0;
    if (a.shape.head_dim <= 64)
        extra ? backward_of<64, T, true>(s, a) : backward_of<64, T, false>(s, a);
    else
        extra ? backward_of<128, T, true>(s, a) : backward_of<128, T, false>(s, a);
}

template void attention_mma_backward(Stream *s, const Attention<__nv_bfloat16> &a);
template void attention_mma_backward(Stream *s, const Attention<__half> &a);
