/* The calls of a ProcessGroup that need no transport of their own, and the group of one rank. */
#include "trainer/distributed/process_group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/base/log.h"
#include "trainer/distributed/group_internal.h"

enum { NAMED_RANKS = 8 }; /* in a message */

static void self_close(ProcessGroup *pg) { free(pg); }

static const GroupOps SELF = {.name = "self", .close = self_close};

static Status open_self(ProcessGroup **out)
{
    ProcessGroup *pg = calloc(1, sizeof *pg);
    if (!pg) return status_raise(STATUS_MEMORY, "no memory for a process group");
    *pg = (ProcessGroup){.ops = &SELF, .size = 1, .local_size = 1};
    if (gethostname(pg->host, sizeof pg->host - 1)) snprintf(pg->host, sizeof pg->host, "localhost");
    *out = pg;
    return OK;
}

/* Which environment means several ranks: the variables of Slurm alone prove nothing (a batch script has them too). */
Status group_open(ProcessGroup **out)
{
    const char *world = getenv("OMPI_COMM_WORLD_SIZE"), *steps = getenv("SLURM_STEP_NUM_TASKS");
    *out = NULL;
    if (world ? atoi(world) > 1 : getenv("PMIX_RANK") != NULL) return group_open_mpi(out);
    if (!world && steps && atoi(steps) > 1)
        return status_raise(STATUS_USAGE,
                            "srun started %s tasks that cannot find one another; start them with "
                            "srun --mpi=pmix (or mpirun)",
                            steps);
    return open_self(out);
}

void group_close(ProcessGroup *pg)
{
    if (pg) pg->ops->close(pg);
}

/* The launcher may be a while about it, and other threads go on meanwhile: what they would say, of a save for one, is
 * not so any more. */
void group_abort(ProcessGroup *pg, int code)
{
    if (!pg || !pg->ops->abort) return;
    log_set(LOG_ERROR, pg->rank);
    pg->ops->abort(pg, code);
}

Status group_duplicate(ProcessGroup *pg, ProcessGroup **out)
{
    return pg->ops->duplicate ? pg->ops->duplicate(pg, out) : open_self(out);
}

Status group_barrier(ProcessGroup *pg) { return pg->size > 1 ? pg->ops->barrier(pg) : OK; }

Status group_broadcast(ProcessGroup *pg, void *data, size_t bytes, int root)
{
    return pg->size > 1 && bytes ? pg->ops->broadcast(pg, data, bytes, root) : OK;
}

Status group_all_gather(ProcessGroup *pg, const void *mine, void *all, size_t bytes)
{
    if (pg->size > 1) return bytes ? pg->ops->all_gather(pg, mine, all, bytes) : OK;
    if (all != mine && bytes) memmove(all, mine, bytes);
    return OK;
}

Status group_exchange(ProcessGroup *pg, const void *send, const size_t *send_bytes, const size_t *send_at,
                      void *receive, const size_t *receive_bytes, const size_t *receive_at)
{
    if (pg->size > 1) return pg->ops->exchange(pg, send, send_bytes, send_at, receive, receive_bytes, receive_at);
    if (send_bytes[0]) memmove((char *)receive + receive_at[0], (const char *)send + send_at[0], send_bytes[0]);
    return OK;
}

Status group_all_gather_parts(ProcessGroup *pg, void *data, const size_t *bytes, const size_t *at)
{
    return pg->size > 1 ? pg->ops->all_gather_parts(pg, data, bytes, at) : OK;
}

bool group_can_share(const ProcessGroup *pg) { return pg->size > 1 && pg->ops->can_share(pg); }

Status group_share(ProcessGroup *pg, size_t bytes, SharedMemory *out)
{
    return group_can_share(pg) ? pg->ops->share(pg, bytes, out) : memory_private(pg, bytes, out);
}

/* All ranks' values, to be folded in rank order. */
static Status gather(ProcessGroup *pg, const void *values, size_t bytes, void **all)
{
    *all = malloc((size_t)pg->size * bytes + 1);
    if (!*all) return status_raise(STATUS_MEMORY, "no memory for the values of %d ranks", pg->size);
    return group_all_gather(pg, values, *all, bytes);
}

