/* Memory that the ranks of one host share, and a barrier on it that sleeps.
 *
 * Each rank makes a memfd, the others open it through /proc/PID/fd and map it read-only: no names that a killed rank
 * leaves behind, no limit of /dev/shm (64 MB in containers), pages come with the first touch, on the toucher's memory
 * node. Where the ranks do not see one another's /proc (a container each) this fails on all of them and they send
 * messages instead. */
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "trainer/distributed/group_internal.h"

typedef struct Offer { /* what a rank says about its segment; inode: that the pid means the same process here */
    int64_t pid, fd, device, inode, ok;
} Offer;

static Status table_new(const ProcessGroup *pg, size_t bytes, SharedMemory *out)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    *out = (SharedMemory){.bytes = (bytes + page - 1) / page * page, .ranks = pg->size};
    if (!out->bytes) out->bytes = page;
    out->of = calloc((size_t)pg->size, sizeof *out->of);
    return out->of ? OK : status_raise(STATUS_MEMORY, "no memory for a table of %d ranks", pg->size);
}

static void *map(size_t bytes, int protection, int flags, int fd)
{
    void *p = mmap(NULL, bytes, protection, flags, fd, 0);
    return p == MAP_FAILED ? NULL : p;
}

Status memory_private(const ProcessGroup *pg, size_t bytes, SharedMemory *out)
{
    Status st = table_new(pg, bytes, out);
    if (st) return st;
    out->of[pg->rank] = map(out->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    if (!out->of[pg->rank]) {
        shared_memory_free(out);
        return status_raise(STATUS_MEMORY, "no memory for an array of %zu bytes", bytes);
    }
    madvise(out->of[pg->rank], out->bytes, MADV_HUGEPAGE);
    return OK;
}

static int segment_new(size_t bytes, void **data, Offer *offer)
{
    struct stat s;
    int fd = memfd_create("hone", MFD_CLOEXEC);
    if (fd < 0) return -1;
    if (!ftruncate(fd, (off_t)bytes) && !fstat(fd, &s)) {
        *data = map(bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
        *offer = (Offer){getpid(), fd, (int64_t)s.st_dev, (int64_t)s.st_ino, *data != NULL};
    }
    return fd;
}

static void *segment_map(const Offer *offer, size_t bytes)
{
    char path[64];
    struct stat s;
    void *data = NULL;
    snprintf(path, sizeof path, "/proc/%lld/fd/%lld", (long long)offer->pid, (long long)offer->fd);
    int fd = offer->ok ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return NULL;
    if (!fstat(fd, &s) && (int64_t)s.st_dev == offer->device && (int64_t)s.st_ino == offer->inode &&
        s.st_size == (off_t)bytes)
        data = map(bytes, PROT_READ, MAP_SHARED, fd);
    close(fd);
    return data;
}

Status memory_share(ProcessGroup *pg, size_t bytes, SharedMemory *out)
{
    Status st = OK;
    int fd = -1;
    int64_t failed = 0;
    Offer mine = {0}, *all = calloc((size_t)pg->size, sizeof *all);

    *out = (SharedMemory){0};
    if (!all) RAISE(MEMORY, "no memory for a table of %d ranks", pg->size);
    TRY(table_new(pg, bytes, out));
    fd = segment_new(out->bytes, &out->of[pg->rank], &mine);
    TRY(group_all_gather(pg, &mine, all, sizeof mine));
    for (int r = 0; r < pg->size; r++) {
        if (r != pg->rank) out->of[r] = segment_map(&all[r], out->bytes);
        failed |= !out->of[r];
    }
    out->shared = true;
    TRY(group_max_i64(pg, &failed, 1)); /* and the others have mapped: the descriptor may go */
    if (failed)
        RAISE(MEMORY, "the ranks of %s cannot share %zu bytes each of memory; HONE_SHM=0 makes them send messages",
              pg->host, bytes);
done:
    if (fd >= 0) close(fd);
    free(all);
    if (st) shared_memory_free(out);
    return st;
}

void shared_memory_free(SharedMemory *memory)
{
    if (!memory->of) return;
    for (int r = 0; r < memory->ranks; r++)
        if (memory->of[r]) munmap(memory->of[r], memory->bytes);
    free(memory->of);
    *memory = (SharedMemory){0};
}

Status fence_open(ProcessGroup *pg, Fence *fence)
{
    fence->generation = 0;
    return memory_share(pg, sizeof(_Atomic uint32_t), &fence->memory);
}

void fence_close(Fence *fence) { shared_memory_free(&fence->memory); }

/* Counters only grow, and wrap: compared by their distance. The time-out mends a wake-up that was lost to a signal. */
void fence_wait(Fence *fence, int rank)
{
    uint32_t now = ++fence->generation;
    _Atomic uint32_t *mine = fence->memory.of[rank];
    const struct timespec again = {.tv_sec = 1};

    atomic_store(mine, now);
    syscall(SYS_futex, mine, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
    for (int r = 0; r < fence->memory.ranks; r++) {
        _Atomic uint32_t *other = fence->memory.of[r];
        for (uint32_t seen = atomic_load(other); (int32_t)(seen - now) < 0; seen = atomic_load(other))
            syscall(SYS_futex, other, FUTEX_WAIT, seen, &again, NULL, 0);
    }
}
