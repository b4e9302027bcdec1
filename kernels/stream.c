/* The CPU's stream: the thread pool, and scratch that grows to its largest use. Work is done when a kernel returns. */
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "kernels/kernels.h"

enum { SLOTS = 6 /* 4 and 5 are the products' */, EMERGENCY_BYTES = 4096, ALIGNMENT = 64, HUGE_PAGE = 2 << 20 };

typedef struct Scratch { void *data; size_t bytes; } Scratch;

struct Stream {
    Threads *threads;
    atomic_bool failed;
    void *emergency; /* what a thread may write to when memory has run out: its own EMERGENCY_BYTES */
    Scratch scratch[][SLOTS];
};

Stream *stream_new_cpu(int threads)
{
    Stream *s = calloc(1, sizeof *s + (size_t)threads * sizeof s->scratch[0]);
    if (!s) return NULL;
    s->threads = threads_new(threads);
    s->emergency = aligned_alloc(ALIGNMENT, (size_t)threads * SLOTS * EMERGENCY_BYTES);
    if (s->threads && s->emergency) return s;
    stream_free(s);
    return NULL;
}

void stream_free(Stream *s)
{
    if (!s) return;
    for (int t = 0; s->threads && t < threads_count(s->threads); t++)
        for (int slot = 0; slot < SLOTS; slot++) free(s->scratch[t][slot].data);
    threads_free(s->threads);
    free(s->emergency);
    free(s);
}

void stream_sync(Stream *s) { (void)s; }
Threads *stream_threads(Stream *s) { return s->threads; }
bool stream_failed(const Stream *s) { return atomic_load(&s->failed); }
void stream_clear(Stream *s) { atomic_store(&s->failed, false); }

void *stream_scratch(Stream *s, int thread, int slot, size_t bytes)
{
    Scratch *scratch = &s->scratch[thread][slot];
    if (bytes <= scratch->bytes && scratch->data) return scratch->data;
    /* Huge pages where they are worth it: logits are read and written by strips, a page fault and a TLB miss for each 4 KiB else. */
    size_t alignment = bytes >= 2 * (size_t)HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
    size_t rounded = bytes ? (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
    free(scratch->data);
    *scratch = (Scratch){0};
    if (rounded < bytes || posix_memalign(&scratch->data, alignment, rounded)) {
        scratch->data = NULL;
        atomic_store(&s->failed, true);
        return (char *)s->emergency + ((size_t)thread * SLOTS + (size_t)slot) * EMERGENCY_BYTES;
    }
    if (alignment == HUGE_PAGE) madvise(scratch->data, rounded, MADV_HUGEPAGE);
    scratch->bytes = rounded;
    return scratch->data;
}
