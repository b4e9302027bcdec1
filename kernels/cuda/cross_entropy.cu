/* Cross entropy over logits, and the fused end of a model that never holds the logits of a batch
 * (kernels/cpu/cross_entropy.c has the formulas). A block takes a row: one pass finds the largest logit and the sum of
 * exponentials relative to it (each thread its own, brought together at the end: Milakov and Gimelshein 2018), a second
 * writes the gradient.
 * linear_cross_entropy gathers the rows that have a label; how many these are is known on the device alone, so the
 * products of all chunks are done, those beyond the last label on zeros.
 * Floor: cross_entropy reads rows*vocab floats and writes as many (a row is read twice, the second time from the cache
 * while rows are shorter than that); linear_cross_entropy 6*rows*hidden*vocab FLOPs (2 without gradients, 4 with a
 * frozen weight). */
#include "kernels/cuda/families.h"
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/rows.cuh"

enum { MOST_THREADS = 512, LOSS_CHUNK = 256, GATHER_THREADS = 1024, IGNORED = -100 };

struct Loss {
    float *row_loss, *gradient; /* gradient NULL: none; may be logits */
    const float *logits;
    const int32_t *labels, *index,
        *count; /* index, count NULL: all rows; else row i of the chunk is index[first + i], while below count */
    int64_t first, vocab, stride;
    float scale, smoothing, softcap, z_loss;
};

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

template <bool ALIGNED> static __device__ void zero_row(float *g, int64_t n)
{
    for (int64_t i = threadIdx.x * 4; i < n; i += blockDim.x * 4) store4<ALIGNED>(g + i, zero4(), n - i);
}

