/* Attention forward: on tensor cores (attention_mma.cu) where dtype, heads and alignment allow it, else here, with f32
 * arithmetic (Dao et al. 2022; tiles: attention.cuh): a block of queries walks the tiles of
 * keys that any of them sees, with a running maximum and sum of each row (Milakov and Gimelshein 2018), kept by the
 * eight threads of the row. Floor: 4 * (pairs of query and key that see each other) * heads * head_dim FLOPs; q, k, v,
 * out moved once. */
#include "kernels/cuda/attention_mma.cuh"
#include "kernels/cuda/families.h"

static __device__ __forceinline__ float max8(float v)
{
    for (int lanes = 4; lanes; lanes /= 2) v = fmaxf(v, __shfl_xor_sync(FULL_WARP, v, lanes));
    return v;
}

static __device__ __forceinline__ float sum8(float v)
{
    for (int lanes = 4; lanes; lanes /= 2) v += __shfl_xor_sync(FULL_WARP, v, lanes);
    return v;
}

template <int SLABS, typename T>
static __global__ void __launch_bounds__(ATTENTION_THREADS, SLABS == 4 ? 1 : 2) forward(Attention<T> a)
{
    SHARED(Slab, rows_tile, [ROWS]);
    SHARED(Slab, keys_tile, [ROWS]);
    SHARED(Scores, p, [ROWS]);
    const AttentionShape &s = a.shape;
    int32_t block = (int32_t)blockIdx.x, i0 = block % a.tiles * ROWS, dim = s.head_dim,
            col = (int32_t)blockIdx.y * SLABS * SLAB;
    Head h = head_of(s, block / a.tiles / s.heads, block / a.tiles % s.heads);
    if (i0 >= h.len_q) return;
    int row = threadIdx.x / 8, column = threadIdx.x % 8 * 4;
    int32_t i = i0 + row, from, to;
    const T *q = a.q + (int64_t)h.row_q * s.q_stride + h.head * dim,
            *k = a.k + (int64_t)h.row_k * s.k_stride + h.kv_head * dim,
            *v = a.v + (int64_t)h.row_k * s.v_stride + h.kv_head * dim;
    uint32_t sample = a.threshold ? (uint32_t)a.dropout.sample[h.sequence] : 0;
    float most = -INFINITY, sum = 0, out[SLABS][OWN] = {};
    keys_seen(s, h, i0, &from, &to);
    for (int32_t tile = from; tile < to; tile++) {
        int32_t j0 = tile * ROWS, j = j0 + column;
        float x[4] = {}, next = most;
        dots(x, q, s.q_stride, i0, h.len_q, k, s.k_stride, j0, h.len_k, dim, rows_tile, keys_tile);
#pragma unroll
        for (int c = 0; c < 4; c++) {
            x[c] *= s.scale;
            if (s.softcap > 0) x[c] = s.softcap * tanhf(x[c] / s.softcap);
            if (!sees(s, h, i, j + c)) x[c] = -INFINITY;
            next = fmaxf(next, x[c]);
        }
        next = max8(next);
        float base = next == -INFINITY ? 0 : next, fade = expf(most - base), part = 0;
        most = next;
        Philox w = {};
        if (a.threshold) w = dropout_words(&a.dropout, (uint32_t)(j / 4), (uint32_t)i, (uint32_t)h.head, sample);
#pragma unroll
        for (int c = 0; c < 4; c++) {
            float e = expf(x[c] - base);
            part += e;
            p[row][column + c] = w.v[c] >= a.threshold ? e : 0;
        }
        sum = sum * fade + sum8(part);
#pragma unroll
        for (int g = 0; g < SLABS; g++)
#pragma unroll
            for (int o = 0; o < OWN; o++) out[g][o] *= fade;
        products<SLABS>(out, p, v, s.v_stride, j0, h.len_k, col, dim, keys_tile);
    }
    if (i >= h.len_q) return;
    store_sums<SLABS>(a.to + (int64_t)(h.row_q + i) * s.out_stride + h.head * dim, out,
                      sum == 0 ? 0 : a.keep_scale / sum, col, dim);
    if (a.lse && blockIdx.y == 0 && threadIdx.x % 8 == 0)
        a.lse[(int64_t)h.head * s.cu_seqlens_q[s.num_seqs] + h.row_q + i] = most + logf(sum);
}

AttentionCall attention_call(const AttentionShape *shape, const Dropout *dropout, int64_t longest, int rows)
{
    AttentionCall a = {};
    a.shape = *shape, a.keep_scale = 1, a.tiles = (int32_t)((longest + rows - 1) / rows);
    if (!dropout || !(dropout->p > 0)) return a;
    a.dropout = *dropout, a.threshold = dropout_threshold(dropout->p), a.keep_scale = 1.0f / (1.0f - dropout->p);
    return a;
}

template <typename T>
static void forward_of(Stream *s, void *out, float *lse, const void *q, const void *k, const void *v,
                       const AttentionShape *shape, const Dropout *dropout)
{
    Attention<T> a = {};
    static_cast<AttentionCall &>(a) = attention_call(shape, dropout, shape->max_seqlen_q, ROWS);
    a.q = (const T *)q, a.k = (const T *)k, a.v = (const T *)v, a.to = (T *)out, a.lse = lse;
    if constexpr (!std::is_same<T, float>::value)
        if (attention_takes_mma(*shape, {q, k, v, out})) return attention_mma_forward(s, a);
    int slabs = attention_slabs(shape->head_dim);
    dim3 grid(cuda_blocks((int64_t)a.tiles * shape->heads * shape->num_seqs, 1), attention_groups(shape->head_dim));
    launch(slabs == 1 ? forward<1, T> : slabs == 2 ? forward<2, T> : forward<4, T>, grid, ATTENTION_THREADS, 0, s, a);
}

static void attention_forward(Stream *s, Dtype dtype, void *out, float *lse, const void *q, const void *k,
                              const void *v, const AttentionShape *shape, const Dropout *dropout)
{
    if (dtype == DTYPE_BF16)
        forward_of<__nv_bfloat16>(s, out, lse, q, k, v, shape, dropout);
    else if (dtype == DTYPE_F16)
        forward_of<__half>(s, out, lse, q, k, v, shape, dropout);
    else
        forward_of<float>(s, out, lse, q, k, v, shape, dropout);
}

void cuda_attention_install(Kernels *k)
{
    k->attention_forward = attention_forward;
    k->attention_backward = cuda_attention_backward;
}
