/* Power lost, or a call refused, at every moment of two saves and a rotation: the newest checkpoint that was promised
 * loads. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/checkpoint/support/crash_disk.h"
#include "tests/checkpoint/support/toy_run.h"
#include "trainer/base/log.h"

static char root[64];

static int set_up(void **state)
{
    (void)state;
    log_set(LOG_ERROR + 1, 1);
    return scratch_dir(root) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    file_hook(NULL, NULL);
    return dir_remove(root) == OK ? 0 : -1;
}

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != OK) fail_msg("%s: %s", #call, status_message());                                                 \
    } while (0)

static CheckpointStore *open_store(const char *dir, int64_t limit)
{
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = dir, .save_total_limit = limit, .lock_wait_s = -1};
    assert_ok(checkpoint_store_open(&o, &store));
    return store;
}

/* What a restart finds in dir must be good and of at least step `floor`; returns its step, 0 for none. */
static int64_t restart(const char *dir, Toy *t, int64_t floor, const char *when)
{
    Checkpoint found, found_too;
    bool any;
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = dir, .lock_wait_s = -1};
    if (checkpoint_store_open(&o, &store) != OK) fail_msg("%s: %s", when, status_message());
    if (checkpoint_find(store, "true", &found, &any) != OK) fail_msg("%s: %s", when, status_message());
    if (!any && floor) fail_msg("%s: nothing is left of step %ld", when, (long)floor);
    if (any && found.step < floor) fail_msg("%s: step %ld after %ld was promised", when, (long)found.step, (long)floor);
    if (any && toy_load(t, found.path) != OK) fail_msg("%s: %s", when, status_message());
    if (any && toy_wrong(t, found.step)) fail_msg("%s: %s", when, toy_wrong(t, found.step));
    checkpoint_store_close(store);
    Arena *arena;
    char **names;
    size_t n;
    assert_ok(arena_new(&arena));
    assert_ok(dir_list(dir, arena, &names, &n));
    for (size_t i = 0; i < n; i++) /* leftovers are gone, and nothing had to be declared corrupt */
        if (names[i][0] == '.' || strncmp(names[i], "corrupt", 7) == 0) fail_msg("%s: %s is there", when, names[i]);
    for (size_t i = 0; i < n; i++) { /* and whatever looks like a checkpoint is one */
        char *path = path_join(arena, dir, names[i]);
        if (strncmp(names[i], "checkpoint-", 11) == 0 && checkpoint_read_manifest(path, true, &found_too) != OK)
            fail_msg("%s: %s", when, status_message());
    }
    arena_free(arena);
    return any ? found.step : 0;
}

enum { MOST_PROMISES = 16 };

/* From the operation on, this step is promised. */
typedef struct Promise {
    size_t op;
    int64_t step;
} Promise;

static size_t promises(const Recording *r, Promise *list, size_t n, int64_t step)
{
    list[n] = (Promise){r->count, step};
    return n + 1;
}

static void replay(Recording *r, const Promise *list, size_t promise_count)
{
    static const char *const modes[] = {"all", "synced", "names", "zeros", "half", "deep"};
    Disk d = {.root = {.is_dir = true}};
    Toy *t = toy_new(0, 1, 1);
    char copy[96], when[160];
    int64_t floor = 0;
    assert_ok(arena_new(&d.arena));
    snprintf(copy, sizeof copy, "%s/after", root);
    for (size_t k = 0; k <= r->count; k++) {
        for (size_t p = 0; p < promise_count; p++)
            if (list[p].op <= k && list[p].step > floor) floor = list[p].step;
        for (int mode = 0; mode < CRASH_MODES; mode++) {
            snprintf(when, sizeof when, "crash after operation %zu of %zu (%d %s), %s", k, r->count,
                     k ? (int)r->ops[k - 1].op : -1, k ? r->ops[k - 1].path : "", modes[mode]);
            assert_ok(dir_make(copy));
            if (!disk_restore(&d, copy, mode)) fail_msg("%s: %s", when, status_message());
            restart(copy, t, floor, when);
            assert_ok(dir_remove(copy));
        }
        if (k == r->count) break;
        const char *wrong = disk_apply(&d, &r->ops[k]);
        if (wrong) fail_msg("operation %zu (%d, %s): %s", k, (int)r->ops[k].op, r->ops[k].path, wrong);
    }
    arena_free(d.arena);
    toy_free(t);
}

