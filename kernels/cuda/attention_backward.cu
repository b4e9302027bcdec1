/* Attention backward: on tensor cores (attention_mma_backward.cu) where dtype, heads and alignment allow it, else here,
 * with f32 arithmetic (Dao et al. 2022; tiles: attention.cuh). Probabilities are made again from
 * lse; with D = sum(dout * out): dV = P^T dout,  dP = dout V^T,  dS = P (dP - D),  dQ = scale dS K,  dK = scale dS^T Q
 * Two passes, so that every sum has one owner and one order: blocks of queries walk keys for dQ; blocks of keys walk
 * the query heads of their group and the queries for dK and dV.
 * Floor: 10 * (pairs that see each other) * heads * head_dim FLOPs (14 are done: scores and dP are made twice). */
#include "kernels/cuda/attention_mma.cuh"

/* A thread's four pairs: x holds raw scores and becomes P after dropout, dp becomes dS * scale. kept: the word for each
 * pair. */
static __device__ __forceinline__ void gradients(const AttentionCall &a, float (&x)[4], float (&dp)[4],
                                                 const bool (&seen)[4], const uint32_t (&words)[4],
                                                 const float (&lse)[4], const float (&delta)[4])
{
    const AttentionShape &s = a.shape;
#pragma unroll
    for (int c = 0; c < 4; c++) {
        float score = x[c] * s.scale, slope = s.scale;
        if (s.softcap > 0) {
            float t = tanhf(score / s.softcap);
            score = t * s.softcap, slope *= fmaf(-t, t, 1);
        }
        float p = seen[c] ? expf(score - lse[c]) : 0;
        bool kept = words[c] >= a.threshold;
        x[c] = kept ? p * a.keep_scale : 0;
        dp[c] = p * ((kept ? dp[c] * a.keep_scale : 0) - delta[c]) * slope;
    }
}

/* delta [heads, rows] = dout · out: a warp for each row and head. */
template <typename T> static __global__ void __launch_bounds__(ATTENTION_THREADS) make_delta(Attention<T> a)
{
    const AttentionShape &s = a.shape;
    int64_t total = s.cu_seqlens_q[s.num_seqs], dim = s.head_dim;
    int64_t step = (int64_t)gridDim.x * (ATTENTION_THREADS / 32);
    for (int64_t n = (int64_t)blockIdx.x * (ATTENTION_THREADS / 32) + threadIdx.x / 32; n < total * s.heads;
         n += step) {
        int64_t row = n / s.heads, head = n % s.heads, at = row * s.out_stride + head * dim;
        float sum = 0;
        for (int64_t d = threadIdx.x % 32; d < dim; d += 32)
            sum = fmaf(attention_f32(a.dout[at + d]), attention_f32(a.out[at + d]), sum);
        sum = warp_sum(sum);
        if (threadIdx.x % 32 == 0) a.delta[head * total + row] = sum;
    }
}

