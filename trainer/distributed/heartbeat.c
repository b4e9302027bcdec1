/* Beats over MPI, without blocking: sends and receives that are started, tested each 50 ms, and started anew. What
 * goes round meanwhile on this rank is on the board of collectives.h, and travels with the beats. */
#include "trainer/distributed/heartbeat.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "trainer/base/clock.h"
#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/distributed/collectives.h"
#include "trainer/distributed/group_internal.h"

static const double BEAT_S = 0.5, SLEEP_S = 0.05, SUSPENDED_S = 3, LOST_S = 30, HEAD_START_S = 2;
static const double SILENT_S = 1.6, BLAME_S = 3; /* an exchange has failed: so silent is who failed it; known by then */

typedef struct Beat {
    int64_t step;
    uint64_t file_calls; /* reading and writing gets on, also where the main thread waits for it */
    char phase[32];
    CollectiveState exchange;
} Beat;

typedef struct Peer {
    int rank;
    char host[64];
    Beat last, incoming, outgoing;
    MPI_Request receive, send;
    double heard;
    bool doubted; /* half of the time is over, and that was said */
} Peer;

struct Heartbeat {
    ProcessGroup *group; /* a channel of its own */
    MPI_Comm comm;
    double lost_s, stuck_s, changed; /* changed: when any rank last got on */
    double failed;                   /* when an exchange of this rank did; 0: none */
    Peer *peers;                     /* rank 0: all others; else: rank 0 */
    int count;
    pthread_t thread;
    bool started;
    atomic_bool stop;
    pthread_mutex_t lock; /* guards own */
    Beat own, sent;
};

static bool is_pending(MPI_Request *request)
{
    int done = 1;
    if (*request != MPI_REQUEST_NULL) MPI_Test(request, &done, MPI_STATUS_IGNORE);
    return !done;
}

static bool is_same(const Beat *a, const Beat *b)
{
    return a->step == b->step && a->file_calls == b->file_calls &&
           !strncmp(a->phase, b->phase, sizeof a->phase) && a->exchange.begun == b->exchange.begun &&
           a->exchange.done == b->exchange.done;
}

/* "step 5, update, in reduce-scatter of bucket 3 of 16" */
static const char *where(const Beat *b, char text[160])
{
    snprintf(text, 160, "step %" PRId64 ", %s%s%s", b->step, b->phase[0] ? b->phase : "starting",
             b->exchange.what[0] ? ", in " : "", b->exchange.what);
    return text;
}

/* The main thread may hang, so it is told from here; what NCCL has on the device is broken off first. */
static void end_all(Heartbeat *h)
{
    collective_abort();
    group_abort(h->group, 1);
}

static void send_beats(Heartbeat *h, double now)
{
    Beat own;
    pthread_mutex_lock(&h->lock);
    own = h->own;
    pthread_mutex_unlock(&h->lock);
    own.file_calls = file_calls();
    collective_look(&own.exchange);
    if (!is_same(&own, &h->sent)) h->changed = now;
    h->sent = own;
    for (int i = 0; i < h->count; i++) {
        Peer *p = &h->peers[i];
        if (is_pending(&p->send)) continue; /* it does not take them: it will be found lost */
        p->outgoing = own;
        MPI_Isend(&p->outgoing, sizeof(Beat), MPI_BYTE, p->rank, 0, h->comm, &p->send);
    }
}

static void receive_beats(Heartbeat *h, double now)
{
    for (int i = 0; i < h->count; i++) {
        Peer *p = &h->peers[i];
        while (!atomic_load(&h->stop) && !is_pending(&p->receive)) {
            if (!is_same(&p->incoming, &p->last)) h->changed = now;
            p->last = p->incoming;
            p->heard = now;
            if (p->doubted) log_warning("rank %d (%s) is heard of again", p->rank, p->host);
            p->doubted = false;
            MPI_Irecv(&p->incoming, sizeof(Beat), MPI_BYTE, p->rank, 0, h->comm, &p->receive);
        }
    }
}

