/* The host's: mmap(PROT_NONE) of all there is, made accessible 8 MiB at a time; huge pages where the system has them to
 * give. A device's: blocks from its stream. */
#include "trainer/tensor/region.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STEP = 8 << 20, ALIGNMENT = 64, DEVICE_ALIGNMENT = 256, FIRST_BLOCK = 2 << 20 };

Status region_open(Region *r, Stream *s)
{
    if (s && stream_is_device(s)) {
        *r = (Region){.device = s, .reserved = SIZE_MAX / 4};
        return OK;
    }
    size_t page = (size_t)sysconf(_SC_PAGESIZE), reserve = (size_t)sysconf(_SC_PHYS_PAGES) * page / STEP * STEP;
    for (; reserve >= STEP; reserve /= 2) {
        void *base = mmap(NULL, reserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED) continue;
        *r = (Region){.base = base, .reserved = reserve};
        return OK;
    }
    return status_raise(STATUS_MEMORY, "out of memory: no address space for activations");
}

static void release_blocks(Region *r)
{
    while (r->num_blocks) stream_release(r->device, r->blocks[--r->num_blocks].data);
    r->committed = 0;
}

void region_close(Region *r)
{
    if (r->base) munmap(r->base, r->reserved);
    release_blocks(r);
    *r = (Region){0};
}

/* failure: what the device says, or "". */
static void *out_of_memory(const Region *r, size_t bytes, const char *failure)
{
    status_raise(STATUS_MEMORY,
                 "out of memory: %zu MB of activations%s%s; lower per_device_train_batch_size, or set "
                 "gradient_checkpointing: true",
                 (r->used + bytes) >> 20, r->device ? " on the device" : "", failure);
    return NULL;
}

static bool add_block(Region *r, size_t bytes)
{
    if (r->num_blocks == REGION_BLOCKS) return false;
    unsigned char *memory = stream_allocate(r->device, bytes);
    if (!memory) return false;
    r->blocks[r->num_blocks].data = memory;
    r->blocks[r->num_blocks].begin = r->committed;
    r->blocks[r->num_blocks++].bytes = bytes;
    r->committed += bytes;
    return true;
}

/* From the rest of the block at the top, or the first one above it that is large enough, or a new one. */
static void *alloc_on_device(Region *r, size_t bytes)
{
    size_t rounded = (bytes + DEVICE_ALIGNMENT - 1) / DEVICE_ALIGNMENT * DEVICE_ALIGNMENT;
    if (rounded < bytes || rounded > r->reserved || r->used > r->reserved - rounded) return out_of_memory(r, bytes, "");
    for (int i = 0;; i++) {
        if (i == r->num_blocks) {
            size_t wish = r->committed > FIRST_BLOCK ? r->committed : FIRST_BLOCK;
            while (wish > rounded && !add_block(r, wish)) wish /= 2;
            if (i == r->num_blocks && !add_block(r, rounded ? rounded : DEVICE_ALIGNMENT))
                return out_of_memory(r, bytes, stream_memory_failure(r->device));
        }
        size_t begin = r->blocks[i].begin, end = begin + r->blocks[i].bytes, at = r->used > begin ? r->used : begin;
        if (at > end || rounded > end - at) continue;
        r->used = at + rounded;
        if (r->used > r->peak) r->peak = r->used;
        return r->blocks[i].data + (at - begin);
    }
}

void region_settle(Region *r)
{
    if (r->num_blocks < 2 || r->used) return;
    release_blocks(r);
    stream_trim(r->device); /* else the device would have to hold them beside the one */
    add_block(r, r->peak); /* else region_alloc() asks again, for less */
}

static bool commit(Region *r, size_t grow)
{
    if (mprotect(r->base + r->committed, grow, PROT_READ | PROT_WRITE) != 0) return false;
    madvise(r->base + r->committed, grow, MADV_HUGEPAGE);
    r->committed += grow;
    return true;
}

void region_forget(Region *r)
{
    if (!r->device || r->used) return;
    release_blocks(r);
    r->peak = 0;
}

void region_expect(Region *r, size_t bytes)
{
    if (bytes > r->reserved) bytes = r->reserved;
    if (!r->device && bytes > r->committed) commit(r, (bytes - r->committed + STEP - 1) / STEP * STEP);
}

void *region_alloc(Region *r, size_t bytes)
{
    if (r->device) return alloc_on_device(r, bytes);
    size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (rounded < bytes || rounded > r->reserved - r->used) return out_of_memory(r, bytes, "");
    if (r->used + rounded > r->committed) {
        size_t grow = (r->used + rounded - r->committed + STEP - 1) / STEP * STEP;
        if (grow > r->reserved - r->committed) grow = r->reserved - r->committed;
        if (!commit(r, grow)) return out_of_memory(r, bytes, "");
    }
    void *data = r->base + r->used;
    r->used += rounded;
    if (r->used > r->peak) r->peak = r->used;
    return data;
}

Status pool_open(Pool *p, Stream *s)
{
    *p = (Pool){0};
    return region_open(&p->region, s);
}

void pool_close(Pool *p) { region_close(&p->region); }

void *pool_alloc(Pool *p, size_t bytes)
{
    int best = -1;
    for (int i = 0; i < p->num_free; i++)
        if (p->free[i].bytes >= bytes && p->free[i].bytes <= 2 * bytes + 4096 &&
            (best < 0 || p->free[i].bytes < p->free[best].bytes))
            best = i;
    p->live++;
    if (best < 0) return region_alloc(&p->region, bytes);
    void *data = p->free[best].data;
    p->free[best] = p->free[--p->num_free];
    return data;
}

void pool_free(Pool *p, void *data, size_t bytes)
{
    if (!data) return;
    if (--p->live == 0) {
        pool_reset(p);
        return;
    }
    if (p->num_free < POOL_FREE) { /* beyond that the buffer is only lost until the next reset */
        p->free[p->num_free].data = data;
        p->free[p->num_free++].bytes = bytes;
    }
}

void pool_reset(Pool *p)
{
    p->num_free = p->live = 0;
    region_release(&p->region, 0);
}
