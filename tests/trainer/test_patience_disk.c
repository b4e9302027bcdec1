/* links: trainer checkpoint */
/* Saves, the best model and the finished one may take longer than ddp_timeout after the last update, as long as the
 * disk gets on. On one rank nobody watches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "tests/trainer/tiny_run.h"
#include "trainer/base/clock.h"

static char output_dir[80];
static double begun; /* when the first checkpoint was; 0: not yet */

/* Of one rank, from its first checkpoint on. */
static int slow_disk(void *context, const FileCall *call, size_t *size)
{
    (void)context;
    (void)size;
    if (!begun && strstr(call->path, "checkpoint-")) begun = clock_seconds();
    if (begun && strstr(call->path, output_dir)) nanosleep(&(struct timespec){.tv_nsec = 20 * 1000 * 1000}, NULL);
    return 0;
}

static void a_slow_disk_is_no_stuck_rank(void **state)
{
    static const char *const more[] = {"--validation_file", FIXTURES "/data/validation.txt",
                                       "--max_eval_samples", "2", "--eval_strategy", "epoch", "--save_strategy",
                                       "epoch", "--load_best_model_at_end", "--report_to", "none", "--max_steps", "1",
                                       "--ddp_timeout", "1", "--overwrite_output_dir", NULL};
    (void)state;
    char root[64];
    Arena *arena;
    TrainingArguments args;
    Trainer tr;
    bool ranks = getenv("OMPI_COMM_WORLD_SIZE") != NULL;
    snprintf(root, sizeof root, "/tmp/hone-patience-%ld", (long)getppid()); /* the launcher's: one for all ranks */
    setenv("HONE_CACHE", root, 1);
    snprintf(output_dir, sizeof output_dir, "%s/out", root);
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(tiny_arguments(output_dir, TINY_MODEL "8,n_layer=1,n_head=1", more, arena, &args), OK);
    if (ranks && !strcmp(getenv("OMPI_COMM_WORLD_RANK"), "0")) file_hook(slow_disk, NULL);
    trainer_init(&tr, &args, arena);
    Status st = trainer_run(&tr);
    if (st) print_message("%s\n", status_message());
    assert_int_equal(st, OK);
    if (begun) assert_true(clock_seconds() - begun > 2 * (double)args.ddp_timeout);
    file_hook(NULL, NULL);
    bool first = tr.machine.group->rank == 0;
    trainer_close(&tr);
    arena_free(arena);
    if (first) assert_int_equal(dir_remove(root), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_slow_disk_is_no_stuck_rank)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