static void forget_time(Heartbeat *h, double now)
{
    for (int i = 0; i < h->count; i++) h->peers[i].heard = now;
    h->changed = now;
}

/* Rank 1 is the first to speak where rank 0 is lost, and ends the others before they do. Only rank 0 warns. */
static bool find_lost(Heartbeat *h, double now)
{
    double limit = h->lost_s + (h->group->rank > 1 ? HEAD_START_S : 0);
    bool found = false;
    char text[160];
    for (int i = 0; i < h->count; i++) {
        Peer *p = &h->peers[i];
        if (!p->doubted && now - p->heard > h->lost_s / 2) { /* the launcher may end the job before we do */
            log_warning("rank %d (%s) has given no sign of life for %.0f s; at %.0f s all ranks are ended", p->rank,
                        p->host, now - p->heard, h->lost_s);
            p->doubted = true;
        }
        if (now - p->heard <= limit) continue;
        found = true;
        log_error("rank %d (%s) has given no sign of life for %.0f s (last heard of in %s); ending all ranks. "
                  "See whether that host is up and reachable, and whether the process was stopped or killed there",
                  p->rank, p->host, now - p->heard, where(&p->last, text));
    }
    return found;
}

/* An exchange on the device has failed. It is not told whose fault that is, but who died of it gives no more signs of
 * life: rank 0 waits for that a little, the others for rank 0. */
static bool find_failed(Heartbeat *h, double now)
{
    char why[DEVICE_WHY_BYTES], text[160];
    if (collective_poll(why)) return false;
    if (h->failed == 0) h->failed = now;
    for (int i = 0; i < h->count && h->group->rank == 0; i++) {
        const Peer *p = &h->peers[i];
        if (now - p->heard < SILENT_S) continue;
        log_error("rank %d (%s) is gone (last heard of in %s), and an exchange with it has failed: %s; ending all "
                  "ranks",
                  p->rank, p->host, where(&p->last, text), why);
        return true;
    }
    if (now - h->failed < BLAME_S + (h->group->rank ? HEAD_START_S : 0)) return false;
    log_error("%s; it was in %s on rank %d (%s); ending all ranks", why, where(&h->sent, text), h->group->rank,
              h->group->host);
    return true;
}

static bool is_behind(const Beat *a, const Beat *b)
{
    return a->step != b->step ? a->step < b->step : a->exchange.begun < b->exchange.begun;
}

/* Only rank 0 sees all. Those that lag behind are named: the others wait for them. */
static bool find_stuck(Heartbeat *h, double now)
{
    if (h->stuck_s <= 0 || h->group->rank || now - h->changed <= h->stuck_s) return false;
    char text[160];
    const Beat *last = &h->sent;
    for (int i = 0; i < h->count; i++)
        if (is_behind(&h->peers[i].last, last)) last = &h->peers[i].last;
    for (int i = -1, named = 0; i < h->count && named < 4; i++) {
        const Beat *b = i < 0 ? &h->sent : &h->peers[i].last;
        if (is_behind(last, b)) continue;
        named++;
        log_error("no rank has got on for %.0f s; rank %d (%s) is in %s; ending all ranks (ddp_timeout)",
                  now - h->changed, i < 0 ? 0 : h->peers[i].rank, i < 0 ? h->group->host : h->peers[i].host,
                  where(b, text));
    }
    return true;
}

static void *heartbeat_main(void *argument)
{
    Heartbeat *h = argument;
    double last = clock_seconds(), next = last;
    forget_time(h, last);
    while (!atomic_load(&h->stop)) {
        double now = clock_seconds();
        if (now - last > SUSPENDED_S) forget_time(h, now);
        last = now;
        receive_beats(h, now);
        if (now >= next) {
            send_beats(h, now);
            next = now + BEAT_S;
        }
        if (find_failed(h, now) || find_lost(h, now) || find_stuck(h, now)) {
            end_all(h);
            return NULL;
        }
        nanosleep(&(struct timespec){.tv_nsec = (long)(SLEEP_S * 1e9)}, NULL);
    }
    return NULL;
}

