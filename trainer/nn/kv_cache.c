/* One buffer [layers][k, v][sequences][capacity][width]; a sequence's rows are dense, so the attention kernel takes
 * them where they are, and all sequences of a batch in one call: the room between the end of one sequence and the
 * beginning of the next is given to the kernel as a sequence that nobody asks about (no queries). */
#include "trainer/nn/kv_cache.h"

#include <stdlib.h>
#include <string.h>

struct KvCache {
    int num_layers, num_seqs;
    int64_t capacity, width;
    int64_t *length;
    int *seqs;            /* of this pass */
    int32_t *cu_q, *cu_k; /* of this pass: [2 * num_seqs + 1], each sequence and the gap behind it */
    const Batch *batch;
    int32_t longest;
    float *data;
};

Status kv_cache_new(int num_layers, int num_seqs, int64_t capacity, int64_t width, KvCache **out)
{
    Status st = OK;
    size_t count;
    KvCache *c = calloc(1, sizeof *c);
    if (!c) RAISE(MEMORY, "out of memory");
    *c = (KvCache){.num_layers = num_layers, .num_seqs = num_seqs, .capacity = capacity, .width = width};
    if (__builtin_mul_overflow((size_t)num_seqs, (size_t)capacity, &count) || count > INT32_MAX ||
        __builtin_mul_overflow(count, (size_t)num_layers * 2 * sizeof(float), &count) ||
        __builtin_mul_overflow(count, (size_t)width, &count))
        RAISE(
            MEMORY,
            "keys and values of %d sequences of %lld tokens are too many; ask for fewer new tokens or a smaller batch",
            num_seqs, (long long)capacity);
    c->length = calloc((size_t)num_seqs + 1, sizeof *c->length);
    c->seqs = calloc((size_t)num_seqs + 1, sizeof *c->seqs);
    c->cu_q = calloc(2 * (size_t)num_seqs + 1, sizeof *c->cu_q);
    c->cu_k = calloc(2 * (size_t)num_seqs + 1, sizeof *c->cu_k);
    c->data = malloc(count + 64);
    if (!c->length || !c->seqs || !c->cu_q || !c->cu_k || !c->data)
        RAISE(MEMORY, "out of memory: %zu MB for keys and values; ask for fewer new tokens or a smaller batch",
              count >> 20);
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
    free(c->cu_q);
    free(c->cu_k);
    free(c->data);
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
        memcpy(rows_of(c, i / 2, i % 2) + (size_t)to * seq, rows_of(c, i / 2, i % 2) + (size_t)from * seq,
               used * sizeof(float));
    c->length[to] = c->length[from];
}

Status kv_cache_begin(KvCache *c, const int *seqs, const Batch *batch)
{
    c->batch = batch;
    c->longest = 0;
    for (int i = 0; i < batch->num_seqs; i++) {
        if (seqs[i] < 0 || seqs[i] >= c->num_seqs || (i && seqs[i] <= seqs[i - 1]))
            return status_raise(STATUS_BUG, "cached sequences must be ascending and below %d: number %d is %d",
                                c->num_seqs, i, seqs[i]);
        int64_t total = c->length[seqs[i]] + batch->cu_seqlens[i + 1] - batch->cu_seqlens[i],
                first = seqs[i] * c->capacity;
        if (total > c->capacity)
            return status_raise(STATUS_BUG, "sequence %d grows to %lld tokens, the cache holds %lld", seqs[i],
                                (long long)total, (long long)c->capacity);
        c->seqs[i] = seqs[i];
        c->cu_q[2 * i] = batch->cu_seqlens[i];
        c->cu_q[2 * i + 1] = batch->cu_seqlens[i + 1];
        c->cu_k[2 * i] = (int32_t)first;
        c->cu_k[2 * i + 1] = (int32_t)(first + total);
        if (total > c->longest) c->longest = (int32_t)total;
    }
    return OK;
}

void kv_cache_advance(KvCache *c)
{
    for (int i = 0; i < c->batch->num_seqs; i++)
        c->length[c->seqs[i]] += c->batch->cu_seqlens[i + 1] - c->batch->cu_seqlens[i];
    c->batch = NULL;
}

/* The new rows of x behind those that are there. */
static void store(const Tape *t, const KvCache *c, float *rows, const Tensor *x, int64_t col)
{
    for (int i = 0; i < c->batch->num_seqs; i++) {
        float *to = rows + (c->seqs[i] * c->capacity + c->length[c->seqs[i]]) * c->width;
        for (int32_t r = c->batch->cu_seqlens[i]; r < c->batch->cu_seqlens[i + 1]; r++, to += c->width)
            t->k->copy(t->stream, to, (const float *)x->data + r * x->cols + col, (size_t)c->width * sizeof(float));
    }
}

Tensor *kv_cache_attention(Tape *t, KvCache *c, int layer, Tensor *q, Tensor *k, Tensor *v, const AttentionSpec *spec)
{
    if (!TAPE_CHECK(t, "cached attention", q, k, v)) return NULL;
    if (t->wants_grad || q->dtype != DTYPE_F32 || c->batch != t->batch || spec->kv_heads * spec->head_dim != c->width ||
        layer >= c->num_layers) {
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
    AttentionShape shape = {.cu_seqlens_q = c->cu_q,
                            .cu_seqlens_k = c->cu_k,
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
