/* links: trainer callbacks checkpoint */
/* Death and failure at each operation on files: a run of three saves with rotation dies before its k-th operation
 * (writes are cut in two, so also in the middle of each), or its k-th operation fails, or all from the k-th on; what is
 * started again by the same command ends in the bits of an unbroken run. By default for some k; HONE_TEST_LONG=1 takes
 * all. Each run is a child process. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "tests/trainer/tiny_run.h"
#include "trainer/base/log.h"

enum { DIED = 99, HANG_S = 60 };
typedef enum Trouble { NONE, DIE, FAIL_ONCE, FAIL_ALWAYS } Trouble;

static char root[64], log_path[96];
static _Atomic int *counted; /* shared with the children: operations of the last run */

/* ---- trouble ---- */
static Trouble trouble;
static int trouble_at;

static bool changes_something(FileOp op) { return op != FILE_OPEN && op != FILE_READ && op != FILE_CLOSE; }

static int make_trouble(void *context, const FileCall *call, size_t *size)
{
    (void)context;
    if (!changes_something(call->op) || !strstr(call->path, "/out")) return 0;
    int k = atomic_fetch_add(counted, 1);
    if (trouble == DIE && k >= trouble_at) _exit(DIED);
    if (trouble == FAIL_ONCE && k == trouble_at) return EIO;
    if (trouble == FAIL_ALWAYS && k >= trouble_at) return ENOSPC;
    static _Thread_local const void *rest; /* of the write that was cut last */
    if (call->op == FILE_WRITE && *size > 1 && call->data != rest) {
        *size /= 2;
        rest = (const char *)call->data + *size;
    }
    return 0;
}

/* ---- runs ---- */
static int train(const char *name)
{
    char out[160];
    snprintf(out, sizeof out, "%s/%s", root, name);
    static const char *const options[] = {"--max_steps", "8", "--save_strategy", "steps", "--save_steps", "3",
                                          "--save_total_limit", "1", "--logging_steps", "2",
                                          "--report_to", "tensorboard", "--resume_from_checkpoint", "true", NULL};
    Arena *arena = NULL;
    TrainingArguments args;
    Status st = arena_new(&arena);
    if (!st) st = tiny_arguments(out, TINY_MODEL "8,n_layer=1,n_head=1", options, arena, &args);
    if (!st) st = trainer_train(&args, arena);
    if (st) log_error("%s", status_message());
    arena_free(arena);
    return status_exit_code(st);
}

