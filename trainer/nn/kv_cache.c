/* One buffer [layers][k, v][sequences][capacity][width]; a sequence's rows are dense, so the attention kernel takes
 * them where they are, and all sequences of a batch in one call: the room between the end of one sequence and the
 * beginning of the next is given to the kernel as a sequence that nobody asks about (no queries). */
#include "trainer/nn/kv_cache.h"

#include <stdlib.h>

struct KvCache {
    const Kernels *k;
    Stream *stream;
    int num_layers, num_seqs;
    int64_t capacity, width;
    int64_t *length;
    float *data;

    /* of this pass */
    int *seqs;
    const Batch *batch, *placed;
    int32_t longest;
    /* Numbers for kernels, on the host and where the stream works (on the CPU the same memory): boundaries of queries
     * and of keys, [2 * num_seqs + 1] each, of each sequence and the gap behind it; and the row of the cache that each
     * new row becomes. */
    int32_t *here, *there;
    int64_t room;
};

static int64_t boundaries(const KvCache *c) { return 2 * (int64_t)c->num_seqs + 1; }
static int32_t *cu_k(const KvCache *c, int32_t *numbers) { return numbers + boundaries(c); }
static int32_t *places(const KvCache *c, int32_t *numbers) { return numbers + 2 * boundaries(c); }

static void numbers_free(KvCache *c)
{
    if (c->there != c->here) stream_release(c->stream, c->there);
    stream_release_host(c->stream, c->here);
    c->here = c->there = NULL;
    c->room = 0;
}

static Status numbers_grow(KvCache *c, int64_t rows)
{
    int64_t n = 2 * boundaries(c) + rows;
    if (n <= c->room) return OK;
    numbers_free(c);
    c->here = stream_allocate_host(c->stream, (size_t)n * sizeof *c->here);
    c->there = stream_is_device(c->stream) ? stream_allocate(c->stream, (size_t)n * sizeof *c->there) : c->here;
    c->room = n;
    if (c->here && c->there) return OK;
    numbers_free(c);
    return status_raise(STATUS_MEMORY, "out of memory: the places of %lld tokens", (long long)rows);
}

static Status data_new(const KvCache *c, int64_t capacity, float **out)
{
    size_t count;
    const char *fewer = "ask for fewer new tokens or a smaller batch";
    if (__builtin_mul_overflow((size_t)c->num_seqs, (size_t)capacity, &count) || count > INT32_MAX ||
        __builtin_mul_overflow(count, (size_t)c->num_layers * 2 * sizeof(float), &count) ||
        __builtin_mul_overflow(count, (size_t)c->width, &count))
        return status_raise(STATUS_MEMORY, "keys and values of %d sequences of %lld tokens are too many; %s",
                            c->num_seqs, (long long)capacity, fewer);
    *out = stream_allocate(c->stream, count + 64);
    if (*out) return OK;
    return status_raise(STATUS_MEMORY, "out of memory: %zu MB for keys and values%s; %s", count >> 20,
                        stream_memory_failure(c->stream), fewer);
}

Status kv_cache_new(const Kernels *k, Stream *s, int num_layers, int num_seqs, int64_t capacity, int64_t width,
                    KvCache **out)
{
    Status st = OK;
    KvCache *c = calloc(1, sizeof *c);
    if (!c) RAISE(MEMORY, "out of memory");
    *c = (KvCache){.k = k, .stream = s, .num_layers = num_layers, .num_seqs = num_seqs, .capacity = capacity,
                   .width = width};
    c->length = calloc((size_t)num_seqs + 1, sizeof *c->length);
    c->seqs = calloc((size_t)num_seqs + 1, sizeof *c->seqs);
    if (!c->length || !c->seqs) RAISE(MEMORY, "out of memory");
    TRY(data_new(c, capacity, &c->data));
    *out = c;
    return OK;
done:
    kv_cache_free(c);
    return st;
}

void kv_cache_free(KvCache *c)
{
    if (!c) return;
    free(c->length);
    free(c->seqs);
    numbers_free(c);
    stream_release(c->stream, c->data);
    free(c);
}

int64_t kv_cache_length(const KvCache *c, int seq) { return c->length[seq]; }
int64_t kv_cache_longest(const KvCache *c) { return c->longest; }

static float *rows_of(const KvCache *c, int layer, int value)
{
    return c->data + ((size_t)layer * 2 + (size_t)value) * (size_t)c->num_seqs * (size_t)c->capacity * (size_t)c->width;
}

void kv_cache_copy(KvCache *c, int from, int to)
{
    size_t seq = (size_t)c->capacity * (size_t)c->width, used = (size_t)c->length[from] * (size_t)c->width;
    for (int i = 0; i < 2 * c->num_layers; i++)
        c->k->copy(c->stream, rows_of(c, i / 2, i % 2) + (size_t)to * seq,
                   rows_of(c, i / 2, i % 2) + (size_t)from * seq, used * sizeof(float));
    c->length[to] = c->length[from];
}

void kv_cache_cut(KvCache *c, int seq, int64_t length)
{
    if (length < c->length[seq]) c->length[seq] = length;
}

