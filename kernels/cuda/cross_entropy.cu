/* Cross entropy over logits, and the fused end of a model that never holds the logits of a batch
 * (kernels/cpu/cross_entropy.c has the formulas). A block takes a row: one pass finds the largest logit and the sum of
 * exponentials relative to it (each thread its own, brought together at the end: Milakov and Gimelshein 2018), a second
 * writes the gradient.
 *
 * linear_cross_entropy makes f32 logits of operands of any dtype: rounded to bf16, a logit of 16 would be wrong by up
 * to 1/16, and the loss with it; the price, by its bytes (2 of a logit written and 2 read), is a fiftieth of a step of
 * GPT-2 124M on an H100. The gradient is rounded once, for the two products that follow, and lies in the place of its
 * row's logits, in the first half of it where dtype has 16 bits. It gathers the rows that have a label; how many these
 * are is known on the device alone, so the products of all chunks are done, those beyond the last label on zeros.
 * Chunks are equal, multiples of 256 rows (whole tiles of the products, few shapes) of at most 512 MiB of logits (but
 * 256 rows) and 4096 rows. The fewer there are, the seldomer dweight is read and written: in chunks of less than some
 * 1400 rows for a hidden size of 768, or 1000 for 4096, that costs an H100 more time than the product; 50257 x 4 bytes
 * gives 2560 rows, 128256 gives 1024.
 *
 * Floor: cross_entropy reads rows*vocab floats and writes as many. A row is read twice, the second time from the cache:
 * one block of 1024 threads on a multiprocessor is few enough for that (132 rows of 50257: 27 MB).
 * linear_cross_entropy: 6*rows*hidden*vocab FLOPs (2 without gradients, 4 with a frozen weight). */
#include "kernels/cuda/families.h"
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/rows.cuh"

enum { MOST_THREADS = 1024, GATHER_THREADS = 1024, IGNORED = -100 };
static constexpr int64_t CHUNK_BYTES = 512 << 20, CHUNK_UNIT = 256, CHUNK_MOST = 4096;