/* In a child; its exit status, -1 for a signal. */
static int run(const char *name, Trouble what, int k)
{
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        int fd = open(log_path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        dup2(fd, 1);
        dup2(fd, 2);
        alarm(HANG_S);
        *counted = 0;
        trouble = what;
        trouble_at = k;
        file_hook(make_trouble, NULL);
        _exit(train(name));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void show_log(void)
{
    char command[128];
    snprintf(command, sizeof command, "tail -20 %s", log_path);
    if (system(command) != 0) print_error("no log\n");
}

static bool log_says(const char *what)
{
    char command[256];
    snprintf(command, sizeof command, "grep -q '%s' %s", what, log_path);
    return system(command) == 0;
}

static void *content(Arena *arena, const char *name, const char *file, size_t *size)
{
    char path[256], *text;
    snprintf(path, sizeof path, "%s/%s/%s", root, name, file);
    if (file_read_all(path, arena, 1 << 24, &text, size) != OK) fail_msg("%s", status_message());
    return text;
}

/* The weights, and everything that was logged but for clocks. */
static void assert_same_end(Trouble what, int k)
{
    Arena *arena;
    size_t n, m;
    TrainerState a, b;
    LogEntry x, y;
    char path[256];
    assert_int_equal(arena_new(&arena), OK);
    void *want = content(arena, "whole/out", "model.safetensors", &n);
    void *have = content(arena, "out", "model.safetensors", &m);
    if (n != m || memcmp(want, have, n) != 0) fail_msg("trouble %d at operation %d: other weights", what, k);
    state_init(&a);
    state_init(&b);
    snprintf(path, sizeof path, "%s/whole/out/trainer_state.json", root);
    assert_int_equal(state_read(&a, path), OK);
    snprintf(path, sizeof path, "%s/out/trainer_state.json", root);
    assert_int_equal(state_read(&b, path), OK);
    assert_int_equal(state_log_count(&a), state_log_count(&b));
    for (size_t i = 0; i < state_log_count(&a); i++) {
        state_log_get(&a, i, &x);
        state_log_get(&b, i, &y);
        static const char *const keys[] = {"step", "loss", "grad_norm", "train_loss", "total_flos", "epoch"};
        for (size_t j = 0; j < sizeof keys / sizeof *keys; j++)
            if (logentry_get(&x, keys[j], -1) != logentry_get(&y, keys[j], -1))
                fail_msg("trouble %d at operation %d: entry %zu has another %s", what, k, i, keys[j]);
    }
    state_free(&a);
    state_free(&b);
    arena_free(arena);
}

static void remove_out(void)
{
    char out[96];
    snprintf(out, sizeof out, "%s/out", root);
    assert_int_equal(dir_remove(out), OK);
}

/* Primes: they meet every kind of operation. A sanitizer makes a process's start and end slow: fewer of them. */
#ifdef __SANITIZE_ADDRESS__
enum { DIES = 41, FAILS_ONCE = 53, FAILS_ALWAYS = 89, RESUME_DIES = 17 };
#else
enum { DIES = 13, FAILS_ONCE = 17, FAILS_ALWAYS = 29, RESUME_DIES = 5 };
#endif
static int stride(int usual) { return getenv("HONE_TEST_LONG") ? 1 : usual; }

/* ---- tests ---- */
static void every(Trouble what, int usual)
{
    int k, runs = 0;
    for (k = 0;; k += stride(usual), runs++) {
        remove_out();
        int status = run("out", what, k);
        if (*counted <= k) break; /* it has no k-th operation */
        bool expected = what == DIE ? status == DIED : status == 0 || status == 1;
        if (!expected || (what == FAIL_ALWAYS && status != 1)) {
            show_log();
            fail_msg("trouble %d at operation %d: status %d", what, k, status);
        }
        status = run("out", NONE, 0);
        if (status != 0 || log_says("damaged\\|corrupt\\|leftover of")) {
            show_log();
            fail_msg("after trouble %d at operation %d: status %d", what, k, status);
        }
        assert_same_end(what, k);
    }
    assert_true(k > 100);
    print_message("%d of %d operations\n", runs, k);
}

static void killed_before_any_operation_it_ends_in_the_same_bits(void **state)
{
    (void)state;
    every(DIE, DIES);
}

static void with_any_operation_failing_it_ends_in_the_same_bits(void **state)
{
    (void)state;
    every(FAIL_ONCE, FAILS_ONCE);
}

static void with_the_disk_full_from_any_operation_on_it_ends_with_status_1_and_goes_on_later(void **state)
{
    (void)state;
    every(FAIL_ALWAYS, FAILS_ALWAYS);
}

/* The second start, which cleans up and goes on, dies too. */
static void killed_while_resuming_it_ends_in_the_same_bits(void **state)
{
    (void)state;
    for (int k = 0; k < 60; k += stride(RESUME_DIES)) {
        remove_out();
        assert_int_equal(run("out", DIE, 150), DIED);
        int status = run("out", DIE, k);
        if (*counted <= k) break;
        assert_int_equal(status, DIED);
        status = run("out", NONE, 0);
        if (status != 0) {
            show_log();
            fail_msg("resumed after dying at operation %d of a resume: status %d", k, status);
        }
        assert_same_end(DIE, k);
    }
}

static int set_up(void **state)
{
    (void)state;
    assert_true(tiny_directory(root));
    snprintf(log_path, sizeof log_path, "%s/log", root);
    counted = mmap(NULL, sizeof *counted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(counted != MAP_FAILED);
    char whole[96];
    snprintf(whole, sizeof whole, "%s/whole", root);
    assert_int_equal(dir_make(whole), OK);
    if (run("whole/out", NONE, 0) != 0) {
        show_log();
        fail_msg("the unbroken run failed");
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    munmap(counted, sizeof *counted);
    return dir_remove(root) != OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_before_any_operation_it_ends_in_the_same_bits),
        cmocka_unit_test(killed_while_resuming_it_ends_in_the_same_bits),
        cmocka_unit_test(with_any_operation_failing_it_ends_in_the_same_bits),
        cmocka_unit_test(with_the_disk_full_from_any_operation_on_it_ends_with_status_1_and_goes_on_later),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
