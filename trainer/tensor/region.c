/* mmap(PROT_NONE) of all there is, made accessible 8 MiB at a time; huge pages where the system has them to give. */
#include "trainer/tensor/region.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

enum { STEP = 8 << 20 };

Status region_open(Region *r)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), reserve = (size_t)sysconf(_SC_PHYS_PAGES) * page / STEP * STEP;
    for (; reserve >= STEP; reserve /= 2) {
        void *base = mmap(NULL, reserve, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (base == MAP_FAILED) continue;
        *r = (Region){.base = base, .reserved = reserve};
        return OK;
    }
    return status_raise(STATUS_MEMORY, "out of memory: no address space for activations");
}

void region_close(Region *r)
{
    if (r->base) munmap(r->base, r->reserved);
    *r = (Region){0};
}

void *region_alloc(Region *r, size_t bytes)
{
    size_t rounded = (bytes + 63) / 64 * 64;
    if (rounded < bytes || rounded > r->reserved - r->used) goto fail;
    if (r->used + rounded > r->committed) {
        size_t grow = (r->used + rounded - r->committed + STEP - 1) / STEP * STEP;
        if (grow > r->reserved - r->committed) grow = r->reserved - r->committed;
        if (mprotect(r->base + r->committed, grow, PROT_READ | PROT_WRITE) != 0) goto fail;
        madvise(r->base + r->committed, grow, MADV_HUGEPAGE);
        r->committed += grow;
    }
    void *data = r->base + r->used;
    r->used += rounded;
    if (r->used > r->peak) r->peak = r->used;
    return data;
fail:
    status_raise(
        STATUS_MEMORY,
        "out of memory: %zu MB of activations; lower per_device_train_batch_size, or set gradient_checkpointing: true",
        (r->used + bytes) >> 20);
    return NULL;
}

Status pool_open(Pool *p)
{
    *p = (Pool){0};
    return region_open(&p->region);
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
