/* What the files of ProcessGroup share. */
#ifndef HONE_DISTRIBUTED_GROUP_INTERNAL_H
#define HONE_DISTRIBUTED_GROUP_INTERNAL_H

#include <mpi.h>
#include <stdatomic.h>

#include "trainer/distributed/process_group.h"

Status group_open_mpi(ProcessGroup **out);
/* MPI_COMM_NULL where the group is not MPI's own (self, a test's wrapper). */
MPI_Comm group_mpi_comm(const ProcessGroup *pg);

/* Segments of `bytes` for all ranks of pg, all on one host. Collective: fails on all ranks or on none. */
Status memory_share(ProcessGroup *pg, size_t bytes, SharedMemory *out);
/* Private memory in the shape of SharedMemory. */
Status memory_private(const ProcessGroup *pg, size_t bytes, SharedMemory *out);

/* A barrier that sleeps: each rank has a counter of arrivals in shared memory, the others wait for it on a futex. */
typedef struct Fence {
    SharedMemory memory;
    uint32_t generation;
} Fence;
Status fence_open(ProcessGroup *pg, Fence *fence); /* collective */
void fence_wait(Fence *fence, int rank);
void fence_close(Fence *fence);

#endif