template <int SLABS, typename T>
static __global__ void __launch_bounds__(ATTENTION_THREADS, SLABS == 4 ? 1 : 2) queries(Attention<T> a)
{
    SHARED(Slab, rows_tile, [ROWS]);
    SHARED(Slab, keys_tile, [ROWS]);
    SHARED(Scores, ds, [ROWS]);
    const AttentionShape &s = a.shape;
    int32_t block = (int32_t)blockIdx.x, i0 = block % a.tiles * ROWS, dim = s.head_dim,
            col = (int32_t)blockIdx.y * SLABS * SLAB;
    Head h = head_of(s, block / a.tiles / s.heads, block / a.tiles % s.heads);
    if (i0 >= h.len_q) return;
    int row = threadIdx.x / 8, column = threadIdx.x % 8 * 4;
    int32_t i = i0 + row, from, to;
    int64_t at = (int64_t)h.head * s.cu_seqlens_q[s.num_seqs] + h.row_q + i;
    const T *q = a.q + (int64_t)h.row_q * s.q_stride + h.head * dim,
            *k = a.k + (int64_t)h.row_k * s.k_stride + h.kv_head * dim,
            *v = a.v + (int64_t)h.row_k * s.v_stride + h.kv_head * dim,
            *dout = a.dout + (int64_t)h.row_q * s.out_stride + h.head * dim;
    uint32_t sample = a.threshold ? (uint32_t)a.dropout.sample[h.sequence] : 0;
    float lse = i < h.len_q ? a.lse[at] : 0, delta = i < h.len_q ? a.delta[at] : 0, sums[SLABS][OWN] = {};
    keys_seen(s, h, i0, &from, &to);
    for (int32_t tile = from; tile < to; tile++) {
        int32_t j0 = tile * ROWS, j = j0 + column;
        float x[4] = {}, dp[4] = {}, lses[4] = {lse, lse, lse, lse}, deltas[4] = {delta, delta, delta, delta};
        dots(x, q, s.q_stride, i0, h.len_q, k, s.k_stride, j0, h.len_k, dim, rows_tile, keys_tile);
        dots(dp, dout, s.out_stride, i0, h.len_q, v, s.v_stride, j0, h.len_k, dim, rows_tile, keys_tile);
        bool seen[4] = {sees(s, h, i, j), sees(s, h, i, j + 1), sees(s, h, i, j + 2), sees(s, h, i, j + 3)};
        Philox w = {};
        if (a.threshold) w = dropout_words(&a.dropout, (uint32_t)(j / 4), (uint32_t)i, (uint32_t)h.head, sample);
        gradients(a, x, dp, seen, w.v, lses, deltas);
#pragma unroll
        for (int c = 0; c < 4; c++) ds[row][column + c] = dp[c];
        products<SLABS>(sums, ds, k, s.k_stride, j0, h.len_k, col, dim, keys_tile);
    }
    if (i < h.len_q) store_sums<SLABS>(a.dq + (int64_t)(h.row_q + i) * s.q_stride + h.head * dim, sums, 1, col, dim);
}

template <int SLABS, typename T>
static __global__ void __launch_bounds__(ATTENTION_THREADS, SLABS == 4 ? 1 : 2) keys(Attention<T> a)
{
    SHARED(Slab, rows_tile, [ROWS]);
    SHARED(Slab, queries_tile, [ROWS]);
    SHARED(Scores, p, [ROWS]);
    SHARED(Scores, ds, [ROWS]);
    const AttentionShape &s = a.shape;
    int32_t block = (int32_t)blockIdx.x, j0 = block % a.tiles * ROWS, dim = s.head_dim,
            col = (int32_t)blockIdx.y * SLABS * SLAB;
    int32_t kv_head = block / a.tiles % s.kv_heads, group = s.heads / s.kv_heads,
            sequence = block / a.tiles / s.kv_heads;
    int row = threadIdx.x / 8, column = threadIdx.x % 8 * 4;
    int32_t j = j0 + row;
    if (j0 >= s.cu_seqlens_k[sequence + 1] - s.cu_seqlens_k[sequence]) return;
    uint32_t sample = a.threshold ? (uint32_t)a.dropout.sample[sequence] : 0;
    float dk[SLABS][OWN] = {}, dv[SLABS][OWN] = {};
    Head h = {};
    for (int32_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        int32_t from, to;
        h = head_of(s, sequence, head);
        const T *q = a.q + (int64_t)h.row_q * s.q_stride + head * dim,
                *k = a.k + (int64_t)h.row_k * s.k_stride + kv_head * dim,
                *v = a.v + (int64_t)h.row_k * s.v_stride + kv_head * dim,
                *dout = a.dout + (int64_t)h.row_q * s.out_stride + head * dim;
        queries_seeing(s, h, j0, &from, &to);
        for (int32_t tile = from; tile < to; tile++) {
            int32_t i0 = tile * ROWS;
            float x[4] = {}, dp[4] = {}, lse[4], delta[4];
            uint32_t words[4] = {};
            bool seen[4];
            dots(x, k, s.k_stride, j0, h.len_k, q, s.q_stride, i0, h.len_q, dim, rows_tile, queries_tile);
            dots(dp, v, s.v_stride, j0, h.len_k, dout, s.out_stride, i0, h.len_q, dim, rows_tile, queries_tile);
            for (int c = 0; c < 4; c++) {
                int32_t i = i0 + column + c;
                int64_t at = (int64_t)head * s.cu_seqlens_q[s.num_seqs] + h.row_q + i;
                seen[c] = sees(s, h, i, j);
                lse[c] = seen[c] ? a.lse[at] : 0, delta[c] = seen[c] ? a.delta[at] : 0;
                if (a.threshold)
                    words[c] = dropout_word(
                        dropout_words(&a.dropout, (uint32_t)(j / 4), (uint32_t)i, (uint32_t)head, sample), j % 4);
            }
            gradients(a, x, dp, seen, words, lse, delta);
#pragma unroll
            for (int c = 0; c < 4; c++) p[row][column + c] = x[c], ds[row][column + c] = dp[c];
            products<SLABS>(dv, p, dout, s.out_stride, i0, h.len_q, col, dim, queries_tile);
            products<SLABS>(dk, ds, q, s.q_stride, i0, h.len_q, col, dim, queries_tile);
        }
    }
    if (j >= h.len_k) return;
    store_sums<SLABS>(a.dk + (int64_t)(h.row_k + j) * s.k_stride + kv_head * dim, dk, 1, col, dim);
    store_sums<SLABS>(a.dv + (int64_t)(h.row_k + j) * s.v_stride + kv_head * dim, dv, 1, col, dim);
}

