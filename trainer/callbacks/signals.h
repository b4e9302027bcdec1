/* Stopping on request: SIGUSR1 (which mpirun forwards), SIGTERM (srun, a single process), SIGINT of a single
 * process, and max_time.
 *
 * The signals are blocked before MPI_Init, which starts threads that must inherit that; one thread waits for them
 * (sigwait) and sets a flag that the loop asks after each update. Ranks then agree (an OR), save and leave with
 * status 75. Under mpirun SIGINT and SIGTERM are mpirun's: it gives its ranks a second, then SIGKILL; the flag costs
 * nothing there. A second SIGINT or SIGTERM ends the process at once with the signal's own status, as if nothing had
 * been blocked. A SIGINT that the parent had made ignored stays so. */
#ifndef HONE_CALLBACKS_SIGNALS_H
#define HONE_CALLBACKS_SIGNALS_H

#include <stdbool.h>

#include "trainer/base/status.h"

/* Blocks TERM, INT, USR1 in this thread and those it starts. Before MPI_Init and before any thread. */
Status signals_block(void);
/* Before signals_open: what is told of a request is that the batch is the last one, not that a step is saved. */
void signals_of_evaluation(void);
/* Starts the waiting thread, after signals_block. max_time: seconds from `started` (timing_now()); <= 0: no limit.
 * ranks: of the run; with several, SIGTERM is told of by stop_tell alone, because a launcher sends it also to the ranks
 * that are left when one has failed. Once a process, until signals_close. */
Status signals_open(double max_time, double started, int ranks);
/* This rank was asked to stop, or its time is up. Cheap: any thread, after each update. */
bool stop_requested(void);
/* Why: "SIGUSR1", "SIGTERM", "SIGINT", "max_time"; NULL while not asked. Another rank's request is not known here. */
const char *stop_reason(void);
/* The ranks have agreed to stop, because of `why`: says so, unless it was said when the request came. */
void stop_tell(const char *why);
/* Asks for a stop from inside: tests. reason: a literal. */
void stop_request(const char *reason);
/* Ends the thread, forgets the request, gives TERM and INT their old meaning. USR1 stays blocked: a request that
 * comes late must not kill a process that is done. Idempotent. */
void signals_close(void);

#endif
