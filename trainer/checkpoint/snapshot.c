/* How guards and the writer hand chunks to each other: one atomic state each, and a lock only for the memory budget and
 * for waiting. A guard waits when the budget is spent, until the writer has taken the chunk or has given budget back.
 */
#include "trainer/checkpoint/snapshot.h"

#include <sched.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LIVE, BUSY, COPIED, DONE };

Status snapshot_init(Snapshot *s, uint64_t budget)
{
    *s = (Snapshot){.budget = budget};
    if (pthread_mutex_init(&s->lock, NULL) != 0 || pthread_cond_init(&s->changed, NULL) != 0)
        return status_raise(STATUS_MEMORY, "out of memory");
    return OK;
}

void snapshot_clear(Snapshot *s)
{
    atomic_store(&s->left, 0);
    for (size_t i = 0; i < s->count; i++) free(s->chunks[i].copy);
    free(s->chunks);
    free(s->by_address);
    free(s->reach);
    s->chunks = NULL;
    s->by_address = NULL;
    s->reach = NULL;
    s->count = s->capacity = 0;
    s->used = 0;
}

void snapshot_destroy(Snapshot *s)
{
    snapshot_clear(s);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->changed);
}

static Status add_chunk(Snapshot *s, const char *at, uint32_t bytes)
{
    if (s->count == s->capacity) {
        size_t grown = s->capacity ? 2 * s->capacity : 256;
        Chunk *fresh = realloc(s->chunks, grown * sizeof *fresh);
        if (!fresh) return status_raise(STATUS_MEMORY, "out of memory for a save");
        s->chunks = fresh;
        s->capacity = grown;
    }
    Chunk *c = &s->chunks[s->count++];
    c->at = at;
    c->copy = NULL;
    c->bytes = bytes;
    atomic_init(&c->state, LIVE);
    return OK;
}

Status snapshot_add(Snapshot *s, const void *at, uint64_t bytes, size_t element)
{
    Status st = OK;
    uint32_t step = (uint32_t)(CHUNK_BYTES / element * element);
    for (uint64_t i = 0; i < bytes; i += step)
        TRY(add_chunk(s, (const char *)at + i, (uint32_t)(bytes - i < step ? bytes - i : step)));
done:
    return st;
}

static int by_place(const void *a, const void *b)
{
    const Chunk *x = *(Chunk *const *)a, *y = *(Chunk *const *)b;
    return x->at < y->at ? -1 : x->at > y->at;
}

Status snapshot_start(Snapshot *s)
{
    Status st = OK;
    s->by_address = malloc((s->count + 1) * sizeof *s->by_address);
    s->reach = malloc((s->count + 1) * sizeof *s->reach);
    if (!s->by_address || !s->reach) RAISE(MEMORY, "out of memory for a save");
    for (size_t i = 0; i < s->count; i++) s->by_address[i] = &s->chunks[i];
    if (s->count) qsort(s->by_address, s->count, sizeof *s->by_address, by_place);
    for (size_t i = 0; i < s->count; i++) {
        const char *end = s->by_address[i]->at + s->by_address[i]->bytes;
        s->reach[i] = i && s->reach[i - 1] > end ? s->reach[i - 1] : end;
    }
    s->used = s->peak = 0;
    atomic_store(&s->wait_ns, 0);
    atomic_store(&s->left, s->count);
done:
    return st;
}

static void wake(Snapshot *s, uint64_t freed)
{
    pthread_mutex_lock(&s->lock);
    s->used -= freed;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
}

static bool enter(Chunk *c)
{
    int live = LIVE;
    return atomic_compare_exchange_strong(&c->state, &live, BUSY);
}

const void *snapshot_take(Snapshot *s, size_t i, void *buffer)
{
    Chunk *c = &s->chunks[i];
    const void *data = buffer;
    while (!enter(c) && atomic_load(&c->state) != COPIED) sched_yield(); /* a guard is copying it: microseconds */
    if (c->copy)
        data = c->copy; /* BUSY by us: copy is NULL; COPIED: it is the guard's, complete */
    else
        memcpy(buffer, c->at, c->bytes);
    atomic_store(&c->state, DONE);
    atomic_fetch_sub(&s->left, 1);
    wake(s, 0);
    return data;
}

void snapshot_release(Snapshot *s, size_t i)
{
    Chunk *c = &s->chunks[i];
    if (!c->copy) return;
    free(c->copy);
    c->copy = NULL;
    wake(s, c->bytes);
}

void snapshot_abandon(Snapshot *s, size_t first)
{
    for (size_t i = first; i < s->count; i++) {
        Chunk *c = &s->chunks[i];
        while (!enter(c) && atomic_load(&c->state) != COPIED) sched_yield();
        atomic_store(&c->state, DONE);
        atomic_fetch_sub(&s->left, 1);
        snapshot_release(s, i);
    }
    wake(s, 0);
}

/* Takes c's bytes from the budget; false: the writer came first. Waits where there is none. */
static bool reserve(Snapshot *s, const Chunk *c)
{
    bool ours = true;
    pthread_mutex_lock(&s->lock);
    if (s->used + c->bytes > s->budget && atomic_load(&c->state) == LIVE) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        while (s->used + c->bytes > s->budget && atomic_load(&c->state) == LIVE)
            pthread_cond_wait(&s->changed, &s->lock);
        clock_gettime(CLOCK_MONOTONIC, &to);
        atomic_fetch_add(&s->wait_ns, (uint64_t)((to.tv_sec - from.tv_sec) * 1000000000 + to.tv_nsec - from.tv_nsec));
    }
    if (s->used + c->bytes > s->budget)
        ours = false;
    else
        s->used += c->bytes;
    if (s->used > s->peak) s->peak = s->used;
    pthread_mutex_unlock(&s->lock);
    return ours;
}

static void save_chunk(Snapshot *s, Chunk *c)
{
    while (atomic_load(&c->state) == LIVE) {
        if (!reserve(s, c)) continue;
        void *copy = malloc(c->bytes);
        bool entered = copy && enter(c);
        if (entered) {
            memcpy(copy, c->at, c->bytes);
            c->copy = copy;
            atomic_store(&c->state, COPIED);
            return;
        }
        free(copy);
        wake(s, c->bytes);
        if (!copy) sched_yield(); /* no memory: as good as no budget; the writer gets there */
    }
    while (atomic_load(&c->state) == BUSY) sched_yield();
}

void snapshot_guard(Snapshot *s, const void *p, size_t bytes)
{
    if (atomic_load_explicit(&s->left, memory_order_acquire) == 0 || bytes == 0) return;
    const char *begin = p, *end = begin + bytes;
    size_t low = 0, high = s->count; /* the first chunk that may reach beyond begin */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->reach[middle] > begin)
            high = middle;
        else
            low = middle + 1;
    }
    for (; low < s->count && s->by_address[low]->at < end; low++) {
        Chunk *c = s->by_address[low];
        if (c->at + c->bytes > begin && atomic_load(&c->state) != DONE) save_chunk(s, c);
    }
}
