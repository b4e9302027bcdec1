/* How many threads a rank runs, and on which cores: a host's cores are shared out among its ranks.
 *
 * mpirun puts each of one or two ranks on ONE core by default, all its threads with it; such a mask is widened to the
 * rank's share of the launcher's cores. A binding that the user asked for is kept (--bind-to, --map-by, taskset on the
 * rank, srun --cpu-bind), so are num_threads and OMP_NUM_THREADS. A CPU quota of the control group counts as fewer
 * cores. */
#ifndef HONE_DISTRIBUTED_BINDING_H
#define HONE_DISTRIBUTED_BINDING_H

#include "trainer/distributed/process_group.h"

typedef struct Binding {
    int threads;    /* for stream_new_cpu() */
    int cpus;       /* in this rank's mask */
    bool widened;   /* the mask was changed here */
    char mask[128]; /* "0-3,8" ("…" at the end where it is longer) */
    char line[256]; /* one line for the log of rank 0; "" where there is nothing to say */
} Binding;

/* Before any thread that should have the wide mask is started (group_open()'s do not matter). num_threads 0: chosen.
 * Collective: ranks whose masks overlap share what overlaps. */
Status binding_apply(ProcessGroup *pg, int num_threads, Binding *out);

#endif
