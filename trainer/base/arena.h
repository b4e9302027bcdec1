/* Memory by lifetime: an arena hands out zeroed memory that is given back all at once.
 *
 * The first failure is kept, so a function may allocate several times and test once; but every pointer must be tested
 * before it is used. Not thread-safe: one owner at a time. */
#ifndef HONE_BASE_ARENA_H
#define HONE_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "trainer/base/status.h"

typedef struct Arena Arena;

Status arena_new(Arena **out);
void arena_free(Arena *arena);  /* NULL is fine */
void arena_reset(Arena *arena); /* gives back everything, keeps the largest block for the next use */
/* The next `size` bytes, with what alignment takes, are there in one block, untouched. */
Status arena_reserve(Arena *arena, size_t size);

/* Zeroed, aligned to 16 bytes; NULL (and this thread's message set) when there is no memory. size 0 gives a valid
 * pointer. */
void *arena_alloc(Arena *arena, size_t size);
/* count * size with the overflow checked. */
void *arena_array(Arena *arena, size_t count, size_t size);
/* At least `align` (a power of two). */
void *arena_alloc_aligned(Arena *arena, size_t size, size_t align);
char *arena_strdup(Arena *arena, const char *text);
char *arena_strndup(Arena *arena, const char *text, size_t length); /* copies length bytes and ends them with NUL */
char *arena_printf(Arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Grows an array: copies the old elements, doubles *capacity until it holds `need`. The old block stays until reset. */
void *arena_grow(Arena *arena, void *old, size_t *capacity, size_t need, size_t element_size);

size_t arena_bytes(const Arena *arena); /* handed out since the last reset */

/* ptr = zeroed array of count elements of its type, or done. */
#define TRY_NEW(arena, ptr, count)                                            \
    do {                                                                      \
        (ptr) = arena_array((arena), (size_t)(count), sizeof *(ptr));         \
        if (!(ptr)) {                                                         \
            st = STATUS_MEMORY;                                               \
            goto done;                                                        \
        }                                                                     \
    } while (0)

/* For pointers that an arena_ call returned. */
#define TRY_MEMORY(ptr)            \
    do {                           \
        if (!(ptr)) {              \
            st = STATUS_MEMORY;    \
            goto done;             \
        }                          \
    } while (0)

/* Tests make the nth allocation from now on fail (0: none). */
void arena_fail_at(long nth);

#endif
