/* For test programs that run alone and under mpirun: one process group for all tests, and groups that wrap it. */
#ifndef HONE_TESTS_DISTRIBUTED_MPI_TEST_H
#define HONE_TESTS_DISTRIBUTED_MPI_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "trainer/distributed/process_group.h"

enum { TEST_LIMIT_S = 240 };

static ProcessGroup *world;

/* A wrapper: shares what `inner` shares (or nothing), and each barrier and exchange takes delay_s longer. */
typedef struct Wrapper {
    ProcessGroup base, *inner;
    bool shares;
    double delay_s;
} Wrapper;

static Wrapper *wrapper(ProcessGroup *pg) { return (Wrapper *)pg; }
static const GroupOps WRAPPER_OPS;

static inline ProcessGroup *wrap(ProcessGroup *inner, bool shares, double delay_s)
{
    Wrapper *w = calloc(1, sizeof *w);
    *w = (Wrapper){.base = *inner, .inner = inner, .shares = shares, .delay_s = delay_s};
    w->base.ops = &WRAPPER_OPS;
    return &w->base;
}

static inline void sleep_s(double seconds)
{
    if (seconds > 0)
        nanosleep(&(struct timespec){(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)}, NULL);
}

static Status wrapper_duplicate(ProcessGroup *pg, ProcessGroup **out)
{
    ProcessGroup *inner;
    Status st = group_duplicate(wrapper(pg)->inner, &inner);
    if (!st) *out = wrap(inner, wrapper(pg)->shares, wrapper(pg)->delay_s);
    return st;
}

static Status wrapper_barrier(ProcessGroup *pg)
{
    sleep_s(wrapper(pg)->delay_s);
    return group_barrier(wrapper(pg)->inner);
}

static Status wrapper_broadcast(ProcessGroup *pg, void *data, size_t bytes, int root)
{
    return group_broadcast(wrapper(pg)->inner, data, bytes, root);
}

static Status wrapper_all_gather(ProcessGroup *pg, const void *mine, void *all, size_t bytes)
{
    return group_all_gather(wrapper(pg)->inner, mine, all, bytes);
}

static Status wrapper_exchange(ProcessGroup *pg, const void *send, const size_t *send_bytes, const size_t *send_at,
                               void *receive, const size_t *receive_bytes, const size_t *receive_at)
{
    sleep_s(wrapper(pg)->delay_s);
    return group_exchange(wrapper(pg)->inner, send, send_bytes, send_at, receive, receive_bytes, receive_at);
}

static Status wrapper_all_gather_parts(ProcessGroup *pg, void *data, const size_t *bytes, const size_t *at)
{
    return group_all_gather_parts(wrapper(pg)->inner, data, bytes, at);
}

static bool wrapper_can_share(const ProcessGroup *pg)
{
    const Wrapper *w = (const Wrapper *)pg;
    return w->shares && group_can_share(w->inner);
}

static Status wrapper_share(ProcessGroup *pg, size_t bytes, SharedMemory *out)
{
    return group_share(wrapper(pg)->inner, bytes, out);
}

static void wrapper_close(ProcessGroup *pg)
{
    if (wrapper(pg)->inner != world) group_close(wrapper(pg)->inner);
    free(pg);
}

static const GroupOps WRAPPER_OPS = {
    .name = "wrapper",
    .duplicate = wrapper_duplicate,
    .barrier = wrapper_barrier,
    .broadcast = wrapper_broadcast,
    .all_gather = wrapper_all_gather,
    .exchange = wrapper_exchange,
    .all_gather_parts = wrapper_all_gather_parts,
    .can_share = wrapper_can_share,
    .share = wrapper_share,
    .close = wrapper_close,
};

/* A test that fails on one rank leaves the others waiting: the alarm ends them. */
static inline void open_world(void)
{
    alarm(TEST_LIMIT_S);
    if (group_open(&world) != OK) {
        print_error("%s\n", status_message());
        exit(1);
    }
}

static inline int close_world(int failed)
{
    if (failed) group_abort(world, 1);
    group_close(world);
    return failed ? 1 : 0;
}

#endif
