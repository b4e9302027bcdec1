/* What every backend's stream begins with, so that kernels.h's functions on streams work for all of them. For backends
 * only. */
#ifndef HONE_KERNELS_STREAM_H
#define HONE_KERNELS_STREAM_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/kernels.h"

typedef struct StreamBackend {
    void (*free)(Stream *s);
    void (*sync)(Stream *s); /* NULL: nothing to wait for */
    void *(*scratch)(Stream *s, int thread, int slot, size_t bytes);
    void *(*allocate)(Stream *s, size_t bytes);
    void (*release)(Stream *s, void *memory);
    void *(*allocate_host)(Stream *s, size_t bytes); /* NULL: as `allocate` */
    void (*release_host)(Stream *s, void *memory);   /* NULL: as `release` */
    bool is_device;
    bool (*set_tf32)(Stream *s, bool on); /* NULL: there is none */
    StreamMemory (*memory)(Stream *s); /* NULL, as the next two: it keeps nothing */
    void (*trim)(Stream *s);
    const char *(*memory_failure)(Stream *s);
    void (*expect)(Stream *s, double factor); /* NULL: nothing */
} StreamBackend;

struct Stream {
    const StreamBackend *backend;
    Threads *threads;  /* NULL: the backend has none */
    bool failed;       /* atomic */
    char message[200]; /* of the first failure since the last clear; "" if that said nothing */
};

/* message may be NULL. Any thread; the message is the queueing thread's. */
static inline void stream_set_failed(Stream *s, const char *message)
{
    size_t i = 0;
    bool before = __atomic_exchange_n(&s->failed, true, __ATOMIC_SEQ_CST);
    if (before || !message) return;
    for (; message[i] && i + 1 < sizeof s->message; i++) s->message[i] = message[i];
    s->message[i] = 0;
}

/* Products of f32 operands from now on in TF32: inputs rounded to 10 bits of mantissa, sums still f32, on tensor cores.
 * Returns whether they are: false always on the CPU, which has no such thing and computes in f32, and on devices before
 * compute capability 8.0. bf16 and f16 products are what they were. */
bool stream_set_tf32(Stream *s, bool on);

static inline bool stream_has_failed(const Stream *s) { return __atomic_load_n(&s->failed, __ATOMIC_SEQ_CST); }

#endif
