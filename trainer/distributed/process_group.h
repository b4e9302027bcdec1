/* The ranks of a run and what they say to one another. One rank is a group of itself and never starts MPI; several go
 * through MPI.
 *
 * Every call below is collective: all ranks make the same calls on one group in the same order, from one thread at a
 * time. Threads that communicate on their own (gradients, heartbeat) duplicate the group. Sums are made in rank order,
 * so their bits repeat. A failed call is STATUS_COMM; there is no way on from it: report, then group_abort().
 *
 * Signals: MPI_Init starts threads, so a program that waits for signals in a thread of its own must block them before
 * group_open(). The threads of this room block all signals. */
#ifndef HONE_DISTRIBUTED_PROCESS_GROUP_H
#define HONE_DISTRIBUTED_PROCESS_GROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/base/status.h"

typedef struct ProcessGroup ProcessGroup;
typedef struct SharedMemory SharedMemory;

/* What a group is made of; a test wraps another group's (delays, failures). Call the functions below instead. Groups of
 * one rank get only close and abort. */
typedef struct GroupOps {
    const char *name; /* "self", "mpi" */
    Status (*duplicate)(ProcessGroup *pg, ProcessGroup **out);
    Status (*barrier)(ProcessGroup *pg); /* sleeps while it waits where the ranks share memory */
    Status (*broadcast)(ProcessGroup *pg, void *data, size_t bytes, int root);
    Status (*all_gather)(ProcessGroup *pg, const void *mine, void *all, size_t bytes);
    Status (*exchange)(ProcessGroup *pg, const void *send, const size_t *send_bytes, const size_t *send_at,
                       void *receive, const size_t *receive_bytes, const size_t *receive_at);
    Status (*all_gather_parts)(ProcessGroup *pg, void *data, const size_t *bytes, const size_t *at);
    bool (*can_share)(const ProcessGroup *pg);
    Status (*share)(ProcessGroup *pg, size_t bytes, SharedMemory *out);
    void (*abort)(ProcessGroup *pg, int code);
    void (*close)(ProcessGroup *pg);
} GroupOps;

struct ProcessGroup {
    const GroupOps *ops;
    int rank, size;             /* of the run */
    int local_rank, local_size; /* of this host's share of it */
    char host[64];
};

/* Ranks are there iff OMPI_COMM_WORLD_SIZE > 1, or that is unset and PMIX_RANK is set (srun --mpi=pmix): only then is
 * MPI initialised. srun without --mpi=pmix is STATUS_USAGE. Call once, before threads of one's own start; close last.
 */
Status group_open(ProcessGroup **out);
/* Waits for all ranks, then finalises MPI; gives up waiting after some seconds where mpirun is already killing the job.
 * For a duplicate: gives back its resources (collective). NULL is fine. */
void group_close(ProcessGroup *pg);
/* Ends all ranks with exit status `code`, this process included. Print the message first. Does nothing for one rank:
 * main returns. */
void group_abort(ProcessGroup *pg, int code);
/* The same ranks with a channel of their own. */
Status group_duplicate(ProcessGroup *pg, ProcessGroup **out);

Status group_barrier(ProcessGroup *pg);
/* Any number of bytes. */
Status group_broadcast(ProcessGroup *pg, void *data, size_t bytes, int root);
/* all [size * bytes] = every rank's `bytes` bytes, in rank order; mine may lie at its place in all. */
Status group_all_gather(ProcessGroup *pg, const void *mine, void *all, size_t bytes);
/* In place, elementwise, over few values (counters, flags, losses). */
Status group_sum_i64(ProcessGroup *pg, int64_t *values, int count);
Status group_max_i64(ProcessGroup *pg, int64_t *values, int count);
Status group_sum_double(ProcessGroup *pg, double *values, int count); /* ((rank 0 + rank 1) + rank 2) + … */
/* Rank r gets send + send_at[r], send_bytes[r] from each; what rank r sent here lands at receive + receive_at[r]. Under
 * 2 GiB each. */
Status group_exchange(ProcessGroup *pg, const void *send, const size_t *send_bytes, const size_t *send_at,
                      void *receive, const size_t *receive_bytes, const size_t *receive_at);
/* Rank r's bytes[r] bytes at data + at[r] become everybody's. Under 2 GiB each. */
Status group_all_gather_parts(ProcessGroup *pg, void *data, const size_t *bytes, const size_t *at);

/* All ranks have the same hash, or all return STATUS_USAGE with a message that names `what` and the ranks and hosts
 * that differ from the majority (from rank 0 where there is none). */
Status group_check_equal(ProcessGroup *pg, const char *what, uint64_t hash);
uint64_t group_hash(const void *data, size_t bytes); /* FNV-1a: for configs and short texts */
/* All ranks bring how it went; all get the lowest failing rank's status and message ("rank 1 (host): …" before it on
 * the others). *speaker (may be NULL): the rank that should print it; -1: nobody failed. Use it where a failure is
 * likely (opening files, loading): the ranks then end in an orderly way. Between such points a failing rank prints its
 * message and calls group_abort(). */
Status group_agree(ProcessGroup *pg, Status mine, int *speaker);

/* Memory that the ranks of one host see: of[r] is rank r's segment as mapped here, of[own rank] the own one; zeroed,
 * page-aligned, in memory only once touched. */
struct SharedMemory {
    size_t bytes;
    int ranks;   /* the group's size */
    bool shared; /* else of[] has the own segment only */
    void **of;   /* [ranks] */
};
/* True where all ranks are on one host and HONE_SHM is not 0; known from group_open() on, the same on all ranks. */
bool group_can_share(const ProcessGroup *pg);
/* Where group_can_share() is false: private memory, of[] of others NULL. */
Status group_share(ProcessGroup *pg, size_t bytes, SharedMemory *out);
void shared_memory_free(SharedMemory *memory); /* not collective; others keep their view of it. {0} is fine */

#endif
