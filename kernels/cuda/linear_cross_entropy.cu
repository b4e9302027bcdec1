/* The fused end of a model, which never holds the logits of a batch: products (product.cuh) with the loss over a chunk
 * of logits (loss.cuh) between them.
 *
 * It makes f32 logits of operands of any dtype: rounded to bf16, a logit of 16 would be wrong by up to 1/16, and the
 * loss with it; the price, by its bytes (2 of a logit written and 2 read), is a fiftieth of a step of GPT-2 124M on an
 * H100. The gradient is rounded once, for the two products that follow, and lies in the place of its row's logits, in
 * the first half of it where dtype has 16 bits.
 *
 * It gathers the rows that have a label; how many these are is known on the device alone, so the products of all chunks
 * are done, those beyond the last label on zeros. Chunks are equal, multiples of 256 rows (whole tiles of the products,
 * few shapes) of at most 512 MiB of logits (but 256 rows) and 4096 rows. The fewer there are, the seldomer dweight is
 * read and written: by the bytes, in chunks of less than some 1400 rows for a hidden size of 768, or 1000 for 4096,
 * that costs an H100 more time than the product; a vocabulary of 50257 gives 2560 rows, one of 128256 gives 1024.
 *
 * Floor: 6*rows*hidden*vocab FLOPs (2 without gradients, 4 with a frozen weight). */
#include "kernels/cuda/loss.cuh"
#include "kernels/cuda/product.cuh"
#include "kernels/cuda/rows.cuh"
#include "kernels/cuda/weight_parts.cuh"

enum { GATHER_THREADS = 1024 };
static constexpr int64_t CHUNK_BYTES = 512 << 20, CHUNK_UNIT = 256, CHUNK_MOST = 4096;

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
static void logits_of(const Chunks &c, float *logits, const void *x, const Weight &w, int64_t stride)
{
    with_weight_parts(c.s, c.dtype, w, false, [&](int64_t first, int64_t count, const void *part, int64_t ld) {
        Product p = {};
        p.from = c.dtype, p.to = DTYPE_F32, p.trans_b = true, p.m = c.rows, p.n = count, p.k = c.hidden;
        p.a = x, p.lda = c.hidden, p.b = part, p.ldb = ld, p.c = logits + first, p.ldc = stride;
        product(c.s, p);
    });
}

/* dx [c.rows, hidden] = dlogits W; dweight (NULL: frozen) = dlogits^T x. Rows of dlogits are `stride` floats apart.
 * sum: f32 [c.rows, hidden], where the parts of a weight of another dtype add up; NULL: it has dtype. */
static void gradients_of(const Chunks &c, void *dx, float *dweight, float *sum, const void *dlogits, const void *x,
                         const Weight &w, int64_t stride, bool accumulate)
{
    Product p = {};
    p.from = c.dtype, p.to = sum ? DTYPE_F32 : c.dtype, p.m = c.rows, p.n = c.hidden;
    p.lda = stride * (int64_t)(sizeof(float) / dtype_bytes(c.dtype)), p.c = sum ? sum : dx, p.ldc = c.hidden;
    with_weight_parts(c.s, c.dtype, w, false, [&](int64_t first, int64_t count, const void *part, int64_t ld) {
        p.k = count, p.a = static_cast<const char *>(dlogits) + (size_t)first * dtype_bytes(c.dtype);
        p.b = part, p.ldb = ld, p.accumulate = first > 0;
        product(c.s, p);
    });
    if (sum && sum != dx) cuda_convert_rows(c.s, c.dtype, dx, c.hidden, DTYPE_F32, sum, c.hidden, c.rows, c.hidden);
    if (!dweight) return;
    p.to = DTYPE_F32, p.trans_a = true, p.m = w.rows, p.k = c.rows, p.a = dlogits, p.b = x, p.ldb = c.hidden;
    p.c = dweight, p.accumulate = accumulate;
    product(c.s, p);
}

void cuda_linear_cross_entropy(Stream *s, Dtype dtype, Dtype wdtype, float *row_loss, void *dx, float *dweight,
                               const void *x, const void *weight, const int32_t *labels, int64_t rows, int64_t hidden,
                               int64_t vocab, float scale, float smoothing, float softcap, float z_loss,
                               bool accumulate)
{
    Weight w = {wdtype, weight, vocab, hidden};
    int64_t stride = (vocab + 3) / 4 * 4, bytes = (int64_t)dtype_bytes(dtype);
    Chunks c = {s, dtype, chunk_rows(rows, stride), hidden, nullptr, nullptr};
    int64_t gathered_bytes = (c.rows * hidden * bytes + 15) / 16 * 16;
    c.count = (int32_t *)stream_scratch_cuda(s, 3, (size_t)(rows + 1) * sizeof *c.count), c.index = c.count + 1;
    float *logits = (float *)stream_scratch_cuda(s, 0, (size_t)(c.rows * stride) * sizeof *logits);
    char *gathered = (char *)stream_scratch_cuda(s, 1, (size_t)(2 * gathered_bytes));
    char *dgathered = gathered + gathered_bytes;
    float *sum = nullptr;
    if (wdtype != dtype && dtype == DTYPE_F32) sum = (float *)(void *)dgathered;
    else if (wdtype != dtype) sum = (float *)stream_scratch_cuda(s, 2, (size_t)(c.rows * hidden) * sizeof *sum);
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
        logits_of(c, logits, gathered, w, stride);
        cuda_losses(s, dtype, l, c.rows);
        if (!dx) continue;
        gradients_of(c, dgathered, dweight, sum, logits, gathered, w, stride, accumulate || first);
        move(c, dgathered, dx, first, true);
    }
}