Status group_sum_i64(ProcessGroup *pg, int64_t *values, int count)
{
    int64_t *all;
    Status st = gather(pg, values, (size_t)count * sizeof *values, (void **)&all);
    for (int64_t i = 0; !st && i < count; i++) {
        uint64_t sum = 0; /* wraps where a sum overflows */
        for (int r = 0; r < pg->size; r++) sum += (uint64_t)all[r * (int64_t)count + i];
        values[i] = (int64_t)sum;
    }
    free(all);
    return st;
}

Status group_max_i64(ProcessGroup *pg, int64_t *values, int count)
{
    int64_t *all;
    Status st = gather(pg, values, (size_t)count * sizeof *values, (void **)&all);
    for (int64_t i = 0; !st && i < count; i++)
        for (int r = 0; r < pg->size; r++)
            if (all[r * (int64_t)count + i] > values[i]) values[i] = all[r * (int64_t)count + i];
    free(all);
    return st;
}

Status group_sum_double(ProcessGroup *pg, double *values, int count)
{
    double *all;
    Status st = gather(pg, values, (size_t)count * sizeof *values, (void **)&all);
    for (int64_t i = 0; !st && i < count; i++) {
        double sum = all[i];
        for (int r = 1; r < pg->size; r++) sum += all[r * (int64_t)count + i];
        values[i] = sum;
    }
    free(all);
    return st;
}

uint64_t group_hash(const void *data, size_t bytes)
{
    const unsigned char *p = data;
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < bytes; i++) hash = (hash ^ p[i]) * UINT64_C(1099511628211);
    return hash;
}

typedef struct Vote {
    uint64_t hash;
    char host[64];
} Vote;

/* The hash of more than half of the ranks, rank 0's where there is none (Boyer and Moore 1981). */
static uint64_t majority(const Vote *all, int size)
{
    uint64_t candidate = 0;
    int lead = 0, votes = 0;
    for (int r = 0; r < size; r++) {
        if (!lead) candidate = all[r].hash;
        lead += all[r].hash == candidate ? 1 : -1;
    }
    for (int r = 0; r < size; r++) votes += all[r].hash == candidate;
    return 2 * votes > size ? candidate : all[0].hash;
}

Status group_check_equal(ProcessGroup *pg, const char *what, uint64_t hash)
{
    Status st = OK;
    Vote mine = {.hash = hash}, *all = NULL;
    char names[NAMED_RANKS * 96] = "";
    int different = 0;

    memcpy(mine.host, pg->host, sizeof mine.host);
    TRY(gather(pg, &mine, sizeof mine, (void **)&all));
    uint64_t common = majority(all, pg->size);
    for (int r = 0; r < pg->size; r++) {
        if (all[r].hash == common || different++ >= NAMED_RANKS) continue;
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%d (%.63s)", used ? ", " : "", r, all[r].host);
    }
    if (different)
        RAISE(USAGE, "%s must be the same on all ranks; rank%s %s%s differ%s from the others", what,
              different > 1 ? "s" : "", names, different > NAMED_RANKS ? ", …" : "", different > 1 ? "" : "s");
done:
    free(all);
    return st;
}

Status group_agree(ProcessGroup *pg, Status mine, int *speaker)
{
    Status st = OK;
    int64_t code = mine, *codes = NULL, size = 0;
    int failed = 0;
    char *text = NULL, *host;

    TRY(gather(pg, &code, sizeof code, (void **)&codes));
    while (failed < pg->size && codes[failed] == OK) failed++;
    if (speaker) *speaker = failed < pg->size ? failed : -1;
    if (failed == pg->size) goto done;

    if (pg->rank == failed) size = (int64_t)strlen(status_message()) + 1;
    TRY(group_broadcast(pg, &size, sizeof size, failed));
    text = malloc((size_t)size + sizeof pg->host);
    if (!text) RAISE(MEMORY, "no memory for the message of rank %d", failed);
    host = text + size;
    if (pg->rank == failed) {
        memcpy(text, status_message(), (size_t)size);
        memcpy(host, pg->host, sizeof pg->host);
    }
    TRY(group_broadcast(pg, text, (size_t)size + sizeof pg->host, failed));
    st = (Status)codes[failed];
    if (pg->rank != failed) status_raise(st, "rank %d (%s): %s", failed, host, text);
done:
    free(codes);
    free(text);
    return st;
}