/* Who beats to whom, with the hosts' names. */
static Status find_peers(Heartbeat *h)
{
    Status st = OK;
    ProcessGroup *pg = h->group;
    char(*hosts)[sizeof pg->host] = calloc((size_t)pg->size, sizeof *hosts);

    h->count = pg->rank ? 1 : pg->size - 1;
    h->peers = calloc((size_t)h->count, sizeof *h->peers);
    if (!hosts || !h->peers) RAISE(MEMORY, "no memory for the heartbeat of %d ranks", pg->size);
    TRY(group_all_gather(pg, pg->host, hosts, sizeof *hosts));
    for (int i = 0; i < h->count; i++) {
        Peer *p = &h->peers[i];
        p->rank = pg->rank ? 0 : i + 1;
        memcpy(p->host, hosts[p->rank], sizeof p->host);
        p->receive = p->send = MPI_REQUEST_NULL;
    }
done:
    free(hosts);
    return st;
}

static void heartbeat_free(Heartbeat *h)
{
    group_close(h->group);
    pthread_mutex_destroy(&h->lock);
    free(h->peers);
    free(h);
}

Status heartbeat_start(ProcessGroup *pg, const HeartbeatOptions *options, Heartbeat **out)
{
    Status st = OK;
    sigset_t all, old;
    Heartbeat *h = NULL;

    *out = NULL;
    if (group_mpi_comm(pg) == MPI_COMM_NULL || pg->size == 1) goto done;
    h = calloc(1, sizeof *h);
    if (!h) RAISE(MEMORY, "no memory for the heartbeat");
    pthread_mutex_init(&h->lock, NULL);
    h->lost_s = options && options->lost_s > 0 ? options->lost_s : LOST_S;
    h->stuck_s = options ? options->stuck_s : 0;
    TRY(group_duplicate(pg, &h->group));
    h->comm = group_mpi_comm(h->group);
    TRY(find_peers(h));

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    h->started = !pthread_create(&h->thread, NULL, heartbeat_main, h);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (!h->started) RAISE(MEMORY, "the system gives no thread for the heartbeat");
    *out = h;
    h = NULL;
done:
    if (h) heartbeat_free(h);
    return st;
}

void heartbeat_report(Heartbeat *h, int64_t step, const char *phase)
{
    if (!h) return;
    pthread_mutex_lock(&h->lock);
    h->own.step = step;
    snprintf(h->own.phase, sizeof h->own.phase, "%s", phase);
    pthread_mutex_unlock(&h->lock);
}

/* Between the barriers nobody sends any more; what had been sent is taken in, so the channel is empty when it goes. */
void heartbeat_stop(Heartbeat *h)
{
    if (!h) return;
    group_barrier(h->group);
    atomic_store(&h->stop, true);
    pthread_join(h->thread, NULL);
    group_barrier(h->group);
    for (int i = 0; i < h->count; i++) {
        Peer *p = &h->peers[i];
        int waiting = 0;
        if (p->send != MPI_REQUEST_NULL) MPI_Wait(&p->send, MPI_STATUS_IGNORE);
        if (p->receive != MPI_REQUEST_NULL) {
            MPI_Cancel(&p->receive);
            MPI_Wait(&p->receive, MPI_STATUS_IGNORE);
        }
        for (Beat beat; MPI_Iprobe(p->rank, 0, h->comm, &waiting, MPI_STATUS_IGNORE) == MPI_SUCCESS && waiting;)
            MPI_Recv(&beat, sizeof beat, MPI_BYTE, p->rank, 0, h->comm, MPI_STATUS_IGNORE);
    }
    heartbeat_free(h);
}