struct Loss {
    float *row_loss;
    void *gradient; /* NULL: none; may be logits; its rows begin where those of logits would */
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

/* The gradient in dtype. */
static void losses(Stream *s, Dtype dtype, const Loss &l, int64_t rows)
{
    with_dtype(l.gradient ? dtype : DTYPE_F32, [&](auto zero) { losses_typed<decltype(zero)>(s, l, rows); });
}

static void cross_entropy(Stream *s, float *row_loss, float *dlogits, const float *logits, const int32_t *labels,
                          int64_t rows, int64_t vocab, float scale, float smoothing, float softcap, float z_loss)
{
    Loss l = {row_loss, dlogits, logits, labels, nullptr, nullptr, 0, vocab, vocab, scale, smoothing, softcap, z_loss};
    losses(s, DTYPE_F32, l, rows);
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

/* Row i of `chunk` = row index[first + i] of x, or zeros; with `back` the other way round, without zeros. Rows of
 * `width` words. */
template <typename Word>
static __global__ void __launch_bounds__(256)
    move_rows(Word *chunk, Word *x, const int32_t *index, const int32_t *count, int64_t first, int64_t width, bool back)
{
    int64_t place = first + blockIdx.x;
    bool there = place < *count;
    if (!there && back) return;
    Word *row = there ? x + index[place] * width : nullptr, *own = chunk + blockIdx.x * width;
    for (int64_t i = threadIdx.x; i < width; i += blockDim.x) {
        if (back)
            row[i] = own[i];
        else
            own[i] = there ? row[i] : Word();
    }
}

/* The chunks of a call. */
struct Chunks {
    Stream *s;
    Dtype dtype;
    int64_t rows, hidden; /* of one; values of a row of x */
    int32_t *index, *count;
};

template <typename Word>
static void move_words(const Chunks &c, void *chunk, void *x, int64_t first, int64_t bytes, bool back)
{
    int64_t width = bytes / (int64_t)sizeof(Word);
    launch(move_rows<Word>, (unsigned)c.rows, row_threads(width * 4, 256), 0, c.s, (Word *)chunk, (Word *)x, c.index,
           c.count, first, width, back);
}

static void move(const Chunks &c, void *chunk, const void *x, int64_t first, bool back)
{
    int64_t bytes = c.hidden * (int64_t)dtype_bytes(c.dtype);
    void *rows = const_cast<void *>(x);
    if (bytes % 16 == 0 && cuda_is_aligned(chunk) && cuda_is_aligned(x))
        move_words<uint4>(c, chunk, rows, first, bytes, back);
    else if (c.dtype == DTYPE_F32)
        move_words<uint32_t>(c, chunk, rows, first, bytes, back);
    else
        move_words<uint16_t>(c, chunk, rows, first, bytes, back);
}

static int64_t chunk_rows(int64_t rows, int64_t stride)
{
    int64_t most = CHUNK_BYTES / (stride * (int64_t)sizeof(float)) / CHUNK_UNIT * CHUNK_UNIT;
    most = most < CHUNK_UNIT ? CHUNK_UNIT : most > CHUNK_MOST ? CHUNK_MOST : most;
    int64_t chunks = (rows + most - 1) / most, each = chunks ? (rows + chunks - 1) / chunks : 0;
    return (each + CHUNK_UNIT - 1) / CHUNK_UNIT * CHUNK_UNIT;
}

/* logits [c.rows, vocab] at `stride` = x W^T */
static void logits_of(const Chunks &c, float *logits, const void *x, const void *weight, int64_t vocab, int64_t stride)
{
    Product p = {};
    p.from = c.dtype, p.to = DTYPE_F32, p.trans_b = true, p.m = c.rows, p.n = vocab, p.k = c.hidden;
    p.a = x, p.lda = c.hidden, p.b = weight, p.ldb = c.hidden, p.c = logits, p.ldc = stride;
    product(c.s, p);
}

/* dx [c.rows, hidden] = dlogits W; dweight (NULL: frozen) = dlogits^T x. Rows of dlogits are `stride` floats apart. */
static void gradients_of(const Chunks &c, void *dx, float *dweight, const void *dlogits, const void *x,
                         const void *weight, int64_t vocab, int64_t stride, bool accumulate)
{
    Product p = {};
    p.from = p.to = c.dtype, p.m = c.rows, p.n = c.hidden, p.k = vocab;
    p.a = dlogits, p.lda = stride * (int64_t)(sizeof(float) / dtype_bytes(c.dtype)), p.b = weight, p.ldb = c.hidden;
    p.c = dx, p.ldc = c.hidden;
    product(c.s, p);
    if (!dweight) return;
    p.to = DTYPE_F32, p.trans_a = true, p.m = vocab, p.k = c.rows, p.b = x, p.c = dweight, p.accumulate = accumulate;
    product(c.s, p);
}

static void linear_cross_entropy(Stream *s, Dtype dtype, float *row_loss, void *dx, float *dweight, const void *x,
                                 const void *weight, const int32_t *labels, int64_t rows, int64_t hidden, int64_t vocab,
                                 float scale, float smoothing, float softcap, float z_loss, bool accumulate)
{
    int64_t stride = (vocab + 3) / 4 * 4, bytes = (int64_t)dtype_bytes(dtype);
    Chunks c = {s, dtype, chunk_rows(rows, stride), hidden, nullptr, nullptr};
    int64_t gathered_bytes = (c.rows * hidden * bytes + 15) / 16 * 16;
    c.count = (int32_t *)stream_scratch_cuda(s, 3, (size_t)(rows + 1) * sizeof *c.count), c.index = c.count + 1;
    float *logits = (float *)stream_scratch_cuda(s, 0, (size_t)(c.rows * stride) * sizeof *logits);
    char *gathered = (char *)stream_scratch_cuda(s, 1, (size_t)(2 * gathered_bytes));
    char *dgathered = gathered + gathered_bytes;
    if (stream_has_failed(s)) return;
    if (!rows && dx && dweight && !accumulate)
        cuda_ok(s, cudaMemsetAsync(dweight, 0, (size_t)(vocab * hidden) * sizeof *dweight, cuda_queue(s)), "zero");
    if (dx && rows && hidden)
        cuda_ok(s, cudaMemsetAsync(dx, 0, (size_t)(rows * hidden * bytes), cuda_queue(s)), "zero");
    if (rows) launch(find_labels, 1, GATHER_THREADS, 0, s, c.index, c.count, row_loss, labels, rows);
    for (int64_t first = 0; first < rows; first += c.rows) {
        Loss l = {row_loss,  dx ? logits : nullptr,
                  logits,    labels,
                  c.index,   c.count,
                  first,     vocab,
                  stride,    scale,
                  smoothing, softcap,
                  z_loss};
        move(c, gathered, x, first, false);
        logits_of(c, logits, gathered, weight, vocab, stride);
        losses(s, dtype, l, c.rows);
        if (!dx) continue;
        gradients_of(c, dgathered, dweight, logits, gathered, weight, vocab, stride, accumulate || first);
        move(c, dgathered, dx, first, true);
    }
}

void cuda_cross_entropy_install(Kernels *k)
{
    k->cross_entropy = cross_entropy;
    k->linear_cross_entropy = linear_cross_entropy;
}
