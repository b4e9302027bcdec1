/* One buffer [layers][sequences][k, v][capacity][width]; a sequence's rows are dense, so the attention kernel takes them as they are. */
#include "trainer/nn/kv_cache.h"

#include <stdlib.h>
#include <string.h>

struct KvCache {
    int num_layers, num_seqs;
    int64_t capacity, width;
    int64_t *length;
    const int *seqs;
    float *data;
};

Status kv_cache_new(int num_layers, int num_seqs, int64_t capacity, int64_t width, KvCache **out)
{
    Status st = OK;
    KvCache *c = calloc(1, sizeof *c);
    if (!c) RAISE(MEMORY, "out of memory");
    *c = (KvCache){.num_layers = num_layers, .num_seqs = num_seqs, .capacity = capacity, .width = width};
    size_t count = (size_t)num_layers * (size_t)num_seqs * 2 * (size_t)capacity * (size_t)width;
    c->length = calloc((size_t)num_seqs + 1, sizeof *c->length);
    c->data = malloc(count * sizeof(float) + 64);
    if (!c->length || !c->data)
        RAISE(MEMORY, "out of memory: %zu MB for keys and values; ask for fewer new tokens or a smaller batch", count * sizeof(float) >> 20);
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
    free(c->data);
    free(c);
}

int64_t kv_cache_length(const KvCache *c, int seq) { return c->length[seq]; }
void kv_cache_truncate(KvCache *c, int seq, int64_t length) { c->length[seq] = length; }
void kv_cache_select(KvCache *c, const int *seqs) { c->seqs = seqs; }

Status kv_cache_check(const KvCache *c, const Batch *batch)
{
    for (int i = 0; i < batch->num_seqs; i++) {
        int64_t total = c->length[c->seqs[i]] + batch->cu_seqlens[i + 1] - batch->cu_seqlens[i];
        if (total > c->capacity)
            return status_raise(STATUS_BUG, "sequence %d grows to %lld tokens, the cache holds %lld", i, (long long)total,
                                (long long)c->capacity);
    }
    return OK;
}

void kv_cache_advance(KvCache *c, const Batch *batch)
{
    for (int i = 0; i < batch->num_seqs; i++) c->length[c->seqs[i]] += batch->cu_seqlens[i + 1] - batch->cu_seqlens[i];
}

static float *rows_of(const KvCache *c, int layer, int seq, int value)
{
    return c->data + ((((size_t)layer * (size_t)c->num_seqs + (size_t)seq) * 2 + (size_t)value) * (size_t)c->capacity) * (size_t)c->width;
}

static void store(const KvCache *c, float *rows, int64_t at, const Tensor *x, int64_t col, int32_t begin, int32_t end)
{
    for (int32_t r = begin; r < end; r++)
        memcpy(rows + (at + r - begin) * c->width, (const float *)x->data + r * x->cols + col, (size_t)c->width * sizeof(float));
}

Tensor *kv_cache_attention(Tape *t, KvCache *c, int layer, Tensor *q, Tensor *k, Tensor *v, const AttentionSpec *spec)
{
    if (!TAPE_CHECK(t, "cached attention", q, k, v)) return NULL;
    if (t->wants_grad || spec->kv_heads * spec->head_dim != c->width || layer >= c->num_layers) {
        tape_fail(t, "cached attention", "a cache of %d layers, %lld wide, cannot serve this", c->num_layers, (long long)c->width);
        return NULL;
    }
    Tensor *y = tape_new(t, q->dtype, q->rows, (int64_t)spec->heads * spec->head_dim);
    if (!y) return NULL;
    const Batch *batch = t->batch;
    for (int i = 0; i < batch->num_seqs; i++) {
        int32_t begin = batch->cu_seqlens[i], end = batch->cu_seqlens[i + 1], seq = c->seqs[i];
        float *keys = rows_of(c, layer, seq, 0), *values = rows_of(c, layer, seq, 1);
        store(c, keys, c->length[seq], k, spec->k_col, begin, end);
        store(c, values, c->length[seq], v, spec->v_col, begin, end);
        int32_t new_rows[2] = {0, end - begin}, all_rows[2] = {0, (int32_t)c->length[seq] + end - begin};
        AttentionShape shape = {.cu_seqlens_q = new_rows, .cu_seqlens_k = all_rows, .num_seqs = 1, .max_seqlen_q = new_rows[1],
                                .max_seqlen_k = all_rows[1], .heads = spec->heads, .kv_heads = spec->kv_heads,
                                .head_dim = spec->head_dim, .q_stride = q->cols, .k_stride = c->width, .v_stride = c->width,
                                .out_stride = y->cols, .scale = spec->scale, .causal = spec->causal, .window = spec->window,
                                .softcap = spec->softcap};
        t->k->attention_forward(t->stream, q->dtype, (float *)y->data + begin * y->cols, NULL,
                                (const float *)q->data + begin * q->cols + spec->q_col, keys, values, &shape, NULL);
    }
    return y;
}
