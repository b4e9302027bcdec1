/* Streams: what is common to all backends, and the CPU's: the thread pool, and scratch that grows to its largest use.
 * On the CPU work is done when a kernel returns. */
#include <stdlib.h>
#include <sys/mman.h>

#include "kernels/stream.h"

enum {
    SLOTS = 7 /* from 4 on they are the products' */,
    EMERGENCY_BYTES = 4096,
    ALIGNMENT = 64,
    HUGE_PAGE = 2 << 20,
    WORKERS_BYTES = 1 << 20,
    MEMORY_ALIGNMENT = 256
};

typedef struct Scratch {
    void *data;
    size_t bytes;
} Scratch;

typedef struct CpuStream {
    Stream base;
    void *emergency; /* what a thread may write to when memory has run out: its own EMERGENCY_BYTES */
    Scratch scratch[][SLOTS];
} CpuStream;

static void cpu_free(Stream *stream)
{
    CpuStream *s = (CpuStream *)stream;
    for (int t = 0; s->base.threads && t < threads_count(s->base.threads); t++)
        for (int slot = 0; slot < SLOTS; slot++) free(s->scratch[t][slot].data);
    threads_free(s->base.threads);
    free(s->emergency);
    free(s);
}

/* Huge pages where they are worth it: logits are read and written by strips, a page fault and a TLB miss for each 4 KiB
 * else. NULL: no memory. */
static void *scratch_new(size_t bytes, size_t *rounded)
{
    void *data;
    size_t alignment = bytes >= 2 * (size_t)HUGE_PAGE ? HUGE_PAGE : ALIGNMENT;
    *rounded = bytes ? (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
    if (*rounded < bytes || posix_memalign(&data, alignment, *rounded)) return NULL;
    if (alignment == HUGE_PAGE) madvise(data, *rounded, MADV_HUGEPAGE);
    return data;
}

static void *cpu_scratch(Stream *stream, int thread, int slot, size_t bytes)
{
    CpuStream *s = (CpuStream *)stream;
    Scratch *scratch = &s->scratch[thread][slot];
    if (bytes <= scratch->bytes && scratch->data) return scratch->data;
    free(scratch->data);
    *scratch = (Scratch){0};
    if (!(scratch->data = scratch_new(bytes, &scratch->bytes))) {
        scratch->bytes = 0;
        stream_set_failed(stream, NULL);
        return (char *)s->emergency + ((size_t)thread * SLOTS + (size_t)slot) * EMERGENCY_BYTES;
    }
    return scratch->data;
}

static void make_larger(Scratch *scratch, double bytes)
{
    Scratch more;
    if (bytes <= (double)scratch->bytes || bytes > (double)(SIZE_MAX / 2)) return;
    if (!(more.data = scratch_new((size_t)bytes, &more.bytes))) return; /* it grows when it must */
    free(scratch->data);
    *scratch = more;
}

/* Which thread takes which task is chance: all get what one of them needed. The first also has what is for all, which
 * is large: what only it has needed so far the others get up to WORKERS_BYTES. */
static void cpu_expect(Stream *stream, double factor)
{
    CpuStream *s = (CpuStream *)stream;
    int threads = threads_count(s->base.threads);
    for (int slot = 0; slot < SLOTS; slot++) {
        size_t first = s->scratch[0][slot].bytes, most = 0;
        for (int t = 1; t < threads; t++)
            if (s->scratch[t][slot].bytes > most) most = s->scratch[t][slot].bytes;
        if (most < first && most < WORKERS_BYTES) most = first < WORKERS_BYTES ? first : WORKERS_BYTES;
        make_larger(&s->scratch[0][slot], factor * (double)(first > most ? first : most));
        for (int t = 1; t < threads; t++) make_larger(&s->scratch[t][slot], factor * (double)most);
    }
}

static void *cpu_allocate(Stream *s, size_t bytes)
{
    (void)s;
    void *memory = NULL;
    return posix_memalign(&memory, MEMORY_ALIGNMENT, bytes ? bytes : 1) ? NULL : memory;
}

static void cpu_release(Stream *s, void *memory)
{
    (void)s;
    free(memory);
}

static const StreamBackend cpu = {
    .free = cpu_free, .scratch = cpu_scratch, .allocate = cpu_allocate, .release = cpu_release, .expect = cpu_expect};

Stream *stream_new_cpu(int threads)
{
    CpuStream *s = calloc(1, sizeof *s + (size_t)threads * sizeof s->scratch[0]);
    if (!s) return NULL;
    s->base.backend = &cpu;
    s->base.threads = threads_new(threads);
    s->emergency = aligned_alloc(ALIGNMENT, (size_t)threads * SLOTS * EMERGENCY_BYTES);
    if (s->base.threads && s->emergency) return &s->base;
    stream_free(&s->base);
    return NULL;
}

void stream_free(Stream *s)
{
    if (s) s->backend->free(s);
}

void stream_sync(Stream *s)
{
    if (s->backend->sync) s->backend->sync(s);
}

Threads *stream_threads(Stream *s) { return s->threads; }
void *stream_scratch(Stream *s, int thread, int slot, size_t bytes)
{
    return s->backend->scratch(s, thread, slot, bytes);
}
void stream_expect(Stream *s, double factor)
{
    if (s->backend->expect) s->backend->expect(s, factor);
}

void *stream_allocate(Stream *s, size_t bytes) { return s->backend->allocate(s, bytes); }
bool stream_is_device(const Stream *s) { return s->backend->is_device; }
bool stream_set_tf32(Stream *s, bool on) { return s->backend->set_tf32 && s->backend->set_tf32(s, on); }
bool stream_failed(const Stream *s) { return stream_has_failed(s); }
const char *stream_message(const Stream *s) { return s->message; }

void stream_release(Stream *s, void *memory)
{
    if (memory) s->backend->release(s, memory);
}

StreamMemory stream_memory(Stream *s) { return s->backend->memory ? s->backend->memory(s) : (StreamMemory){0}; }
const char *stream_memory_failure(Stream *s) { return s->backend->memory_failure ? s->backend->memory_failure(s) : ""; }

void stream_trim(Stream *s)
{
    if (s->backend->trim) s->backend->trim(s);
}

void *stream_allocate_host(Stream *s, size_t bytes)
{
    return s->backend->allocate_host ? s->backend->allocate_host(s, bytes) : s->backend->allocate(s, bytes);
}

void stream_release_host(Stream *s, void *memory)
{
    if (!memory) return;
    if (s->backend->release_host) s->backend->release_host(s, memory);
    else s->backend->release(s, memory);
}

void stream_clear(Stream *s)
{
    s->message[0] = 0;
    __atomic_store_n(&s->failed, false, __ATOMIC_SEQ_CST);
}
