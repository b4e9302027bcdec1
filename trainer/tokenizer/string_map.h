/* Texts to numbers: vocabularies. Built once in an arena, then constant. */
#ifndef HONE_TOKENIZER_STRING_MAP_H
#define HONE_TOKENIZER_STRING_MAP_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "trainer/base/arena.h"

typedef struct StringEntry {
    const char *text; /* borrowed, NUL-terminated */
    uint32_t size;
    int32_t value;
} StringEntry;

typedef struct StringMap {
    StringEntry *entries;
    uint32_t *slots; /* entry + 1; 0: empty */
    size_t count, most, mask;
} StringMap;

Status string_map_new(Arena *arena, size_t most, StringMap *out); /* for at most `most` texts */
/* The value's place: where it is already, or new with `value`. text must live as long as the map. */
int32_t *string_map_put(StringMap *map, const char *text, size_t size, int32_t value, bool *is_new);
int32_t string_map_find(const StringMap *map, const char *text, size_t size); /* -1: none */

/* A hash of few instructions for short texts. */
static inline uint64_t hash_bytes(const char *text, size_t size)
{
    uint64_t h = size * 0x9E3779B97F4A7C15u, word;
    for (; size >= 8; text += 8, size -= 8) {
        memcpy(&word, text, 8);
        h = (h ^ word) * 0xD6E8FEB86659FD93u;
        h ^= h >> 32;
    }
    word = 0;
    memcpy(&word, text, size);
    h = (h ^ word) * 0xD6E8FEB86659FD93u;
    h ^= h >> 32;
    h *= 0xD6E8FEB86659FD93u;
    return h ^ h >> 29;
}

#endif
