/* The key of a token cache: a hash of the bytes of all that the content depends on. Names and times of files do not
 * count. */
#ifndef HONE_DATA_CACHE_KEY_H
#define HONE_DATA_CACHE_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "trainer/base/status.h"
#include "trainer/tokenizer/tokenizer.h"

typedef struct CacheKey {
    struct XXH3_state_s *hash;
    char *buffer;
    int64_t source_bytes; /* of the files added by cache_key_files */
} CacheKey;

/* kind: what is made, "clm". Free with cache_key_free, also after an error. */
Status cache_key_begin(CacheKey *k, const char *kind);
void cache_key_numbers(CacheKey *k, const int64_t *numbers, size_t count);
void cache_key_text(CacheKey *k, const char *text); /* NULL differs from "" */
Status cache_key_files(CacheKey *k, const char *const *paths, int count);
/* The files that the tokenizer was loaded from, and the chat template beside them. */
Status cache_key_tokenizer(CacheKey *k, const Tokenizer *tokenizer, const char *dir);
void cache_key_end(const CacheKey *k, uint64_t key[2]);
void cache_key_free(CacheKey *k);

#endif
