/* Address space that is reserved once and becomes memory as it is used: a stack whose top moves up and down. The tape
 * keeps activations in one; what the largest micro-batch has touched stays, so nothing is allocated after the first
 * step. */
#ifndef HONE_TENSOR_REGION_H
#define HONE_TENSOR_REGION_H

#include <stddef.h>

#include "trainer/base/status.h"

typedef struct Region {
    unsigned char *base;
    size_t used, committed, reserved;
    size_t peak; /* largest `used` so far */
} Region;

Status region_open(Region *r); /* reserves as much as the machine has memory */
void region_close(Region *r);
/* 64-byte aligned, not zeroed; NULL (message set) when memory is out. */
void *region_alloc(Region *r, size_t bytes);
static inline size_t region_mark(const Region *r) { return r->used; }
static inline void region_release(Region *r, size_t mark) { r->used = mark; }

/* A pool of buffers over a region, for gradients of activations: freed buffers are taken again, the smallest that fits;
 * when none is live the region starts over. */
enum { POOL_FREE = 64 };
typedef struct Pool {
    Region region;
    struct { void *data; size_t bytes; } free[POOL_FREE];
    int num_free, live;
} Pool;
Status pool_open(Pool *p);
void pool_close(Pool *p);
void *pool_alloc(Pool *p, size_t bytes); /* NULL: no memory */
void pool_free(Pool *p, void *data, size_t bytes); /* bytes as asked for; NULL data is fine */
void pool_reset(Pool *p);                /* frees all */

#endif
