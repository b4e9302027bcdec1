/* See cache_key.h: XXH3-128. */
#include "trainer/data/cache_key.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "trainer/base/file.h"

enum { HASH_BUFFER = 1 << 18 };

Status cache_key_begin(CacheKey *k, const char *kind)
{
    *k = (CacheKey){.buffer = malloc(HASH_BUFFER), .hash = XXH3_createState()};
    if (!k->buffer || !k->hash) return status_raise(STATUS_MEMORY, "no memory to read data files");
    XXH3_128bits_reset(k->hash);
    XXH3_128bits_update(k->hash, kind, strlen(kind) + 1);
    return OK;
}

void cache_key_numbers(CacheKey *k, const int64_t *numbers, size_t count)
{
    XXH3_128bits_update(k->hash, numbers, count * sizeof *numbers);
}

void cache_key_text(CacheKey *k, const char *text)
{
    const int64_t bytes = text ? (int64_t)strlen(text) : -1;
    cache_key_numbers(k, &bytes, 1);
    if (text) XXH3_128bits_update(k->hash, text, (size_t)bytes);
}

/* The file's bytes, then their number: no two lists of files give the same. */
static Status add_file(CacheKey *k, const char *path, uint64_t *bytes)
{
    Status st = OK;
    File *f = NULL;
    size_t got = 1;

    *bytes = 0;
    TRY(file_open(path, &f));
    while (got) {
        TRY(file_read_some(f, k->buffer, HASH_BUFFER, &got));
        XXH3_128bits_update(k->hash, k->buffer, got);
        *bytes += got;
    }
    XXH3_128bits_update(k->hash, bytes, sizeof *bytes);
done:
    file_close(f);
    return st;
}

Status cache_key_files(CacheKey *k, const char *const *paths, int count)
{
    Status st = OK;
    for (int i = 0; i < count; i++) {
        uint64_t bytes;
        TRY(add_file(k, paths[i], &bytes));
        k->source_bytes += (int64_t)bytes;
    }
done:
    return st;
}

Status cache_key_tokenizer(CacheKey *k, const Tokenizer *tokenizer, const char *dir)
{
    Status st = OK;
    Arena *arena = NULL;
    TRY(arena_new(&arena));
    for (const char *const *name = tokenizer_files(tokenizer); *name; name++) {
        uint64_t bytes;
        const char *path = path_join(arena, dir, *name);
        TRY_MEMORY(path);
        XXH3_128bits_update(k->hash, *name, strlen(*name) + 1);
        TRY(add_file(k, path, &bytes));
    }
done:
    arena_free(arena);
    return st;
}

void cache_key_end(const CacheKey *k, uint64_t key[2])
{
    const XXH128_hash_t digest = XXH3_128bits_digest(k->hash);
    key[0] = digest.low64;
    key[1] = digest.high64;
}

void cache_key_free(CacheKey *k)
{
    if (k->hash) XXH3_freeState(k->hash);
    free(k->buffer);
    *k = (CacheKey){0};
}