template <typename T>
static void backward_of(Stream *s, void *dq, void *dk, void *dv, const void *dout, const void *q, const void *k,
                        const void *v, const void *out, const float *lse, const AttentionShape *shape,
                        const Dropout *dropout)
{
    /* Rows are known on the device alone: memory for as many as there may be. */
    int64_t most_rows = (int64_t)shape->max_seqlen_q * shape->num_seqs;
    Attention<T> a = {};
    static_cast<AttentionCall &>(a) = attention_call(shape, dropout, shape->max_seqlen_q, ROWS);
    a.q = (const T *)q, a.k = (const T *)k, a.v = (const T *)v, a.out = (const T *)out;
    a.dout = (const T *)dout, a.dq = (T *)dq, a.dk = (T *)dk, a.dv = (T *)dv;
    a.lse = const_cast<float *>(lse);
    a.delta = (float *)stream_scratch_cuda(s, 0, (size_t)(most_rows * shape->heads) * sizeof(float));
    if constexpr (!std::is_same<T, float>::value)
        if (attention_takes_mma(*shape, {q, k, v, out, dout, dq, dk, dv})) return attention_mma_backward(s, a);
    launch(make_delta<T>, cuda_blocks(most_rows * shape->heads, ATTENTION_THREADS / 32), ATTENTION_THREADS, 0, s, a);
    int slabs = attention_slabs(shape->head_dim);
    unsigned groups = attention_groups(shape->head_dim);
    launch(slabs == 1   ? queries<1, T>
           : slabs == 2 ? queries<2, T>
                        : queries<4, T>,
           dim3(cuda_blocks((int64_t)a.tiles * shape->heads * shape->num_seqs, 1), groups), ATTENTION_THREADS, 0, s, a);
    a.tiles = (shape->max_seqlen_k + ROWS - 1) / ROWS;
    launch(slabs == 1   ? keys<1, T>
           : slabs == 2 ? keys<2, T>
                        : keys<4, T>,
           dim3(cuda_blocks((int64_t)a.tiles * shape->kv_heads * shape->num_seqs, 1), groups), ATTENTION_THREADS, 0, s,
           a);
}

void cuda_attention_backward(Stream *s, Dtype dtype, void *dq, void *dk, void *dv, const void *dout, const void *q,
                             const void *k, const void *v, const void *out, const float *lse,
                             const AttentionShape *shape, const Dropout *dropout)
{
    if (!shape->num_seqs) return;
    if (dtype == DTYPE_BF16)
        backward_of<__nv_bfloat16>(s, dq, dk, dv, dout, q, k, v, out, lse, shape, dropout);
    else if (dtype == DTYPE_F16)
        backward_of<__half>(s, dq, dk, dv, dout, q, k, v, out, lse, shape, dropout);
    else
        backward_of<float>(s, dq, dk, dv, dout, q, k, v, out, lse, shape, dropout);
}
