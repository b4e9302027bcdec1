/* What this rank exchanges with the others just now: written by who exchanges, read by the heartbeat, so that a rank
 * that is stuck or lost is told with the exchange it was in, and a failed one ends the job. One a process, like the
 * ranks; any thread, never waits. */
#ifndef HONE_DISTRIBUTED_COLLECTIVES_H
#define HONE_DISTRIBUTED_COLLECTIVES_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/device.h"

enum { COLLECTIVE_BYTES = 48 };

typedef struct CollectiveState {
    uint64_t begun, done;        /* so far */
    char what[COLLECTIVE_BYTES]; /* the oldest that is not done; "" where all are */
} CollectiveState;

/* "what", or with `of` "what of bucket number + 1 of `of`". end: on a device, done when this mark is reached; NULL: by
 * collective_end(). Those of one kind at a time. */
void collective_begin(const char *what, int number, int of, DeviceMark *end);
void collective_end(void);      /* the oldest is done */
void collective_all_done(void); /* the caller has waited for them */
void collective_look(CollectiveState *out);

/* Who carries them out on devices; NULL: nobody (any more). comm is borrowed until then. */
void collective_watch(const DeviceRanks *ranks, DeviceComm *comm);
/* False: one has failed on its way, and why says how. */
bool collective_poll(char why[DEVICE_WHY_BYTES]);
/* Frees who waits for one on this rank's device; the data are garbage then. False: it hangs itself, and still uses the
 * communicator after some seconds. */
bool collective_abort(void);
bool collective_aborted(void);

#endif
