/* Keys and values of the tokens that were read already, for generation: each step computes only its new rows. They lie
 * where the stream's kernels work.
 *
 *     kv_cache_begin(cache, seqs, &batch, &placed)    the batch's sequence i continues the cached sequence seqs[i]
 *     tape->cache = cache; model_forward(…)           attention sees the past, and stores the new rows
 *     kv_cache_advance(cache)                         the new rows are past */
#ifndef HONE_NN_KV_CACHE_H
#define HONE_NN_KV_CACHE_H

#include "trainer/autograd/ops.h"

typedef struct KvCache KvCache;

/* Room for `capacity` tokens in each of num_seqs sequences; width: kv_heads * head_dim. f32. On the CPU memory is taken
 * as it is filled. k and s are borrowed. */
Status kv_cache_new(const Kernels *k, Stream *s, int num_layers, int num_seqs, int64_t capacity, int64_t width,
                    KvCache **out);
void kv_cache_free(KvCache *c); /* NULL is fine */
int64_t kv_cache_length(const KvCache *c, int seq);
/* `to` continues as `from` does: several answers to one prompt. */
void kv_cache_copy(KvCache *c, int from, int to);
/* Forgets what a sequence has beyond `length` tokens. */
void kv_cache_cut(KvCache *c, int seq, int64_t length);
/* Room for `capacity` tokens in each sequence, which keep what they have; not between begin and advance. After an error
 * the cache is as it was. */
Status kv_cache_grow(KvCache *c, int64_t capacity);
/* Before a forward pass over `batch`, which the host can read, and `placed`, the same where kernels read it, which is
 * the tape's (both borrowed until advance): seqs [num_seqs] ascending. The pass before has been waited for. Fails when
 * a sequence would outgrow the capacity. */
Status kv_cache_begin(KvCache *c, const int *seqs, const Batch *batch, const Batch *placed);
int64_t kv_cache_longest(const KvCache *c); /* tokens of the longest sequence of the pass, past and new */
/* After it: its rows are part of the past. */
void kv_cache_advance(KvCache *c);

/* op_attention in evaluation, over the past and the new rows, which are stored. */
Tensor *kv_cache_attention(Tape *t, KvCache *c, int layer, Tensor *q, Tensor *k, Tensor *v, const AttentionSpec *spec);

#endif