template <bool ALIGNED> static __global__ void __launch_bounds__(MOST_THREADS) loss_row(Loss l)
{
    SHARED(float, room, [64]);
    SHARED(double, wide_room, [64]);
    int64_t n = l.vocab, place = l.first + blockIdx.x;
    bool there = !l.count || place < *l.count;
    const float *z = l.logits + blockIdx.x * l.stride;
    float *g = l.gradient ? l.gradient + blockIdx.x * l.stride : nullptr;
    int64_t at = there && l.index ? l.index[place] : place;
    int32_t label = there ? l.labels[at] : IGNORED;
    if (label == IGNORED) {
        if (there && threadIdx.x == 0) l.row_loss[at] = 0;
        if (g) zero_row<ALIGNED>(g, n);
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
    block_sums(&total, &all,
               wide_room); /* its barriers: z_label has been read by all before the gradient may overwrite it */
    double lse = (double)largest + log(total), e = l.smoothing;
    double loss = (1 - e) * (lse - z_label) + (e != 0 ? e * (lse - all / (double)n) : 0) + l.z_loss * lse * lse;
    if (threadIdx.x == 0) l.row_loss[at] = (float)loss;
    if (!g) return;
    float of_p = (float)(l.scale * (1 + 2 * l.z_loss * lse) / total), of_all = (float)(l.scale * e / (double)n),
          of_label = (float)(l.scale * (1 - e)), cap = l.softcap != 0 ? 1 / l.softcap : 0;
    for (int64_t i = threadIdx.x * 4; i < n; i += blockDim.x * 4) {
        float4 v = capped4(load4<ALIGNED>(z + i, n - i), l.softcap), t = v * cap;
        float4 p = make_float4(expf(v.x - largest), expf(v.y - largest), expf(v.z - largest), expf(v.w - largest));
        p = p * of_p - of_all;
        if (label == i) p.x -= of_label;
        if (label == i + 1) p.y -= of_label;
        if (label == i + 2) p.z -= of_label;
        if (label == i + 3) p.w -= of_label;
        if (l.softcap != 0) p = p * (t * t * -1.0f + 1.0f);
        store4<ALIGNED>(g + i, p, n - i);
    }
}

static void losses(Stream *s, const Loss &l, int64_t rows)
{
    bool aligned = rows_are_aligned(l.stride, {l.logits, l.gradient});
    launch(aligned ? loss_row<true> : loss_row<false>, cuda_blocks(rows, 1), row_threads(l.vocab, MOST_THREADS), 0, s,
           l);
}

static void cross_entropy(Stream *s, float *row_loss, float *dlogits, const float *logits, const int32_t *labels,
                          int64_t rows, int64_t vocab, float scale, float smoothing, float softcap, float z_loss)
{
    Loss l = {row_loss, dlogits, logits, labels, nullptr, nullptr, 0, vocab, vocab, scale, smoothing, softcap, z_loss};
    losses(s, l, rows);
}

/* index [*count] = the rows that have a label, in order; the others' loss is 0. One block goes over all rows. */
static __global__ void __launch_bounds__(GATHER_THREADS)
    find_labels(int32_t *index, int32_t *count, float *row_loss, const int32_t *labels, int64_t rows)
{
    SHARED(int, warps, [32]);
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32, found = 0;
    for (int64_t first = 0; first < rows; first += GATHER_THREADS) {
        int64_t row = first + threadIdx.x;
        bool has = row < rows && labels[row] != IGNORED;
        unsigned lanes = __ballot_sync(FULL_WARP, has);
        __syncthreads(); /* warps has been read */
        if (lane == 0) warps[warp] = __popc(lanes);
        __syncthreads();
        int before = found;
        for (int w = 0; w < 32; w++) {
            if (w < warp) before += warps[w];
            found += warps[w];
        }
        if (has)
            index[before + __popc(lanes & ((1u << lane) - 1))] = (int32_t)row;
        else if (row < rows)
            row_loss[row] = 0;
    }
    if (threadIdx.x == 0) *count = found;
}

/* Row i of `chunk` [LOSS_CHUNK, width] = row index[first + i] of x, or zeros; with `back` the other way round, without
 * zeros. */
template <bool ALIGNED>
static __global__ void __launch_bounds__(256) move_rows(float *chunk, float *x, const int32_t *index,
                                                        const int32_t *count, int64_t first, int64_t width, bool back)
{
    int64_t place = first + blockIdx.x;
    bool there = place < *count;
    if (!there && back) return;
    float *row = there ? x + index[place] * width : nullptr, *own = chunk + blockIdx.x * width;
    for (int64_t i = threadIdx.x * 4; i < width; i += blockDim.x * 4) {
        if (back)
            store4<ALIGNED>(row + i, load4<ALIGNED>(own + i, width - i), width - i);
        else
            store4<ALIGNED>(own + i, there ? load4<ALIGNED>(row + i, width - i) : zero4(), width - i);
    }
}

static void move(Stream *s, float *chunk, const float *x, const int32_t *index, const int32_t *count, int64_t first,
                 int64_t width, bool back)
{
    bool aligned = rows_are_aligned(width, {chunk, x});
    launch(aligned ? move_rows<true> : move_rows<false>, LOSS_CHUNK, row_threads(width, 256), 0, s, chunk,
           const_cast<float *>(x), index, count, first, width, back);
}

static void linear_cross_entropy(Stream *s, Dtype, float *row_loss, void *dx, float *dweight, const void *x,
                                 const void *weight, const int32_t *labels, int64_t rows, int64_t hidden, int64_t vocab,
                                 float scale, float smoothing, float softcap, float z_loss, bool accumulate)
{
    int64_t stride = (vocab + 3) / 4 * 4, chunk = LOSS_CHUNK * hidden;
    int32_t *count = (int32_t *)stream_scratch_cuda(s, 3, (size_t)(rows + 1) * sizeof *count), *index = count + 1;
    float *logits = (float *)stream_scratch_cuda(s, 0, (size_t)(LOSS_CHUNK * stride) * sizeof *logits);
    float *gathered = (float *)stream_scratch_cuda(s, 1, (size_t)(2 * chunk) * sizeof *gathered),
          *dgathered = gathered + chunk;
    const float *w = (const float *)weight;
    if (stream_has_failed(s)) return;
    if (!rows && dx && dweight && !accumulate)
        cuda_ok(s, cudaMemsetAsync(dweight, 0, (size_t)(vocab * hidden) * sizeof *dweight, cuda_queue(s)), "zero");
    if (dx && rows && hidden)
        cuda_ok(s, cudaMemsetAsync(dx, 0, (size_t)(rows * hidden) * sizeof(float), cuda_queue(s)), "zero");
    if (rows) launch(find_labels, 1, GATHER_THREADS, 0, s, index, count, row_loss, labels, rows);
    for (int64_t first = 0; first < rows; first += LOSS_CHUNK) {
        Loss l = {row_loss,  dx ? logits : nullptr,
                  logits,    labels,
                  index,     count,
                  first,     vocab,
                  stride,    scale,
                  smoothing, softcap,
                  z_loss};
        move(s, gathered, (const float *)x, index, count, first, hidden, false);
        product(s, false, true, LOSS_CHUNK, vocab, hidden, gathered, hidden, w, hidden, logits, stride, false, nullptr);
        losses(s, l, LOSS_CHUNK);
        if (!dx) continue;
        product(s, false, false, LOSS_CHUNK, hidden, vocab, logits, stride, w, hidden, dgathered, hidden, false,
                nullptr);
        move(s, dgathered, (float *)dx, index, count, first, hidden, true);
        if (dweight)
            product(s, true, false, vocab, hidden, LOSS_CHUNK, logits, stride, gathered, hidden, dweight, hidden,
                    accumulate || first, nullptr);
    }
}

void cuda_cross_entropy_install(Kernels *k)
{
    k->cross_entropy = cross_entropy;
    k->linear_cross_entropy = linear_cross_entropy;
}
