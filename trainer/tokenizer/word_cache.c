/* A direct-mapped cache over one pool of bytes. */
#include "trainer/tokenizer/word_cache.h"

#include <stdlib.h>

enum { SLOTS = 1 << 15, POOL = 2 << 20 };

Status word_cache_new(WordCache *cache)
{
    cache->slots = calloc(SLOTS, sizeof *cache->slots);
    cache->pool = malloc(POOL);
    cache->pool_size = 0;
    return cache->slots && cache->pool ? OK : status_raise(STATUS_MEMORY, "no memory for the tokenizer's cache");
}

void word_cache_free(WordCache *cache)
{
    free(cache->slots);
    free(cache->pool);
    *cache = (WordCache){0};
}

CachedWord *word_cache_find(WordCache *cache, const char *word, size_t size, uint64_t salt, uint64_t *hash)
{
    *hash = hash_bytes(word, size) ^ salt;
    return &cache->slots[*hash & (SLOTS - 1)];
}

void word_cache_put(WordCache *cache, CachedWord *slot, uint64_t hash, const char *word, size_t size,
                    const void *value, size_t value_bytes)
{
    size_t key = (cache->pool_size + 7) & ~(size_t)7, place = (key + size + 7) & ~(size_t)7;
    if (place + value_bytes > POOL) { /* full: begin again */
        memset(cache->slots, 0, SLOTS * sizeof *cache->slots);
        key = 0;
        place = (size + 7) & ~(size_t)7;
    }
    memcpy(cache->pool + key, word, size);
    memcpy(cache->pool + place, value, value_bytes);
    cache->pool_size = place + value_bytes;
    *slot = (CachedWord){hash, (uint32_t)key, (uint32_t)place, (uint32_t)size, (uint32_t)value_bytes};
}
