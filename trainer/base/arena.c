/* A chain of blocks, each twice the last up to 1 MiB; larger requests get a block of their own. */
#include "trainer/base/arena.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct Block {
    struct Block *next;
    size_t size, used;
    _Alignas(64) unsigned char data[];
} Block;

struct Arena {
    Block *blocks; /* the newest first */
    size_t next_size, bytes;
};

enum { FIRST_BLOCK = 4096, LARGEST_BLOCK = 1 << 20 };

static _Atomic long fail_countdown;

void arena_fail_at(long nth) { atomic_store(&fail_countdown, nth); }

static int must_fail(void)
{
    return atomic_load(&fail_countdown) > 0 && atomic_fetch_sub(&fail_countdown, 1) == 1;
}

Status arena_new(Arena **out)
{
    *out = must_fail() ? NULL : calloc(1, sizeof **out);
    if (!*out) return status_raise(STATUS_MEMORY, "out of memory");
    (*out)->next_size = FIRST_BLOCK;
    return OK;
}

void arena_free(Arena *arena)
{
    if (!arena) return;
    arena_reset(arena);
    free(arena->blocks);
    free(arena);
}

void arena_reset(Arena *arena)
{
    Block *keep = arena->blocks;
    for (Block *b = keep; b; b = b->next)
        if (b->size > keep->size) keep = b;
    for (Block *b = arena->blocks, *next; b; b = next) {
        next = b->next;
        if (b != keep) free(b);
    }
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
    }
    arena->blocks = keep;
    arena->bytes = 0;
}

static Block *block_for(Arena *arena, size_t size)
{
    size_t want = size > arena->next_size ? size : arena->next_size;
    if (want > SIZE_MAX - sizeof(Block) - 64) return NULL;
    Block *b = aligned_alloc(64, (sizeof(Block) + want + 63) / 64 * 64);
    if (!b) return NULL;
    *b = (Block){.next = arena->blocks, .size = want};
    arena->blocks = b;
    if (arena->next_size < LARGEST_BLOCK) arena->next_size *= 2;
    return b;
}

Status arena_reserve(Arena *arena, size_t size)
{
    Block *b = arena->blocks;
    if (b && size <= b->size - b->used) return OK;
    if (!must_fail() && size <= SIZE_MAX / 2 && block_for(arena, size)) return OK;
    return status_raise(STATUS_MEMORY, "out of memory: %zu bytes asked for", size);
}

void *arena_alloc_aligned(Arena *arena, size_t size, size_t align)
{
    Block *b = arena->blocks;
    size_t start = b ? (b->used + align - 1) & ~(align - 1) : 0;
    if (!b || start > b->size || size > b->size - start) {
        b = must_fail() || size > SIZE_MAX / 2 ? NULL : block_for(arena, size);
        if (!b) {
            status_raise(STATUS_MEMORY, "out of memory: %zu bytes asked for", size);
            return NULL;
        }
        start = 0;
    }
    b->used = start + size;
    arena->bytes += size;
    return size ? memset(b->data + start, 0, size) : b->data + start;
}

void *arena_alloc(Arena *arena, size_t size) { return arena_alloc_aligned(arena, size, 16); }

void *arena_array(Arena *arena, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) {
        status_raise(STATUS_MEMORY, "out of memory: %zu elements of %zu bytes asked for", count, size);
        return NULL;
    }
    return arena_alloc(arena, count * size);
}

char *arena_strndup(Arena *arena, const char *text, size_t length)
{
    char *copy = arena_alloc(arena, length + 1);
    return copy ? memcpy(copy, text, length) : NULL;
}

char *arena_strdup(Arena *arena, const char *text) { return arena_strndup(arena, text, strlen(text)); }

char *arena_printf(Arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = n < 0 ? NULL : arena_alloc(arena, (size_t)n + 1);
    if (text) vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}

void *arena_grow(Arena *arena, void *old, size_t *capacity, size_t need, size_t element_size)
{
    if (need <= *capacity) return old;
    size_t grown = *capacity ? *capacity : 8;
    while (grown < need) grown *= 2;
    void *fresh = arena_array(arena, grown, element_size);
    if (!fresh) return NULL;
    if (*capacity) memcpy(fresh, old, *capacity * element_size);
    *capacity = grown;
    return fresh;
}

size_t arena_bytes(const Arena *arena) { return arena->bytes; }
