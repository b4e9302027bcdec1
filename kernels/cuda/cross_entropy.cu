/* Cross entropy over logits (kernels/cpu/cross_entropy.c has the formulas). A block takes a row: one pass finds the
 * largest logit and the sum of exponentials relative to it (each thread its own, brought together at the end: Milakov
 * and Gimelshein 2018), a second writes the gradient.
 * Floor: rows*vocab floats read and as many elements written. A row is read twice, the second time from the cache: one
 * block of 1024 threads on a multiprocessor is few enough for that (132 rows of 50257: 27 MB). */
#include "kernels/cuda/families.h"
#include "kernels/cuda/loss.cuh"
#include "kernels/cuda/rows.cuh"

enum { MOST_THREADS = 1024 };

static __device__ __forceinline__ float capped(float z, float cap) { return cap != 0 ? cap * tanhf(z / cap) : z; }

static __device__ __forceinline__ float4 capped4(float4 z, float cap)
{
    return cap != 0 ? make_float4(capped(z.x, cap), capped(z.y, cap), capped(z.z, cap), capped(z.w, cap)) : z;
}

/* A thread's largest and its sum of exp(z - largest): NaN makes the sum NaN. */
static __device__ __forceinline__ void include(float4 z, int64_t left, float *most, float *sum)
{
    float next = fmaxf(*most, z.x);
    if (left > 1) next = fmaxf(next, z.y);
    if (left > 2) next = fmaxf(next, z.z);
    if (left > 3) next = fmaxf(next, z.w);
    float base = next == -INFINITY ? 0 : next;
    float part = expf(z.x - base);
    if (left > 1) part += expf(z.y - base);
    if (left > 2) part += expf(z.z - base);
    if (left > 3) part += expf(z.w - base);
    *sum = (next > *most ? *sum * expf(*most - base) : *sum) + part;
    *most = next;
}

static __device__ __forceinline__ float block_max(float v, float *room)
{
    int warps = blockDim.x / 32;
    v = warp_max(v);
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = v;
    __syncthreads();
    v = room[0];
    for (int w = 1; w < warps; w++) v = fmaxf(v, room[w]);
    __syncthreads();
    return v;
}

template <typename G> struct alignas(4 * sizeof(G)) Four {
    G v[4];
};

/* g[0 … 3] = v, rounded; an overflow of f16 is infinite, and seen by the norm. */
template <bool ALIGNED, typename G> static __device__ __forceinline__ void put4(G *g, float4 v, int64_t left)
{
    Four<G> all;
    narrow(&all.v[0], v.x), narrow(&all.v[1], v.y), narrow(&all.v[2], v.z), narrow(&all.v[3], v.w);
    if (ALIGNED && left >= 4)
        *reinterpret_cast<Four<G> *>(g) = all;
    else
        for (int j = 0; j < 4 && j < left; j++) g[j] = all.v[j];
}

/* The gradient of one row of softmax: p of_p - of_all, - of_label at the label, through the cap. */
struct Slopes {
    float largest, of_p, of_all, of_label, softcap;
    int32_t label;
    __device__ __forceinline__ float4 at(float4 z, int64_t i) const
    {
        float4 v = capped4(z, softcap);
        float4 p = make_float4(expf(v.x - largest), expf(v.y - largest), expf(v.z - largest), expf(v.w - largest));
        p = p * of_p - of_all;
        if (label == i) p.x -= of_label;
        if (label == i + 1) p.y -= of_label;
        if (label == i + 2) p.z -= of_label;
        if (label == i + 3) p.w -= of_label;
        float4 t = v * (softcap != 0 ? 1 / softcap : 0);
        return softcap != 0 ? p * (t * t * -1.0f + 1.0f) : p;
    }
};

/* g [n] from z [n], which may begin at the same place: what 16-bit elements overwrite has been read by all threads, of
 * this round or before it. */
