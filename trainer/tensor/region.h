/* A stack of memory whose top moves up and down. The tape keeps activations in one; what the largest micro-batch has
 * touched stays, so nothing is allocated after the first step.
 *
 * On the host it is address space that is reserved once and becomes memory as it is used. On a device it is blocks of
 * the stream's memory, the next as large as all before, until region_settle() makes them one: positions count through
 * the blocks, and what does not fit into the rest of a block begins in the next. */
#ifndef HONE_TENSOR_REGION_H
#define HONE_TENSOR_REGION_H

#include <stddef.h>

#include "kernels/kernels.h"
#include "trainer/base/status.h"

enum { REGION_BLOCKS = 64 };

typedef struct Region {
    unsigned char *base; /* the host's */
    size_t used, committed, reserved; /* bytes in use, that are memory already, that there may be */
    size_t peak;    /* largest `used` so far */
    Stream *device; /* NULL: the host */
    struct { unsigned char *data; size_t begin, bytes; } blocks[REGION_BLOCKS];
    int num_blocks;
} Region;

/* s: whose kernels will work on the memory; NULL, or not a device's: the host's, as much as the machine has. */
Status region_open(Region *r, Stream *s);
void region_close(Region *r);
/* 64-byte aligned (a device's: 256), not zeroed; NULL (message set) when memory is out. */
void *region_alloc(Region *r, size_t bytes);
static inline size_t region_mark(const Region *r) { return r->used; }
/* What lay above the mark may still be used by what is queued on the stream already. */
static inline void region_release(Region *r, size_t mark) { r->used = mark; }
/* Between passes, when it is empty: several blocks become one. */
void region_settle(Region *r);
/* Likewise: a device's blocks go back. */
void region_forget(Region *r);
/* The host's: so many bytes become memory already, untouched; as many as there are. */
void region_expect(Region *r, size_t bytes);

/* A pool of buffers over a region, for gradients of activations: freed buffers are taken again, the smallest that fits;
 * when none is live the region starts over. */
enum { POOL_FREE = 64 };
typedef struct Pool {
    Region region;
    struct { void *data; size_t bytes; } free[POOL_FREE];
    int num_free, live;
} Pool;
Status pool_open(Pool *p, Stream *s);
void pool_close(Pool *p);
void *pool_alloc(Pool *p, size_t bytes); /* NULL: no memory */
void pool_free(Pool *p, void *data, size_t bytes); /* bytes as asked for; NULL data is fine */
void pool_reset(Pool *p);                /* frees all */

#endif