static void power_lost_at_any_operation_leaves_the_promised_checkpoint(void **state)
{
    (void)state;
    char dir[80];
    Recording r = {.lock = PTHREAD_MUTEX_INITIALIZER, .root = dir};
    Promise list[MOST_PROMISES];
    size_t n = 0;
    Toy *t = toy_new(0, 1, 1);
    snprintf(dir, sizeof dir, "%s/run", root);
    assert_ok(dir_make(dir));
    file_hook(record_hook, &r);
    CheckpointStore *store = open_store(dir, 1);
    assert_ok(toy_save(store, t, 10, -1));
    n = promises(&r, list, n, 10);
    assert_ok(toy_save(store, t, 20, -1)); /* rotates 10 away */
    n = promises(&r, list, n, 20);
    assert_ok(toy_save(store, t, 20, -1)); /* takes its place */
    file_hook(NULL, NULL);
    assert_true(r.count > 40);
    checkpoint_store_close(store);
    replay(&r, list, n);
    recording_free(&r);
    toy_free(t);
}

typedef struct TwoSaves {
    Recording *recording;
    Promise *list;
} TwoSaves;

static const char *two_saves(const RankGroup *group, void *argument)
{
    TwoSaves *job = argument;
    const char *wrong = NULL;
    char dir[80];
    snprintf(dir, sizeof dir, "%s/run", root);
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = dir, .save_total_limit = 1, .group = group};
    Toy *t = toy_new(group->rank, group->size, 1);
    if (checkpoint_store_open(&o, &store) != OK) return status_message();
    for (int s = 0; s < 2 && !wrong; s++) {
        if (toy_save(store, t, 10 * (s + 1), -1) != OK) wrong = status_message();
        if (group->rank == 0) promises(job->recording, job->list, (size_t)s, 10 * (s + 1));
        if (group->agree(group->context, OK) != OK) wrong = status_message();
    }
    checkpoint_store_close(store);
    toy_free(t);
    return wrong;
}

static void power_lost_while_two_ranks_save_leaves_the_promised_checkpoint(void **state)
{
    (void)state;
    char dir[80];
    Recording r = {.lock = PTHREAD_MUTEX_INITIALIZER, .root = dir};
    Promise list[2];
    TwoSaves job = {&r, list};
    snprintf(dir, sizeof dir, "%s/run", root);
    assert_ok(dir_make(dir));
    file_hook(record_hook, &r);
    const char *wrong = on_ranks(2, two_saves, &job);
    file_hook(NULL, NULL);
    if (wrong) fail_msg("%s", wrong);
    replay(&r, list, 2);
    recording_free(&r);
}

/* The replayer must be able to find a fault: the same operations without one kind of sync. */
static bool survives_without(FileOp op, const Recording *all)
{
    Disk d = {.root = {.is_dir = true}};
    Checkpoint found;
    bool good = false;
    char copy[96], inner[128];
    assert_ok(arena_new(&d.arena));
    snprintf(copy, sizeof copy, "%s/after", root);
    for (size_t k = 0; k < all->count; k++)
        if (all->ops[k].op != op) (void)disk_apply(&d, &all->ops[k]);
    for (int mode = 0; mode < CRASH_MODES; mode++) {
        assert_ok(dir_make(copy));
        assert_true(disk_restore(&d, copy, mode));
        snprintf(inner, sizeof inner, "%s/checkpoint-10", copy);
        good = checkpoint_read_manifest(inner, true, &found) == OK;
        assert_ok(dir_remove(copy));
        if (!good) break;
    }
    arena_free(d.arena);
    return good;
}

