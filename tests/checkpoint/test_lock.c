/* An output_dir has one writer, which removes what dead ones left. */
#include <sched.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "tests/checkpoint/support/toy_store.h"
#include "trainer/checkpoint/dir_lock.h"

static void a_second_process_is_told_who_holds_the_directory(void **state)
{
    (void)state;
    CheckpointStore *store = open_store(0);
    CheckpointStore *again;
    CheckpointOptions o = {.output_dir = root, .lock_wait_s = -1};
    assert_int_equal(checkpoint_store_open(&o, &again), STATUS_LOCKED); /* in this process too */
    pid_t child = fork();
    if (child == 0) {
        CheckpointStore *other;
        CheckpointOptions mine = {.output_dir = root, .lock_wait_s = 0.1};
        char pid[32];
        snprintf(pid, sizeof pid, "pid %ld", (long)getppid());
        Status st = checkpoint_store_open(&mine, &other);
        _exit(st == STATUS_LOCKED && strstr(status_message(), pid) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    checkpoint_store_close(store);
    checkpoint_store_close(open_store(0)); /* and free again */
}

static void a_waiting_process_gets_the_directory_when_it_is_free(void **state)
{
    (void)state;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        CheckpointStore *held;
        CheckpointOptions mine = {.output_dir = root};
        if (checkpoint_store_open(&mine, &held) != OK || write(ready[1], "x", 1) != 1) _exit(1);
        usleep(200 * 1000);
        _exit(0); /* dies holding it */
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = root, .lock_wait_s = 20};
    assert_ok(checkpoint_store_open(&o, &store));
    checkpoint_store_close(store);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ready[0]);
    close(ready[1]);
}

typedef struct Contest {
    _Atomic int inside, most, turns;
} Contest;

static void *contender(void *argument)
{
    Contest *c = argument;
    while (atomic_load(&c->turns) < 2000) {
        DirLock *lock;
        if (dir_lock_take(root, 0, &lock) != OK) continue;
        int now = atomic_fetch_add(&c->inside, 1) + 1;
        if (now > atomic_load(&c->most)) atomic_store(&c->most, now);
        sched_yield();
        atomic_fetch_sub(&c->inside, 1);
        atomic_fetch_add(&c->turns, 1);
        dir_lock_release(lock);
    }
    return NULL;
}

static void two_never_hold_the_lock_though_its_file_is_removed_each_time(void **state)
{
    (void)state;
    Contest c = {0};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, contender, &c), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(c.most, 1);
}

static void leftovers_of_dead_saves_are_removed_at_the_start(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    CheckpointStore *store = open_store(0);
    assert_ok(toy_save(store, t, 1, -1));
    assert_ok(toy_save(store, t, 2, -1));
    checkpoint_store_close(store);
    assert_ok(dir_make(in_root(".tmp-checkpoint-3-0123-4/deep")));
    assert_ok(dir_make(in_root(".trash-checkpoint-0")));
    assert_ok(dir_make(in_root(".tmp-model-0123")));
    assert_ok(file_replace(in_root("trainer_state.json"), "x", 1));
    assert_ok(file_rename(in_root("trainer_state.json"), in_root("trainer_state.json.tmp-99")));
    assert_ok(file_replace(in_root("notes.tmp-mine"), "x", 1));
    assert_ok(file_rename(in_root("checkpoint-1"), in_root(".replaced-checkpoint-1")));
    store = open_store(0);
    assert_string_equal(listing(), "checkpoint-1 checkpoint-2 notes.tmp-mine");
    checkpoint_store_close(store);
    assert_int_equal(rename(in_root("checkpoint-1"), in_root(".replaced-checkpoint-2")), 0);
    checkpoint_store_close(open_store(0));
    assert_string_equal(listing(), "checkpoint-2 notes.tmp-mine");
    toy_free(t);
}

static void a_directory_that_cannot_be_written_is_a_clear_error(void **state)
{
    (void)state;
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = in_root("file/out"), .lock_wait_s = -1};
    assert_ok(file_replace(in_root("file"), "x", 1));
    assert_int_equal(checkpoint_store_open(&o, &store), STATUS_IO);
    assert_non_null(strstr(status_message(), "file"));
    if (geteuid() == 0) return; /* root may write anywhere */
    assert_ok(dir_make(in_root("fixed")));
    assert_int_equal(chmod(in_root("fixed"), 0555), 0);
    o.output_dir = in_root("fixed");
    assert_int_equal(checkpoint_store_open(&o, &store), STATUS_IO);
    assert_non_null(strstr(status_message(), "cannot write here"));
    assert_int_equal(chmod(in_root("fixed"), 0755), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_second_process_is_told_who_holds_the_directory),
        TEST(a_waiting_process_gets_the_directory_when_it_is_free),
        TEST(two_never_hold_the_lock_though_its_file_is_removed_each_time),
        TEST(leftovers_of_dead_saves_are_removed_at_the_start),
        TEST(a_directory_that_cannot_be_written_is_a_clear_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
