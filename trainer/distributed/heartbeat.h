/* Notices a rank that is gone or stuck. Open MPI 4.1 tells nobody when a rank is stopped or its cable pulled: the
 * others wait for ever.
 *
 * A thread a rank with a communicator of its own: each rank to rank 0 and rank 0 to each, every half second: who, step,
 * phase, and the exchange it is in. Costs about 3 ms of CPU in 6 s. On trouble one error line names the rank, its host,
 * last step, phase and exchange, then the job is aborted with exit status 1; an exchange on a device that NCCL says has
 * failed is such trouble. A job that was suspended as a whole (its own clock jumped) starts counting
 * anew. */
#ifndef HONE_DISTRIBUTED_HEARTBEAT_H
#define HONE_DISTRIBUTED_HEARTBEAT_H

#include "trainer/distributed/process_group.h"

typedef struct Heartbeat Heartbeat;

typedef struct HeartbeatOptions {
    double lost_s;  /* no sign of life of a rank for so long: lost. 0: 30 s */
    double stuck_s; /* no rank's step or phase has changed, and none has got on with a file, for so long: stuck
                       (ddp_timeout). 0: never */
} HeartbeatOptions;

/* Collective. *out is NULL, which all calls take, for one rank. */
Status heartbeat_start(ProcessGroup *pg, const HeartbeatOptions *options, Heartbeat **out);
/* Cheap, from any one thread: what goes into the next beat. phase is copied (31 bytes): "forward", "save", "evaluate".
 */
void heartbeat_report(Heartbeat *h, int64_t step, const char *phase);
/* Collective; before group_close(). Waits for all ranks (beating on), so a rank that is still saving is not taken for
 * lost. */
void heartbeat_stop(Heartbeat *h);

#endif
