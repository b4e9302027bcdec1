/* Stopping on request (verified with mpirun, srun and a single process).
 *
 * One thread sits in sigtimedwait; a request is one atomic. It also watches the deadline, so the loop asks no clock.
 * A signal that comes a second time gets its old meaning back: it is unblocked in this thread and raised again,
 * which ends the process unless somebody handles it. */
#include "trainer/callbacks/signals.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include "trainer/base/log.h"
#include "trainer/callbacks/timing.h"

static _Atomic(const char *) reason;
static atomic_bool closing, told; /* told: the line about the request is out */
static bool of_several;           /* set before the waiter starts, as the next */
static bool saves = true;
static bool running, blocked; /* the main thread's */
static pthread_t waiter;
static double deadline; /* on timing_now's clock; 0: none */
static sigset_t old_mask;

/* A SIGINT that is ignored stays ignored: a shell's background job must not be stopped by Ctrl-C to another. */
static void watched(sigset_t *set)
{
    struct sigaction old;
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    if (sigaction(SIGINT, NULL, &old) || old.sa_handler != SIG_IGN) sigaddset(set, SIGINT);
    sigaddset(set, SIGUSR1);
}

Status signals_block(void)
{
    sigset_t set;
    if (blocked) return OK;
    watched(&set);
    int error = pthread_sigmask(SIG_BLOCK, &set, &old_mask);
    if (error) return status_raise(STATUS_IO, "cannot block signals: %s", strerror(error));
    blocked = true;
    return OK;
}

void stop_request(const char *why)
{
    const char *none = NULL;
    atomic_compare_exchange_strong(&reason, &none, why);
}

bool stop_requested(void) { return atomic_load_explicit(&reason, memory_order_relaxed) != NULL; }
const char *stop_reason(void) { return atomic_load(&reason); }

static void tell(const char *why, const char *more)
{
    const char *over = strncmp(why, "max_", 4) == 0 ? " is over" : "";
    const char *after = saves ? "this step and a save" : "this batch";
    if (!atomic_exchange(&told, true)) log_info("%s%s: stopping after %s%s", why, over, after, more);
}

void stop_tell(const char *why) { tell(why, ""); }

/* A launcher sends TERM also to end the ranks that are left when one has failed: then nothing is saved, and nothing
 * may be promised. The first of INT and TERM asks; the second ends the process, as it would have without us. */
static void take(int signal, int *urgent)
{
    sigset_t set;
    const char *name = signal == SIGTERM ? "SIGTERM" : signal == SIGINT ? "SIGINT" : "SIGUSR1";
    if (signal != SIGUSR1 && ++*urgent > 1) {
        sigemptyset(&set);
        sigaddset(&set, signal);
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
        pthread_kill(pthread_self(), signal);
        return;
    }
    if (!stop_requested() && signal == SIGUSR1) stop_tell(name);
    else if (!stop_requested() && !(of_several && signal == SIGTERM))
        tell(name, saves ? "; once more to stop at once, without a save" : "; once more to stop at once");
    stop_request(name);
}

/* Until the deadline; an hour where there is none. */
static struct timespec patience(void)
{
    double wait_s = 3600;
    if (deadline > 0 && !stop_requested()) wait_s = deadline - timing_now();
    if (wait_s < 0) wait_s = 0;
    if (wait_s > 3600) wait_s = 3600;
    return (struct timespec){.tv_sec = (time_t)wait_s, .tv_nsec = (long)((wait_s - (double)(time_t)wait_s) * 1e9)};
}

static void *wait_for_signals(void *unused)
{
    sigset_t set;
    int urgent = 0;
    watched(&set);
    while (!atomic_load(&closing)) {
        struct timespec limit = patience();
        int signal = sigtimedwait(&set, NULL, &limit);
        if (atomic_load(&closing)) break; /* signals_close's own USR1 */
        if (signal > 0) take(signal, &urgent);
        if (deadline > 0 && timing_now() >= deadline && !stop_requested()) {
            stop_tell("max_time");
            stop_request("max_time");
        }
    }
    return unused;
}

void signals_of_evaluation(void) { saves = false; }

Status signals_open(double max_time, double started, int ranks)
{
    Status st = OK;
    if (running) RAISE(BUG, "signals are waited for already");
    TRY(signals_block());
    deadline = max_time > 0 ? started + max_time : 0;
    of_several = ranks > 1;
    atomic_store(&closing, false);
    int error = pthread_create(&waiter, NULL, wait_for_signals, NULL);
    if (error) RAISE(IO, "cannot start the thread that waits for signals: %s", strerror(error));
    running = true;
done:
    return st;
}

void signals_close(void)
{
    if (running) {
        atomic_store(&closing, true);
        pthread_kill(waiter, SIGUSR1);
        pthread_join(waiter, NULL);
        running = false;
    }
    if (blocked) {
        sigset_t set;
        struct timespec at_once = {0};
        watched(&set);
        while (sigtimedwait(&set, NULL, &at_once) > 0) continue; /* one more request changes nothing now */
        sigaddset(&old_mask, SIGUSR1);
        pthread_sigmask(SIG_SETMASK, &old_mask, NULL);
        blocked = false;
    }
    atomic_store(&reason, NULL);
    atomic_store(&told, false);
    saves = true;
}