Status kv_cache_grow(KvCache *c, int64_t capacity)
{
    Status st = OK;
    float *old = c->data, *data;
    size_t stride = (size_t)c->capacity * (size_t)c->width;
    if (capacity <= c->capacity) return OK;
    TRY(data_new(c, capacity, &data));
    for (int i = 0; i < 2 * c->num_layers * c->num_seqs; i++)
        c->k->copy(c->stream, data + (size_t)i * (size_t)capacity * (size_t)c->width, old + (size_t)i * stride,
                   (size_t)c->length[i % c->num_seqs] * (size_t)c->width * sizeof(float));
    stream_sync(c->stream);
    stream_release(c->stream, old);
    c->data = data, c->capacity = capacity;
done:
    return st;
}

Status kv_cache_begin(KvCache *c, const int *seqs, const Batch *batch, const Batch *placed)
{
    Status st = OK;
    TRY(numbers_grow(c, batch->rows));
    c->batch = batch, c->placed = placed;
    c->longest = 0;
    for (int i = 0; i < batch->num_seqs; i++) {
        if (seqs[i] < 0 || seqs[i] >= c->num_seqs || (i && seqs[i] <= seqs[i - 1]))
            RAISE(BUG, "cached sequences must be ascending and below %d: number %d is %d", c->num_seqs, i, seqs[i]);
        int64_t total = c->length[seqs[i]] + batch->cu_seqlens[i + 1] - batch->cu_seqlens[i],
                first = seqs[i] * c->capacity;
        if (total > c->capacity)
            RAISE(BUG, "sequence %d grows to %lld tokens, the cache holds %lld", seqs[i], (long long)total,
                  (long long)c->capacity);
        c->seqs[i] = seqs[i];
        c->here[2 * i] = batch->cu_seqlens[i];
        c->here[2 * i + 1] = batch->cu_seqlens[i + 1];
        cu_k(c, c->here)[2 * i] = (int32_t)first;
        cu_k(c, c->here)[2 * i + 1] = (int32_t)(first + total);
        for (int32_t r = batch->cu_seqlens[i], at = (int32_t)(first + c->length[seqs[i]]);
             r < batch->cu_seqlens[i + 1]; r++, at++)
            places(c, c->here)[r] = at;
        if (total > c->longest) c->longest = (int32_t)total;
    }
    if (c->there != c->here)
        c->k->copy(c->stream, c->there, c->here, (size_t)(2 * boundaries(c) + batch->rows) * sizeof *c->here);
done:
    return st;
}

void kv_cache_advance(KvCache *c)
{
    for (int i = 0; i < c->batch->num_seqs; i++)
        c->length[c->seqs[i]] += c->batch->cu_seqlens[i + 1] - c->batch->cu_seqlens[i];
    c->batch = c->placed = NULL;
}

/* The new rows of x behind those that are there. */
static void store(const Tape *t, const KvCache *c, float *rows, const Tensor *x, int64_t col)
{
    t->k->scatter_rows(t->stream, DTYPE_F32, rows, places(c, c->there), (const float *)x->data + col, x->rows, c->width,
                       x->cols);
}

Tensor *kv_cache_attention(Tape *t, KvCache *c, int layer, Tensor *q, Tensor *k, Tensor *v, const AttentionSpec *spec)
{
    if (!TAPE_CHECK(t, "cached attention", q, k, v)) return NULL;
    if (t->wants_grad || q->dtype != DTYPE_F32 || !c->placed || c->placed != t->batch ||
        spec->kv_heads * spec->head_dim != c->width || layer >= c->num_layers) {
        tape_fail(t, "cached attention", "a cache of %d layers, %lld wide, cannot serve this", c->num_layers,
                  (long long)c->width);
        return NULL;
    }
    Tensor *y = tape_new(t, q->dtype, q->rows, (int64_t)spec->heads * spec->head_dim);
    if (!y) return NULL;
    float *keys = rows_of(c, layer, 0), *values = rows_of(c, layer, 1);
    store(t, c, keys, k, spec->k_col);
    store(t, c, values, v, spec->v_col);
    int32_t pieces = 2 * t->batch->num_seqs - 1;
    AttentionShape shape = {.cu_seqlens_q = c->there,
                            .cu_seqlens_k = cu_k(c, c->there),
                            .num_seqs = pieces > 0 ? pieces : 0,
                            .max_seqlen_q = t->batch->max_seqlen,
                            .max_seqlen_k = c->longest,
                            .heads = spec->heads,
                            .kv_heads = spec->kv_heads,
                            .head_dim = spec->head_dim,
                            .q_stride = q->cols,
                            .k_stride = c->width,
                            .v_stride = c->width,
                            .out_stride = y->cols,
                            .scale = spec->scale,
                            .causal = spec->causal,
                            .window = spec->window,
                            .softcap = spec->softcap};
    t->k->attention_forward(t->stream, q->dtype, y->data, NULL, (const float *)q->data + spec->q_col, keys, values,
                            &shape, NULL);
    return y;
}
