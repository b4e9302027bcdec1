/* Live memory that a writer thread is writing while others want to overwrite it.
 *
 * The memory is cut into chunks of at most 256 KiB, in the order in which they will be written. A chunk is live until
 * the writer takes it (copying it to its own buffer first, so that nobody ever waits for a disk) or a guard copies it
 * aside.
 *
 *     LIVE --writer--> BUSY --> DONE        LIVE --guard--> BUSY --> COPIED --writer--> DONE
 */
#ifndef HONE_CHECKPOINT_SNAPSHOT_H
#define HONE_CHECKPOINT_SNAPSHOT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/base/arena.h"
#include "trainer/base/status.h"

enum { CHUNK_BYTES = 262144 }; /* KERNEL_BLOCK floats */

typedef struct Chunk {
    const char *at;
    void *copy; /* COPIED: what a guard saved */
    uint32_t bytes;
    _Atomic int state;
} Chunk;

typedef struct Snapshot {
    _Atomic size_t left; /* chunks not yet taken; 0: guards return at once */
    Chunk *chunks;       /* in the order of writing */
    size_t count, capacity;
    Chunk **by_address;
    const char **reach; /* [i]: the furthest end of by_address[0..i], for overlapping tensors */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    uint64_t budget;     /* bytes */
    uint64_t used, peak; /* under lock */
    _Atomic uint64_t wait_ns;
} Snapshot;

Status snapshot_init(Snapshot *s, uint64_t budget);
void snapshot_destroy(Snapshot *s);
/* Forgets the last save's chunks. No guard may run meanwhile. */
void snapshot_clear(Snapshot *s);
/* Appends memory of elements of `element` bytes: chunks never split one. */
Status snapshot_add(Snapshot *s, const void *at, uint64_t bytes, size_t element);
/* From here on guards protect what was added. */
Status snapshot_start(Snapshot *s);
/* The writer: bytes of chunk i, in `buffer` (CHUNK_BYTES) or in the copy. Give the pointer to snapshot_release
 * afterwards. */
const void *snapshot_take(Snapshot *s, size_t i, void *buffer);
void snapshot_release(Snapshot *s, size_t i);
/* The writer gives up: chunks from `first` on are nobody's any more. */
void snapshot_abandon(Snapshot *s, size_t first);
void snapshot_guard(Snapshot *s, const void *p, size_t bytes);

#endif