static void the_crashing_disk_notices_a_missing_sync(void **state)
{
    (void)state;
    char dir[80];
    Recording r = {.lock = PTHREAD_MUTEX_INITIALIZER, .root = dir};
    Toy *t = toy_new(0, 1, 1);
    snprintf(dir, sizeof dir, "%s/run", root);
    assert_ok(dir_make(dir));
    file_hook(record_hook, &r);
    CheckpointStore *store = open_store(dir, 1);
    assert_ok(toy_save(store, t, 10, -1));
    file_hook(NULL, NULL);
    checkpoint_store_close(store);
    assert_true(survives_without(FILE_READ, &r)); /* that is, with all of them */
    assert_false(survives_without(FILE_SYNC, &r));
    assert_false(survives_without(FILE_SYNCDIR, &r));
    recording_free(&r);
    toy_free(t);
}

/* ---- calls that fail ---- */
typedef struct Fault {
    long calls, at;
    int error;
    bool lasting; /* from then on: every call that needs space */
    bool shorten; /* the write is cut short instead */
    pthread_mutex_t lock;
} Fault;

static int fault_hook(void *context, const FileCall *call, size_t *size)
{
    Fault *f = context;
    pthread_mutex_lock(&f->lock);
    long n = ++f->calls;
    pthread_mutex_unlock(&f->lock);
    bool needs_space =
        call->op == FILE_WRITE || call->op == FILE_CREATE || call->op == FILE_MKDIR || call->op == FILE_SYNC;
    if (f->shorten) {
        if (call->op == FILE_WRITE && n >= f->at && *size > 5) *size = 5;
        return 0;
    }
    return n == f->at || (f->lasting && n > f->at && needs_space) ? f->error : 0;
}

static bool has_leftover(const char *dir)
{
    bool yes = false;
    Arena *arena;
    char **names;
    size_t n;
    assert_ok(arena_new(&arena));
    assert_ok(dir_list(dir, arena, &names, &n));
    for (size_t i = 0; i < n; i++) yes |= strncmp(names[i], ".tmp-", 5) == 0;
    arena_free(arena);
    return yes;
}

/* Saves 10, then 20 with the fault, then 30. Returns false once the fault lies beyond the last call. */
static bool save_with_fault(Fault *fault, const char *what)
{
    char dir[96], when[128];
    Toy *t = toy_new(0, 1, 1);
    snprintf(dir, sizeof dir, "%s/run", root);
    snprintf(when, sizeof when, "%s at call %ld", what, fault->at);
    CheckpointStore *store = open_store(dir, 1);
    assert_ok(toy_save(store, t, 10, -1));
    fault->calls = 0;
    int kept = hush();
    file_hook(fault_hook, fault);
    Status st = toy_save(store, t, 20, -1);
    bool failed = checkpoint_failed(store);
    file_hook(NULL, NULL);
    unhush(kept);
    bool reached = fault->calls >= fault->at;
    if (fault->shorten && st != OK) fail_msg("%s: %s", when, status_message());
    if (failed && !fault->lasting && has_leftover(dir)) fail_msg("%s: something is left behind", when);
    checkpoint_store_close(store);
    int64_t step = restart(dir, t, failed ? 10 : 20, when);
    store = open_store(dir, 1); /* the disk is well again */
    Checkpoint found;
    bool any;
    assert_ok(checkpoint_find(store, "true", &found, &any));
    assert_int_equal(found.step, step);
    assert_ok(checkpoint_resume(store, &found, -1));
    assert_ok(toy_save(store, t, 30, -1));
    checkpoint_store_close(store);
    restart(dir, t, 30, when);
    assert_ok(dir_remove(dir));
    toy_free(t);
    return reached;
}

