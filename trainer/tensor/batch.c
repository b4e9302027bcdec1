/* One copy a batch: its arrays side by side, each at a multiple of 64 bytes. The copy is ordered on the stream, so the
 * batch before may still be in use when it is queued. */
#include "trainer/tensor/batch.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGN_ELEMENTS = 16 };

static int64_t padded(int64_t n) { return (n + ALIGN_ELEMENTS - 1) / ALIGN_ELEMENTS * ALIGN_ELEMENTS; }

static Status grow(BatchRoom *room, Stream *s, int64_t n)
{
    Status st = OK;
    if (n <= room->capacity) return OK;
    batch_room_free(room);
    room->stream = s;
    room->staging = malloc((size_t)n * sizeof(int32_t));
    room->memory = stream_allocate(s, (size_t)n * sizeof(int32_t));
    if (!room->staging || !room->memory) RAISE(MEMORY, "out of memory: %lld numbers of a batch", (long long)n);
    room->capacity = n;
done:
    return st;
}

Status batch_place(BatchRoom *room, const Kernels *k, Stream *s, const Batch *host, Batch *out)
{
    Status st = OK;
    *out = *host;
    if (!stream_is_device(s)) return OK;
    const struct { const int32_t *from, **to; int64_t n; } arrays[] = {
        {host->ids, &out->ids, host->rows},
        {host->position_ids, &out->position_ids, host->rows},
        {host->token_type_ids, &out->token_type_ids, host->rows},
        {host->labels, &out->labels, host->rows},
        {host->cu_seqlens, &out->cu_seqlens, (int64_t)host->num_seqs + 1},
        {host->sample, &out->sample, host->num_seqs},
    };
    enum { ARRAYS = sizeof arrays / sizeof *arrays };
    int64_t total = 0;
    for (int i = 0; i < ARRAYS; i++) total += padded(arrays[i].n);
    TRY(grow(room, s, total));
    int64_t at = 0;
    for (int i = 0; i < ARRAYS; i++) {
        if (!arrays[i].from) continue;
        memcpy(room->staging + at, arrays[i].from, (size_t)arrays[i].n * sizeof(int32_t));
        memset(room->staging + at + arrays[i].n, 0, (size_t)(padded(arrays[i].n) - arrays[i].n) * sizeof(int32_t));
        *arrays[i].to = room->memory + at;
        at += padded(arrays[i].n);
    }
    k->copy(s, room->memory, room->staging, (size_t)at * sizeof(int32_t));
done:
    return st;
}

void batch_room_free(BatchRoom *room)
{
    free(room->staging);
    if (room->memory) stream_release(room->stream, room->memory);
    *room = (BatchRoom){0};
}
