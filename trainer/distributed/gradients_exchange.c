/* The communication thread: takes the buckets in their order, each as soon as backward has reported all of it, and
 * makes the sum of this rank's part. It sleeps in between, so it takes from the computing threads only what the adding
 * costs.
 *
 * Ranks that share memory: when all have a bucket (a barrier), each adds up its part from everybody's array. Else: each
 * part is sent to its owner. In both, sums go round afterwards where zero_stage is 0.
 *
 * Who may read what: nobody writes to an array that another rank may still read, because a micro-step that others read
 * ends with a barrier or, the last one, with the exchange of norms in gradients_finish(). */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "trainer/distributed/collectives.h"
#include "trainer/distributed/gradients_internal.h"

enum { STOP_S = 2 };

static Range part_of(const Gradients *g, int bucket, int rank) { return plan_part(&g->plan, bucket, rank); }

static size_t part_bytes(const Gradients *g, int bucket, int rank)
{
    Range part = part_of(g, bucket, rank);
    return (size_t)(part.end - part.begin) * sizeof(float);
}

/* Where rank's gradients of this part lie: its own array, or what it sent (moved back to look like that). */
static const float *gradients_of(const Gradients *g, Range part, int rank)
{
    if (g->data.of[rank]) return g->data.of[rank];
    return g->received + (int64_t)rank * g->plan.most_elements - part.begin;
}

/* Adds up this rank's part, in the order of the ranks. */
static void add_up(Gradients *g, Range part, bool total_is_empty, Threads *threads)
{
    int count = 0, ranks = g->plan.ranks, self = g->comm->rank;
    if (part.begin == part.end) return;
    if (g->full_determinism && !total_is_empty) g->sources[count++] = g->total.of[self];
    for (int i = 0; i < ranks; i++) {
        int r = g->defect ? ranks - 1 - i : i;
        if (g->contributes[r]) g->sources[count++] = gradients_of(g, part, r);
    }
    if (!count) return;
    fold_run(&(Fold){g->reduced->of[self], g->sources, count, g->partials}, part, threads);
}

static Status send_parts(Gradients *g, int bucket)
{
    int ranks = g->plan.ranks, self = g->comm->rank;
    size_t *send_bytes = g->sizes, *send_at = send_bytes + ranks, *receive_bytes = send_at + ranks,
           *receive_at = receive_bytes + ranks;
    for (int r = 0; r < ranks; r++) {
        bool other = r != self;
        send_bytes[r] = other && g->contributes[self] ? part_bytes(g, bucket, r) : 0;
        send_at[r] = (size_t)part_of(g, bucket, r).begin * sizeof(float);
        receive_bytes[r] = other && g->contributes[r] ? part_bytes(g, bucket, self) : 0;
        receive_at[r] = (size_t)r * (size_t)g->plan.most_elements * sizeof(float);
    }
    return group_exchange(g->comm, g->data.of[self], send_bytes, send_at, g->received, receive_bytes, receive_at);
}

Status gather_bucket(Gradients *g, int bucket, SharedMemory *array)
{
    for (int r = 0; r < g->plan.ranks; r++) {
        g->sizes[r] = part_bytes(g, bucket, r);
        g->sizes[g->plan.ranks + r] = (size_t)part_of(g, bucket, r).begin * sizeof(float);
    }
    return group_all_gather_parts(g->comm, array->of[g->comm->rank], g->sizes, g->sizes + g->plan.ranks);
}

static void copy_bucket(Gradients *g, int bucket, SharedMemory *array, Threads *threads)
{
    for (int r = 0; r < g->plan.ranks; r++)
        if (r != g->comm->rank) copy_run(array->of[g->comm->rank], array->of[r], part_of(g, bucket, r), threads);
}

static const char *name_of(const Gradients *g, int bucket, bool last)
{
    if (bucket == g->plan.buckets) return "the end of the exchange";
    return g->full_determinism ? "exchange" : last && g->gathers_sums ? "all-reduce" : "reduce-scatter";
}