static void a_call_that_fails_at_any_place_costs_at_most_the_save(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        int error;
        bool lasting, shorten;
    } kinds[] = {{"ENOSPC", ENOSPC, false, false},
                 {"a disk that stays full", ENOSPC, true, false},
                 {"EIO", EIO, false, false},
                 {"short writes", 0, false, true}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        Fault f = {.error = kinds[i].error,
                   .lasting = kinds[i].lasting,
                   .shorten = kinds[i].shorten,
                   .lock = PTHREAD_MUTEX_INITIALIZER};
        for (f.at = 1; save_with_fault(&f, kinds[i].what); f.at += f.shorten ? 7 : 1) {
        }
        assert_true(f.at > 30);
    }
}

static void a_failed_save_leaves_the_run_saving(void **state)
{
    (void)state;
    char dir[96];
    Toy *t = toy_new(0, 1, 1);
    Fault f = {.at = 12, .error = ENOSPC, .lasting = true, .lock = PTHREAD_MUTEX_INITIALIZER};
    snprintf(dir, sizeof dir, "%s/run", root);
    CheckpointStore *store = open_store(dir, 1);
    assert_ok(toy_save(store, t, 10, -1));
    int kept = hush();
    file_hook(fault_hook, &f);
    Status st = toy_save(store, t, 20, -1);
    file_hook(NULL, NULL);
    unhush(kept);
    assert_int_equal(st, STATUS_SPACE);
    assert_true(checkpoint_failed(store));
    assert_ok(toy_save(store, t, 30, -1));
    assert_true(checkpoint_failed(store)); /* the run still ends with status 1 */
    checkpoint_store_close(store);
    assert_int_equal(restart(dir, t, 30, "afterwards"), 30);
    toy_free(t);
}

/* ---- kill -9 ---- */
static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* A job that resumes, saves step after step, and reports each finished save on a pipe. */
static void child_run(const char *dir, int report)
{
    Checkpoint found;
    bool any;
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = dir, .save_total_limit = 2, .lock_wait_s = 5};
    Toy *t = toy_new(0, 1, 1);
    int64_t step = 0;
    if (checkpoint_store_open(&o, &store) != OK || checkpoint_find(store, "true", &found, &any) != OK) _exit(2);
    if (any) {
        step = found.step;
        if (toy_load(t, found.path) != OK || toy_wrong(t, step) || checkpoint_resume(store, &found, -1) != OK) _exit(3);
    }
    for (;;) {
        if (toy_save(store, t, ++step, -1) != OK || write(report, &step, sizeof step) != sizeof step) _exit(4);
    }
}

static void killed_at_any_moment_a_run_resumes_from_its_last_save(void **state)
{
    (void)state;
    char dir[96];
    Toy *t = toy_new(0, 1, 1);
    int64_t promised = 0, step;
    int kills = 0;
    double end = now_s() + 2.5;
    snprintf(dir, sizeof dir, "%s/run", root);
    srand(17);
    while (now_s() < end) {
        int pipes[2], status;
        assert_int_equal(pipe(pipes), 0);
        pid_t child = fork();
        if (child == 0) {
            close(pipes[0]);
            child_run(dir, pipes[1]);
        }
        close(pipes[1]);
        usleep((useconds_t)(2000 + rand() % 30000));
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status)) fail_msg("the child ended by itself: %d", WEXITSTATUS(status));
        while (read(pipes[0], &step, sizeof step) == sizeof step) promised = step;
        close(pipes[0]);
        kills++;
        restart(dir, t, promised, "after kill -9");
    }
    assert_true(kills > 3);
    assert_true(promised > 0);
    toy_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(the_crashing_disk_notices_a_missing_sync),
        TEST(power_lost_at_any_operation_leaves_the_promised_checkpoint),
        TEST(power_lost_while_two_ranks_save_leaves_the_promised_checkpoint),
        TEST(a_call_that_fails_at_any_place_costs_at_most_the_save),
        TEST(a_failed_save_leaves_the_run_saving),
        TEST(killed_at_any_moment_a_run_resumes_from_its_last_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
