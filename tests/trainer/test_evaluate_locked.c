/* links: trainer checkpoint */
/* `hone eval` on the output_dir of a run that is at work: the metrics are printed, and the files, which that run merges
 * its own into, are left alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/trainer/tiny_run.h"
#include "trainer/checkpoint/dir_lock.h"

static char root[64], out[80];

static bool is_there(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", out, name);
    return path_exists(path);
}

static Status evaluate(void)
{
    static const char *const more[] = {"--model_name_or_path", FIXTURES "/models/gpt2_tiny", "--validation_file",
                                       FIXTURES "/data/validation.txt", "--max_eval_samples", "4", NULL};
    const char *argv[32] = {"--output_dir", out, "--block_size", "8", "--disable_tqdm", "--num_threads", "1"};
    int n = 7;
    Arena *arena;
    TrainingArguments args;
    for (int i = 0; more[i]; i++) argv[n++] = more[i];
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(arguments_load(n, (char **)(uintptr_t)argv, arena, &args), OK);
    Status st = trainer_eval(&args, arena);
    if (st) print_message("%s\n", status_message());
    arena_free(arena);
    return st;
}

static void its_files_wait_for_the_directory(void **state)
{
    (void)state;
    DirLock *run;
    assert_int_equal(dir_make(out), OK);
    assert_int_equal(dir_lock_take(out, 0, &run), OK);
    assert_int_equal(evaluate(), OK);
    assert_false(is_there("eval_results.json") || is_there("all_results.json"));
    assert_true(is_there(LOCK_NAME));
    dir_lock_release(run);
    assert_int_equal(evaluate(), OK);
    assert_true(is_there("eval_results.json") && is_there("all_results.json"));
    assert_false(is_there(LOCK_NAME));
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(its_files_wait_for_the_directory)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
