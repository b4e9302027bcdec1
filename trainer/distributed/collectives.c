/* A ring of the last exchanges. Those of a device are done in their order, so the oldest tells where it is. */
#include "trainer/distributed/collectives.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { RING = 1024, ABORT_S = 2 };

typedef struct Entry {
    const char *what;
    int number, of;
    DeviceMark *end;
} Entry;

static struct {
    pthread_mutex_t lock;
    uint64_t begun, done;
    Entry ring[RING];
    const DeviceRanks *ranks;
    DeviceComm *comm;
    bool aborted;
} board = {.lock = PTHREAD_MUTEX_INITIALIZER};

void collective_begin(const char *what, int number, int of, DeviceMark *end)
{
    pthread_mutex_lock(&board.lock);
    board.ring[board.begun++ % RING] = (Entry){what, number, of, end};
    pthread_mutex_unlock(&board.lock);
}

void collective_end(void)
{
    pthread_mutex_lock(&board.lock);
    if (board.done < board.begun) board.done++;
    pthread_mutex_unlock(&board.lock);
}

void collective_all_done(void)
{
    pthread_mutex_lock(&board.lock);
    board.done = board.begun;
    pthread_mutex_unlock(&board.lock);
}

static const Entry *oldest(void) /* NULL: all are done. What has left the ring is forgotten. */
{
    if (board.begun - board.done > RING) board.done = board.begun - RING;
    return board.done < board.begun ? &board.ring[board.done % RING] : NULL;
}

void collective_look(CollectiveState *out)
{
    const Entry *e;
    pthread_mutex_lock(&board.lock);
    while ((e = oldest()) && e->end && board.ranks && board.ranks->mark_is_reached(e->end)) board.done++;
    *out = (CollectiveState){.begun = board.begun, .done = board.done};
    if (e && e->of) snprintf(out->what, sizeof out->what, "%s of bucket %d of %d", e->what, e->number + 1, e->of);
    else if (e) snprintf(out->what, sizeof out->what, "%s", e->what);
    pthread_mutex_unlock(&board.lock);
}

void collective_watch(const DeviceRanks *ranks, DeviceComm *comm)
{
    pthread_mutex_lock(&board.lock);
    board.ranks = ranks;
    board.comm = comm;
    board.aborted = false;
    board.done = board.begun;
    pthread_mutex_unlock(&board.lock);
}

bool collective_poll(char why[DEVICE_WHY_BYTES])
{
    pthread_mutex_lock(&board.lock);
    bool good = !board.comm || board.ranks->comm_poll(board.comm, why);
    pthread_mutex_unlock(&board.lock);
    return good;
}

static void *abort_main(void *unused)
{
    (void)unused;
    board.ranks->comm_abort(board.comm);
    return NULL;
}

/* NCCL's abort may itself wait for what hangs. */
bool collective_abort(void)
{
    pthread_t thread;
    sigset_t all, old;
    struct timespec until;
    pthread_mutex_lock(&board.lock);
    bool due = board.comm && !board.aborted;
    board.aborted = true;
    pthread_mutex_unlock(&board.lock);
    if (!due) return true;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&thread, NULL, abort_main, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) return false;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ABORT_S;
    if (!pthread_timedjoin_np(thread, NULL, &until)) return true;
    pthread_detach(thread);
    return false;
}

bool collective_aborted(void)
{
    pthread_mutex_lock(&board.lock);
    bool aborted = board.aborted;
    pthread_mutex_unlock(&board.lock);
    return aborted;
}
