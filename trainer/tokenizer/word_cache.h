/* The words that a thread has seen, and what a model made of them: words repeat. Of a fixed size: a word takes the
 * place
 * of another with the same slot, and a full pool begins again. */
#ifndef HONE_TOKENIZER_WORD_CACHE_H
#define HONE_TOKENIZER_WORD_CACHE_H

#include "trainer/base/status.h"
#include "trainer/tokenizer/string_map.h"

enum { WORD_CACHE_KEY = 256 }; /* longer words are not kept */

typedef struct CachedWord {
    uint64_t hash;
    uint32_t key, value;            /* places in the pool */
    uint32_t key_size, value_bytes; /* value_bytes 0: empty slot */
} CachedWord;

typedef struct WordCache {
    CachedWord *slots;
    char *pool;
    size_t pool_size;
} WordCache;

Status word_cache_new(WordCache *cache); /* all zero before */
void word_cache_free(WordCache *cache);
/* The word's slot; word_cache_value tells whether it holds this word. */
CachedWord *word_cache_find(WordCache *cache, const char *word, size_t size, uint64_t salt, uint64_t *hash);
void word_cache_put(WordCache *cache, CachedWord *slot, uint64_t hash, const char *word, size_t size,
                    const void *value, size_t value_bytes);

/* What is kept for the word, aligned to 8; NULL: nothing. */
static inline const void *word_cache_value(const WordCache *cache, const CachedWord *slot, uint64_t hash,
                                           const char *word, size_t size)
{
    bool same = slot->value_bytes && slot->hash == hash && slot->key_size == size &&
                !memcmp(cache->pool + slot->key, word, size);
    return same ? cache->pool + slot->value : NULL;
}

#endif