template <bool ALIGNED, typename G>
static __device__ __forceinline__ void write_gradient(G *g, const float *z, int64_t n, const Slopes &slopes)
{
    int64_t i = threadIdx.x * 4, step = blockDim.x * 4;
    float4 v = i < n ? load4<ALIGNED>(z + i, n - i) : zero4();
    for (int64_t first = 0; first < n; first += step, i += step) {
        float4 next = i + step < n ? load4<ALIGNED>(z + i + step, n - i - step) : zero4();
        if (sizeof(G) < sizeof(float)) __syncthreads();
        if (i < n) put4<ALIGNED>(g + i, slopes.at(v, i), n - i);
        v = next;
    }
}

template <bool ALIGNED, typename G> static __global__ void __launch_bounds__(MOST_THREADS) loss_row(Loss l)
{
    SHARED(float, room, [64]);
    SHARED(double, wide_room, [64]);
    int64_t n = l.vocab, place = l.first + blockIdx.x;
    bool there = !l.count || place < *l.count;
    const float *z = l.logits + blockIdx.x * l.stride;
    G *g = l.gradient ? reinterpret_cast<G *>(static_cast<float *>(l.gradient) + blockIdx.x * l.stride) : nullptr;
    int64_t at = there && l.index ? l.index[place] : place;
    int32_t label = there ? l.labels[at] : IGNORED;
    if (label == IGNORED) {
        if (there && threadIdx.x == 0) l.row_loss[at] = 0;
        for (int64_t i = threadIdx.x * 4; g && i < n; i += blockDim.x * 4) put4<ALIGNED>(g + i, zero4(), n - i);
        return;
    }
    float z_label = capped(z[label], l.softcap), most = -INFINITY, sum = 0, plain = 0;
    for (int64_t i = threadIdx.x * 4; i < n; i += blockDim.x * 4) {
        float4 v = capped4(load4<ALIGNED>(z + i, n - i), l.softcap);
        include(v, n - i, &most, &sum);
        if (l.smoothing != 0) plain += sum4(keep4(v, n - i));
    }
    float largest = block_max(most, room);
    double total = most == -INFINITY && sum == 0 ? 0.0 : (double)(sum * expf(most - largest)), all = plain;
    block_sums(&total, &all, wide_room);
    double lse = (double)largest + log(total), e = l.smoothing;
    double loss = (1 - e) * (lse - z_label) + (e != 0 ? e * (lse - all / (double)n) : 0) + l.z_loss * lse * lse;
    if (threadIdx.x == 0) l.row_loss[at] = (float)loss;
    if (!g) return;
    Slopes slopes = {largest,
                     (float)(l.scale * (1 + 2 * l.z_loss * lse) / total),
                     (float)(l.scale * e / (double)n),
                     (float)(l.scale * (1 - e)),
                     l.softcap,
                     label};
    write_gradient<ALIGNED>(g, z, n, slopes); /* z_label was read before the barriers above */
}

template <typename G> static void losses_typed(Stream *s, const Loss &l, int64_t rows)
{
    bool aligned = rows_are_aligned(l.stride, {l.logits, l.gradient});
    launch(aligned ? loss_row<true, G> : loss_row<false, G>, cuda_blocks(rows, 1), row_threads(l.vocab, MOST_THREADS),
           0, s, l);
}

void cuda_losses(Stream *s, Dtype dtype, const Loss &l, int64_t rows)
{
    with_dtype(l.gradient ? dtype : DTYPE_F32, [&](auto zero) { losses_typed<decltype(zero)>(s, l, rows); });
}

static void cross_entropy(Stream *s, float *row_loss, float *dlogits, const float *logits, const int32_t *labels,
                          int64_t rows, int64_t vocab, float scale, float smoothing, float softcap, float z_loss)
{
    Loss l = {row_loss, dlogits, logits, labels, nullptr, nullptr, 0, vocab, vocab, scale, smoothing, softcap, z_loss};
    cuda_losses(s, DTYPE_F32, l, rows);
}

void cuda_cross_entropy_install(Kernels *k)
{
    k->cross_entropy = cross_entropy;
    k->linear_cross_entropy = cuda_linear_cross_entropy;
}
