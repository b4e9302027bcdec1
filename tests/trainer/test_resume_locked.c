/* links: trainer checkpoint */
/* A second job on an output_dir whose first one does not end: it waits 30 s, saying so, then stops with the holder's
 * name, and nothing is lost. Its clock runs a hundred times too fast here. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include <cmocka.h>

#include "tests/trainer/tiny_run.h"

static char root[64], out[96];
static int hurry = 1;

/* Instead of the C library's. */
int clock_gettime(clockid_t clock, struct timespec *t)
{
    long error = syscall(SYS_clock_gettime, clock, t);
    if (error || clock != CLOCK_MONOTONIC || hurry == 1) return (int)error;
    int64_t ns = ((int64_t)t->tv_sec * 1000000000 + t->tv_nsec) * hurry;
    *t = (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    return 0;
}

/* In a child; its exit status. What it says goes to root/log. */
static int train_in_a_hurry(void)
{
    static const char *const options[] = {"--resume_from_checkpoint", "true", "--max_steps", "2", NULL};
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        char path[96];
        Arena *arena = NULL;
        TrainingArguments args;
        snprintf(path, sizeof path, "%s/log", root);
        dup2(open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666), 2);
        hurry = 100;
        alarm(60);
        Status st = arena_new(&arena);
        if (!st) st = tiny_arguments(out, TINY_MODEL "8,n_layer=1,n_head=1", options, arena, &args);
        if (!st) st = trainer_train(&args, arena);
        dprintf(2, "%s: %s\n", status_name(st), status_message());
        _exit(status_exit_code(st));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void the_second_job_waits_and_then_names_the_first(void **state)
{
    (void)state;
    Arena *arena;
    CheckpointStore *first;
    CheckpointOptions options = {.output_dir = out};
    char path[96], expected[128], *log, **names;
    size_t count;
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(checkpoint_store_open(&options, &first), OK);
    assert_int_equal(train_in_a_hurry(), 1);
    snprintf(path, sizeof path, "%s/log", root);
    assert_int_equal(file_read_all(path, arena, 1 << 20, &log, NULL), OK);
    snprintf(expected, sizeof expected, ", pid %d; waiting up to 30 s for it to end", (int)getpid());
    if (!strstr(log, expected)) fail_msg("%s", log);
    snprintf(expected, sizeof expected, ", pid %d; wait for it to end, stop it, or choose", (int)getpid());
    if (!strstr(log, expected)) fail_msg("%s", log);
    assert_int_equal(dir_list(out, arena, &names, &count), OK);
    assert_int_equal(count, 1); /* the first one's lock, and nothing else */
    checkpoint_store_close(first);
    assert_int_equal(train_in_a_hurry(), 0);
    arena_free(arena);
}

static int set_up(void **state)
{
    (void)state;
    assert_true(tiny_directory(root));
    snprintf(out, sizeof out, "%s/out", root);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return dir_remove(root) != OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_second_job_waits_and_then_names_the_first)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
