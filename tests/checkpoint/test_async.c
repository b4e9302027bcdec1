/* Saving does not stop training: what is written is the moment of the beginning, though the memory changes meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/checkpoint/support/toy_run.h"
#include "trainer/base/log.h"

enum { SCALE = 1200, BLOCK = 65536 }; /* 275,000 elements, three arrays: 3.3 MB */

static char root[64];

static int set_up(void **state)
{
    (void)state;
    log_set(LOG_ERROR, 0);
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

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static CheckpointStore *open_store(uint64_t copy_bytes)
{
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = root, .lock_wait_s = -1, .copy_bytes = copy_bytes};
    assert_ok(checkpoint_store_open(&o, &store));
    return store;
}

/* A disk of 10 MB/s. */
static int slow_hook(void *context, const FileCall *call, size_t *size)
{
    (void)context;
    (void)size;
    if (call->op == FILE_WRITE) nanosleep(&(struct timespec){.tv_nsec = (long)call->size * 100}, NULL);
    return 0;
}

/* A disk that waits until it is told to go on. */
static _Atomic bool gate_open;
static int gate_hook(void *context, const FileCall *call, size_t *size)
{
    (void)context;
    (void)size;
    while (call->op == FILE_CREATE && !atomic_load(&gate_open)) usleep(500);
    return 0;
}

/* An optimizer's pass: every block is guarded, then overwritten, by several threads that take blocks in turn. */
typedef struct Pass {
    CheckpointStore *store;
    Toy *toy;
    int64_t step;
    _Atomic int64_t next;
    bool unguarded;
} Pass;

static void overwrite(Pass *p, float *array, int64_t begin, int64_t end)
{
    if (!p->unguarded) checkpoint_guard(p->store, array + begin, (size_t)(end - begin) * sizeof *array);
    for (int64_t i = begin; i < end; i++) array[i] = -(float)p->step;
}

static void *pass_thread(void *argument)
{
    Pass *p = argument;
    int64_t b;
    while ((b = atomic_fetch_add(&p->next, 1)) * BLOCK < p->toy->total) {
        int64_t end = (b + 1) * BLOCK < p->toy->total ? (b + 1) * BLOCK : p->toy->total;
        overwrite(p, p->toy->weights, b * BLOCK, end);
        for (int s = 0; s < 2; s++) overwrite(p, p->toy->compact[s], b * BLOCK, end); /* one rank: compact is whole */
    }
    return NULL;
}

static void optimizer_pass(CheckpointStore *store, Toy *t, int threads, bool unguarded)
{
    Pass p = {.store = store, .toy = t, .step = 999, .unguarded = unguarded};
    pthread_t thread[8];
    for (int i = 1; i < threads; i++) assert_int_equal(pthread_create(&thread[i], NULL, pass_thread, &p), 0);
    pass_thread(&p);
    for (int i = 1; i < threads; i++) pthread_join(thread[i], NULL);
}

static void check_saved(Toy *t, int64_t step)
{
    char path[96];
    snprintf(path, sizeof path, "%s/checkpoint-%ld", root, (long)step);
    Checkpoint c;
    assert_ok(checkpoint_read_manifest(path, true, &c));
    assert_ok(toy_load(t, path));
    if (toy_wrong(t, step)) fail_msg("%s", toy_wrong(t, step));
}

static void training_is_not_held_up_while_memory_for_copies_lasts(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, SCALE);
    CheckpointStore *store = open_store(0);
    for (int threads = 1; threads <= 3; threads += 2) {
        toy_set(t, threads);
        file_hook(slow_hook, NULL);
        double start = now_s();
        assert_ok(toy_begin(store, t, threads, -1));
        optimizer_pass(store, t, threads, false);
        double passed = now_s() - start;
        assert_true(checkpoint_pending(store)); /* the disk is far behind */
        assert_ok(checkpoint_wait(store));
        double saved = now_s() - start;
        file_hook(NULL, NULL);
        CheckpointStats stats = checkpoint_stats(store);
        assert_true(stats.guard_wait_s == 0);
        assert_true(stats.copied_peak > 1000000);
        assert_true(stats.copied_bytes == 0);
        assert_true(saved > 0.25);
        if (passed > saved / 3) fail_msg("the pass took %.3f s of %.3f", passed, saved);
        check_saved(t, threads);
    }
    checkpoint_store_close(store);
    toy_free(t);
}