/* Bucket number `bucket`, complete on this rank; plan.buckets: what remains to be done after the last one. */
static Status exchange_bucket(Gradients *g, int bucket, bool last, bool total_is_empty, Threads *threads)
{
    Status st = OK;
    int buckets = g->plan.buckets;
    bool gathers = last && g->gathers_sums, ends = bucket == buckets;

    if (g->shares) {
        if (ends && !gathers && !(g->full_determinism && !last)) goto done;
        TRY(group_barrier(g->comm));
        if (gathers && bucket) copy_bucket(g, bucket - 1, g->reduced, threads); /* its owners have added it up */
    }
    if (!bucket && g->full_determinism) {
        unsigned char mine = g->has_granule;
        TRY(group_all_gather(g->comm, &mine, g->contributes, 1));
    }
    if (ends) goto done;
    if (!g->shares) TRY(send_parts(g, bucket));
    add_up(g, part_of(g, bucket, g->comm->rank), total_is_empty, threads);
    if (!g->shares && gathers) TRY(gather_bucket(g, bucket, g->reduced));
done:
    return st;
}

/* Bucket is reduced, or, where that goes round, all of the last one is: back to the device with it. */
static void take_back(Gradients *g, int bucket, bool total_is_empty)
{
    if (g->full_determinism && total_is_empty && !any_contributes(g)) return;
    if (!g->gathers_sums && bucket < g->plan.buckets) staged_take_back(g, part_of(g, bucket, g->comm->rank));
    if (g->gathers_sums && bucket == g->plan.buckets) staged_take_back(g, g->everything);
}

static bool is_complete(const Gradients *g, int bucket)
{
    if (bucket == g->plan.buckets) return true;
    return device_is_staged(g) ? bucket < g->on_host : g->left[bucket] <= 0;
}

/* All buckets of a micro-step. Called and returns with the lock held. */
static void exchange_micro_step(Gradients *g)
{
    bool last = g->last, empty = g->total_is_empty;
    for (int k = 0; k <= g->plan.buckets && !g->error; k++) {
        while (!is_complete(g, k) && !g->stop) pthread_cond_wait(&g->work, &g->lock);
        if (g->stop) return;
        Threads *threads = g->main_waits ? g->threads : NULL;
        if (k < g->plan.buckets) g->started++;
        pthread_mutex_unlock(&g->lock);
        Status st = device_is_staged(g) && k < g->plan.buckets ? staged_wait(g, k) : OK;
        double begin = clock_seconds();
        collective_begin(name_of(g, k, last), k, k < g->plan.buckets ? g->plan.buckets : 0, NULL);
        if (!st) st = exchange_bucket(g, k, last, empty, threads);
        collective_end();
        if (!st && last && device_is_staged(g)) take_back(g, k, empty);
        double took = clock_seconds() - begin;
        pthread_mutex_lock(&g->lock);
        g->busy_s += took;
        if (!st) continue;
        g->error = st;
        snprintf(g->message, sizeof g->message, "%s", status_message());
    }
    g->total_is_empty = empty && !any_contributes(g);
}

static void *exchange_main(void *argument)
{
    Gradients *g = argument;
    pthread_mutex_lock(&g->lock);
    for (;;) {
        while (g->asked == g->answered && !g->stop) pthread_cond_wait(&g->work, &g->lock);
        if (g->stop) break;
        exchange_micro_step(g);
        g->answered++;
        pthread_cond_broadcast(&g->done);
    }
    pthread_mutex_unlock(&g->lock);
    return NULL;
}

void exchange_alone(Gradients *g)
{
    g->contributes[0] = g->has_granule;
    add_up(g, g->everything, g->total_is_empty, g->threads);
    g->total_is_empty &= !g->has_granule;
}

Status exchange_start(Gradients *g)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    g->has_thread = !pthread_create(&g->thread, NULL, exchange_main, g);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return g->has_thread ? OK : status_raise(STATUS_MEMORY, "the system gives no thread for communication");
}

bool exchange_stop(Gradients *g)
{
    struct timespec until;
    if (!g->has_thread) return true;
    pthread_mutex_lock(&g->lock);
    g->stop = true;
    pthread_cond_broadcast(&g->work);
    pthread_mutex_unlock(&g->lock);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_S;
    if (!pthread_timedjoin_np(g->thread, NULL, &until)) return true;
    pthread_detach(g->thread);
    return false;
}
