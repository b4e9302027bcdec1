/* One copy a batch: its arrays side by side, each at a multiple of 64 bytes, from pinned memory, on a queue of its own.
 * Two marks a slot keep the order: the copy waits until what was computed with the slot's last batch is done, the host
 * (which is two batches ahead then) until the slot's last copy is. */
#include "trainer/tensor/batch.h"

#include <string.h>

enum { ALIGN_ELEMENTS = 16 };

static int64_t padded(int64_t n) { return (n + ALIGN_ELEMENTS - 1) / ALIGN_ELEMENTS * ALIGN_ELEMENTS; }

static Status open_room(BatchRoom *room, Stream *s)
{
    Status st = OK;
    char why[DEVICE_WHY_BYTES];
    if (room->copies) return OK;
    room->stream = s;
    if (!(room->queues = device_ranks(why)) || !(room->copies = room->queues->beside(s, why)))
        RAISE(MEMORY, "a queue for copies: %s", why);
    for (int i = 0; i < 2; i++) {
        room->slots[i].copied = room->queues->mark_new();
        room->slots[i].used = room->queues->mark_new();
        if (!room->slots[i].copied || !room->slots[i].used) RAISE(MEMORY, "out of memory: marks of a batch");
    }
done:
    return st;
}

/* What was computed with it may still be queued. */
static void empty(BatchRoom *room, BatchSlot *slot)
{
    if (slot->memory) room->queues->mark_wait(slot->copied, room->copies);
    stream_release_host(room->stream, slot->staging);
    stream_release(room->stream, slot->memory);
    slot->staging = slot->memory = NULL;
    slot->capacity = 0;
}

static Status grow(BatchRoom *room, BatchSlot *slot, int64_t n)
{
    Status st = OK;
    if (n <= slot->capacity) return OK;
    empty(room, slot);
    slot->staging = stream_allocate_host(room->stream, (size_t)n * sizeof(int32_t));
    slot->memory = stream_allocate(room->stream, (size_t)n * sizeof(int32_t));
    if (!slot->staging || !slot->memory)
        RAISE(MEMORY, "out of memory: %lld numbers of a batch%s", (long long)n,
              slot->staging ? stream_memory_failure(room->stream) : " in pinned memory");
    room->queues->mark_set(slot->used, room->stream); /* it may have been another's */
    slot->capacity = n;
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
    int64_t total = 0, at = 0;
    for (int i = 0; i < ARRAYS; i++) total += padded(arrays[i].n);
    TRY(open_room(room, s));
    room->queues->mark_set(room->slots[room->now].used, s);
    BatchSlot *slot = &room->slots[room->now ^= 1];
    if (total > slot->capacity) { /* both at once: the next is about as large */
        int64_t wish = total + total / 16, more = slot->capacity + slot->capacity / 2;
        for (int i = 0; i < 2; i++) TRY(grow(room, &room->slots[i], wish > more ? wish : more));
    }
    if (!room->queues->mark_is_reached(slot->copied)) room->queues->mark_wait(slot->copied, s);
    for (int i = 0; i < ARRAYS; i++) {
        if (!arrays[i].from) continue;
        memcpy(slot->staging + at, arrays[i].from, (size_t)arrays[i].n * sizeof(int32_t));
        memset(slot->staging + at + arrays[i].n, 0, (size_t)(padded(arrays[i].n) - arrays[i].n) * sizeof(int32_t));
        *arrays[i].to = slot->memory + at;
        at += padded(arrays[i].n);
    }
    room->queues->mark_order(slot->used, room->copies);
    k->copy(room->copies, slot->memory, slot->staging, (size_t)at * sizeof(int32_t));
    room->queues->mark_set(slot->copied, room->copies);
    room->queues->mark_order(slot->copied, s);
    if (stream_failed(room->copies)) RAISE(BUG, "a batch's copy: %s", stream_message(room->copies));
done:
    return st;
}

void batch_room_free(BatchRoom *room)
{
    if (!room->queues) return;
    for (int i = 0; i < 2; i++) {
        empty(room, &room->slots[i]);
        room->queues->mark_free(room->slots[i].copied);
        room->queues->mark_free(room->slots[i].used);
    }
    stream_free(room->copies);
    *room = (BatchRoom){0};
}
