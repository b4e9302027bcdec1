/* The pool. A run is published as a ticket: (generation << 32 | next task). Whoever is free claims the next task by
 * compare-and-swap on the ticket, so a thread that wakes late, or holds an old ticket, can claim nothing of a run that
 * is over; the caller waits for the tasks, not for the threads: a thread that the system has taken off its core delays
 * nobody. What a run consists of changes only while the ticket is shut: a thread that has read an old ticket and the
 * new number of tasks would claim a task that the old run never had. An idle thread spins for a moment (kernels follow
 * one another within microseconds), then sleeps on a futex: ranks may share cores. */
#include "kernels/threads.h"

#include <assert.h>
#include <dlfcn.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { SPIN_NS = 20000, CACHE_LINE = 64 };

typedef struct Worker { Threads *pool; pthread_t id; int thread; } Worker;

struct Threads {
    int n, started;
    int64_t spin_ns; /* 0 where the pool has more threads than cores to run on */
    _Atomic(ThreadsBody *) body;
    _Atomic(void *) context;
    _Atomic int64_t tasks;
    _Alignas(CACHE_LINE) _Atomic uint64_t ticket;
    _Alignas(CACHE_LINE) _Atomic uint32_t
        generation; /* workers sleep on it; odd steps mean nothing, a change means work or stop */
    _Atomic int sleeping;
    _Atomic bool stop;
    _Alignas(CACHE_LINE) _Atomic int64_t done; /* tasks finished of this run */
    _Atomic uint32_t finished; /* generation of the last run whose tasks are all done; the caller sleeps on it */
    _Atomic bool caller_sleeps;
    Worker workers[];
};

static void futex_sleep(_Atomic uint32_t *word, uint32_t seen)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word, int count)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, NULL, NULL, 0);
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void pause_cpu(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* True as soon as *word is not `seen`; false after the pool's spinning time. */
static bool spin_until_changed(const Threads *t, _Atomic uint32_t *word, uint32_t seen)
{
    if (atomic_load(word) != seen) return true;
    if (!t->spin_ns) return false;
    for (int64_t end = now_ns() + t->spin_ns; now_ns() < end;)
        for (int i = 0; i < 16; i++, pause_cpu())
            if (atomic_load_explicit(word, memory_order_acquire) != seen) return true;
    return false;
}

/* The matrix library's OpenMP keeps its thread count per calling thread: with 1 it makes no team and wakes nobody.
 * Looked up at run time, because a build on another library may have no OpenMP. */
static void stay_single_threaded(void)
{
    static _Thread_local bool told;
    if (told) return;
    told = true;
    void (*set)(int);
    *(void **)&set = dlsym(RTLD_DEFAULT, "omp_set_num_threads");
    if (set) set(1);
}

/* Claims and runs tasks of `generation` until none is left. */
static void work(Threads *t, uint32_t generation, int thread)
{
    for (;;) {
        uint64_t ticket = atomic_load(&t->ticket);
        ThreadsBody *body = atomic_load(&t->body);
        void *context = atomic_load(&t->context);
        int64_t tasks = atomic_load(&t->tasks);
        int64_t task = (int64_t)(uint32_t)ticket;
        if (ticket >> 32 != generation || task >= tasks) return;
        if (!atomic_compare_exchange_weak(&t->ticket, &ticket, ticket + 1)) continue;
        /* Claimed: the ticket was not shut since it was read, so what was read after it is this run's. */
        body(context, task, thread);
        if (atomic_fetch_add(&t->done, 1) + 1 == tasks) {
            atomic_store(&t->finished, generation);
            if (atomic_load(&t->caller_sleeps)) futex_wake(&t->finished, 1);
        }
    }
}

static void *worker_main(void *argument)
{
    const Worker *w = argument;
    Threads *t = w->pool;
    stay_single_threaded();
    for (uint32_t seen = 0;;) {
        if (!spin_until_changed(t, &t->generation, seen)) {
            atomic_fetch_add(&t->sleeping, 1);
            while (atomic_load(&t->generation) == seen) futex_sleep(&t->generation, seen);
            atomic_fetch_sub(&t->sleeping, 1);
        }
        seen = atomic_load(&t->generation);
        if (atomic_load(&t->stop)) return NULL;
        work(t, seen, w->thread);
    }
}

static void publish(Threads *t, uint32_t generation)
{
    atomic_store(&t->ticket, (uint64_t)generation << 32);
    atomic_store(&t->generation, generation);
    if (atomic_load(&t->sleeping)) futex_wake(&t->generation, t->n);
}

Threads *threads_new(int n)
{
    assert(n >= 1);
    size_t bytes = sizeof(Threads) + (size_t)n * sizeof(Worker);
    Threads *t = aligned_alloc(CACHE_LINE, (bytes + CACHE_LINE - 1) / CACHE_LINE * CACHE_LINE);
    if (!t) return NULL;
    *t = (Threads){.n = n};
    stay_single_threaded();

    cpu_set_t cpus;
    if (sched_getaffinity(0, sizeof cpus, &cpus) || CPU_COUNT(&cpus) >= n) t->spin_ns = SPIN_NS;
    for (int i = 1; i < n; i++) {
        t->workers[i] = (Worker){.pool = t, .thread = i};
        if (pthread_create(&t->workers[i].id, NULL, worker_main, &t->workers[i])) {
            threads_free(t);
            return NULL;
        }
        t->started++;
    }
    return t;
}

void threads_free(Threads *t)
{
    if (!t) return;
    atomic_store(&t->stop, true);
    publish(t, atomic_load(&t->generation) + 1);
    for (int i = 1; i <= t->started; i++) pthread_join(t->workers[i].id, NULL);
    free(t);
}

int threads_count(const Threads *t) { return t->n; }

void threads_run(Threads *t, int64_t tasks, ThreadsBody *body, void *context)
{
    stay_single_threaded();
    if (t->n == 1 || tasks <= 1) {
        for (int64_t i = 0; i < tasks; i++) body(context, i, 0);
        return;
    }
    assert(tasks < UINT32_MAX);
    uint32_t before = atomic_load(&t->finished), generation = atomic_load(&t->generation) + 1;
    atomic_store(&t->ticket, (uint64_t)generation << 32 | UINT32_MAX); /* shut: no thread knows this generation yet */
    atomic_store(&t->body, body);
    atomic_store(&t->context, context);
    atomic_store(&t->tasks, tasks);
    atomic_store(&t->done, 0);
    publish(t, generation);
    work(t, generation, 0);
    if (spin_until_changed(t, &t->finished, before)) return;
    atomic_store(&t->caller_sleeps, true);
    while (atomic_load(&t->finished) == before) futex_sleep(&t->finished, before);
    atomic_store(&t->caller_sleeps, false);
}
