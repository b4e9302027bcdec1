/* Beginning a save, and learning how it ended. What can fail here fails the save, not the run: it is logged,
 * remembered, and the run trains on. Only a group that cannot agree, or a bug of the caller's, comes back as an error.
 */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/checkpoint/checkpoint_internal.h"

static bool ends_the_run(Status st) { return st == STATUS_COMM || st == STATUS_BUG; }

/* The job's memory; whatever happens to the save, its outcome has a place. */
static Status job_new(CheckpointStore *store, const SaveRequest *request, SaveJob **out)
{
    Status st = OK;
    Arena *arena = NULL;
    SaveJob *job = NULL;
    TRY(arena_new(&arena));
    TRY_NEW(arena, job, 1);
    job->store = store;
    job->arena = arena;
    job->step = request->step;
    job->best_step = request->best_step;
    job->serial = store->serial;
    job->begun_s = clock_seconds();
    job->temporary = arena_printf(arena, "%s/.tmp-checkpoint-%" PRId64 "-%s-%" PRIu64, store->dir, job->step,
                                  store->session, job->serial);
    TRY_MEMORY(job->temporary);
    job->final = arena_printf(arena, "%s/checkpoint-%" PRId64, store->dir, job->step);
    TRY_MEMORY(job->final);
    *out = job;
    arena = NULL;
done:
    arena_free(arena);
    return st;
}

static Status prepare(SaveJob *job, const SaveRequest *request)
{
    Status st = OK;
    TRY(plan_small_files(job, request));
    TRY(plan_live_files(job, request));
    if (store_is_first(job->store)) TRY(dir_make(job->temporary));
done:
    return st;
}

/* Signals belong to the main thread. */
static Status start_thread(SaveJob *job)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&job->thread, NULL, writer_thread, job);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    job->has_thread = error == 0;
    return error ? status_raise(STATUS_MEMORY, "cannot start the writer thread: %s", strerror(error)) : OK;
}

static void drop_job(CheckpointStore *store, SaveJob *job)
{
    CheckpointStats stats = checkpoint_stats(store);
    store->copied_peak = stats.copied_peak;
    store->wait_ns = (uint64_t)(stats.guard_wait_s * 1e9);
    snapshot_clear(&store->snapshot);
    store->snapshot.peak = 0;
    atomic_store(&store->snapshot.wait_ns, 0);
    arena_free(job->arena);
}

/* A save that did not even begin, on any rank: nothing of it stays. */
static Status give_up(CheckpointStore *store, SaveJob *job, Status st)
{
    char message[sizeof job->message];
    snprintf(message, sizeof message, "%s", status_message());
    if (job) {
        if (store_is_first(store) && dir_remove(job->temporary) != OK)
            log_warning("what a failed save left stays until the next start: %s", status_message());
        drop_job(store, job);
    }
    if (!ends_the_run(st)) {
        if (store_is_first(store)) log_error("checkpoint not saved: %s; training goes on", message);
        store->failed = true;
        return OK;
    }
    return status_raise(st, "%s", message);
}

Status checkpoint_save_begin(CheckpointStore *store, const SaveRequest *request)
{
    SaveJob *job = NULL;
    char unprepared[sizeof job->message] = ""; /* the wait may raise another message */
    if (request->prepared != OK) snprintf(unprepared, sizeof unprepared, "%s", status_message());
    Status st = checkpoint_wait(store);
    if (ends_the_run(st)) return st;
    store->serial++;
    st = request->prepared != OK ? status_raise(request->prepared, "%s", unprepared) : job_new(store, request, &job);
    if (st == OK) st = prepare(job, request);
    if (st == OK) st = snapshot_start(&store->snapshot);
    st = store_agree(store, st);
    if (st != OK) return give_up(store, job, st);
    store->job = job;
    if ((st = start_thread(job)) != OK) { /* the others have begun: it ends as a failed save at the next wait */
        job->status = st;
        snprintf(job->message, sizeof job->message, "%s", status_message());
        snapshot_abandon(&store->snapshot, 0);
        if (!store_is_first(store))
            peer_say_failed(job);
        else if (dir_remove(job->temporary) != OK)
            log_warning("what a failed save left stays: %s", status_message());
        atomic_store(&job->over, true);
    }
    return OK;
}

Status checkpoint_wait(CheckpointStore *store)
{
    SaveJob *job = store->job;
    if (!job) return OK;
    if (job->has_thread) pthread_join(job->thread, NULL);
    Status mine = job->status;
    if (mine != OK) status_raise(mine, "%s", job->message);
    Status st = store_agree(store, mine);
    if (st != OK) {
        store->failed = true;
        if (store_is_first(store)) {
            char message[sizeof job->message];
            snprintf(message, sizeof message, "%s", status_message());
            log_error("%s was not saved: %s", job->final, message);
            status_raise(st, "%s", message);
        }
    }
    if (st == OK) store->saved_step = job->step;
    store->job = NULL;
    drop_job(store, job);
    return st;
}

void checkpoint_guard(CheckpointStore *store, const void *p, size_t bytes)
{
    if (store) snapshot_guard(&store->snapshot, p, bytes);
}

bool checkpoint_pending(const CheckpointStore *store) { return store->job && !atomic_load(&store->job->over); }

bool checkpoint_failed(const CheckpointStore *store)
{
    const SaveJob *job = store->job;
    return store->failed || (job && atomic_load(&job->over) && job->status != OK);
}

int64_t checkpoint_saved_step(const CheckpointStore *store) { return store->saved_step; }

CheckpointStats checkpoint_stats(const CheckpointStore *store)
{
    Snapshot *s = (Snapshot *)(uintptr_t)&store->snapshot; /* its lock */
    CheckpointStats stats = {0};
    pthread_mutex_lock(&s->lock);
    stats.copied_bytes = s->used;
    stats.copied_peak = s->peak > store->copied_peak ? s->peak : store->copied_peak;
    pthread_mutex_unlock(&s->lock);
    stats.guard_wait_s = 1e-9 * (double)(store->wait_ns + atomic_load(&s->wait_ns));
    return stats;
}