static void without_memory_for_copies_training_waits_for_the_writer(void **state)
{
    (void)state;
    static const uint64_t budgets[] = {1, 600000}; /* less than a block; two blocks */
    for (int i = 0; i < 2; i++) {
        Toy *t = toy_new(0, 1, SCALE);
        CheckpointStore *store = open_store(budgets[i]);
        toy_set(t, 4 + i);
        file_hook(slow_hook, NULL);
        assert_ok(toy_begin(store, t, 4 + i, -1));
        optimizer_pass(store, t, 3, false);
        assert_ok(checkpoint_wait(store));
        file_hook(NULL, NULL);
        CheckpointStats stats = checkpoint_stats(store);
        assert_true(stats.guard_wait_s > 0.02);
        assert_true(stats.copied_peak <= budgets[i]);
        check_saved(t, 4 + i);
        checkpoint_store_close(store);
        toy_free(t);
    }
}

static void without_guards_the_checkpoint_is_wrong(void **state)
{
    (void)state; /* that is, the tests above can fail */
    Toy *t = toy_new(0, 1, SCALE);
    CheckpointStore *store = open_store(0);
    toy_set(t, 1);
    file_hook(gate_hook, NULL);
    atomic_store(&gate_open, false);
    assert_ok(toy_begin(store, t, 1, -1));
    optimizer_pass(store, t, 1, true);
    atomic_store(&gate_open, true);
    assert_ok(checkpoint_wait(store));
    char path[96];
    snprintf(path, sizeof path, "%s/checkpoint-1", root);
    assert_ok(toy_load(t, path));
    assert_non_null(toy_wrong(t, 1));
    checkpoint_store_close(store);
    toy_free(t);
}

static void a_save_that_fails_frees_those_who_wait(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, SCALE);
    CheckpointStore *store = open_store(1);
    char blocker[128];
    toy_set(t, 1);
    file_hook(gate_hook, NULL);
    atomic_store(&gate_open, false);
    assert_ok(toy_begin(store, t, 1, -1));
    /* The writer hangs at its first file; that file's directory vanishes, then it may go on. */
    snprintf(blocker, sizeof blocker, "%s/.tmp-checkpoint-1-%s-1", root, checkpoint_run_id(store));
    assert_int_equal(rmdir(blocker), 0);
    pthread_t thread;
    Pass p = {.store = store, .toy = t, .step = 999};
    assert_int_equal(pthread_create(&thread, NULL, pass_thread, &p), 0);
    usleep(20000);
    assert_int_equal(atomic_load(&p.next), 1); /* waits */
    int kept = hush();
    atomic_store(&gate_open, true);
    pthread_join(thread, NULL);
    Status st = checkpoint_wait(store);
    unhush(kept);
    assert_int_equal(st, STATUS_MISSING);
    assert_true(checkpoint_failed(store));
    file_hook(NULL, NULL);
    checkpoint_store_close(store);
    toy_free(t);
}

static void a_second_save_waits_for_the_first(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, SCALE);
    CheckpointStore *store = open_store(0);
    toy_set(t, 1);
    assert_ok(toy_begin(store, t, 1, -1));
    optimizer_pass(store, t, 2, false);
    checkpoint_guard(store, t->weights, (size_t)t->total * sizeof(float));
    for (int s = 0; s < 2; s++) checkpoint_guard(store, t->compact[s], (size_t)t->total * sizeof(float));
    toy_set(t, 2);
    assert_ok(toy_begin(store, t, 2, -1));
    while (checkpoint_pending(store)) usleep(1000);
    assert_ok(checkpoint_wait(store));
    assert_int_equal(checkpoint_saved_step(store), 2);
    assert_false(checkpoint_failed(store));
    check_saved(t, 1);
    check_saved(t, 2);
    checkpoint_store_close(store);
    toy_free(t);
}

static void a_guard_costs_nanoseconds_when_nothing_is_pending(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    CheckpointStore *store = open_store(0);
    assert_ok(toy_save(store, t, 1, -1));
    double start = now_s();
    for (int i = 0; i < 1000000; i++) checkpoint_guard(store, t->weights + i % 64, 64);
    double each = (now_s() - start) / 1e6;
    if (each > 1e-6) fail_msg("%.1f ns", 1e9 * each); /* 2 ns; ThreadSanitizer takes 400 */
    checkpoint_guard(NULL, t->weights, 4);
    checkpoint_store_close(store);
    toy_free(t);
}

static void closing_waits_for_a_pending_save(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, SCALE);
    CheckpointStore *store = open_store(0);
    toy_set(t, 6);
    assert_ok(toy_begin(store, t, 6, -1));
    checkpoint_store_close(store);
    check_saved(t, 6);
    toy_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(training_is_not_held_up_while_memory_for_copies_lasts),
        TEST(without_memory_for_copies_training_waits_for_the_writer),
        TEST(without_guards_the_checkpoint_is_wrong),
        TEST(a_save_that_fails_frees_those_who_wait),
        TEST(a_second_save_waits_for_the_first),
        TEST(a_guard_costs_nanoseconds_when_nothing_is_pending),
        TEST(closing_waits_for_a_pending_save),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
