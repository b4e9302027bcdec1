/* Keys and values of the tokens that were read already, for generation: each step computes only its new rows. */
#ifndef HONE_NN_KV_CACHE_H
#define HONE_NN_KV_CACHE_H

#include "trainer/autograd/ops.h"

typedef struct KvCache KvCache;

/* Room for `capacity` tokens in each of num_seqs sequences; width: kv_heads * head_dim. f32. */
Status kv_cache_new(int num_layers, int num_seqs, int64_t capacity, int64_t width, KvCache **out);
void kv_cache_free(KvCache *c);
int64_t kv_cache_length(const KvCache *c, int seq);
void kv_cache_truncate(KvCache *c, int seq, int64_t length);
/* Chooses the cached sequences that the next batch's sequences continue: batch sequence i is cache sequence seqs[i] (borrowed). */
void kv_cache_select(KvCache *c, const int *seqs);
/* After a forward pass over `batch`: its rows are part of the past. Fails, before, when a sequence would outgrow the capacity. */
Status kv_cache_check(const KvCache *c, const Batch *batch);
void kv_cache_advance(KvCache *c, const Batch *batch);

/* op_attention in evaluation, over the past and the new rows, which are stored. */
Tensor *kv_cache_attention(Tape *t, KvCache *c, int layer, Tensor *q, Tensor *k, Tensor *v, const AttentionSpec *spec);

#endif
