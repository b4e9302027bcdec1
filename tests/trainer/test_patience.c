/* An evaluation that takes longer than ddp_timeout is not taken for a rank that is stuck, as long as its batches get
 * on. On one rank nobody watches. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

#include "tests/trainer/tiny_run.h"

extern const Task task_text_generation;
static bool slow;

static Tensor *sleepy_loss(Tape *t, const Model *m, const Batch *batch, const LossSpec *spec)
{
    if (slow && !t->wants_grad) nanosleep(&(struct timespec){.tv_nsec = 250 * 1000 * 1000}, NULL);
    return task_text_generation.loss(t, m, batch, spec);
}

static void a_long_evaluation_is_no_stuck_rank(void **state)
{
    static const char *const more[] = {"--validation_file", FIXTURES "/data/validation.txt",
                                       "--max_eval_samples", "24", "--per_device_eval_batch_size", "1",
                                       "--eval_on_start", "--eval_strategy", "epoch", "--save_strategy", "no",
                                       "--max_steps", "1", "--ddp_timeout", "2", "--overwrite_output_dir", NULL};
    (void)state;
    char root[64], output_dir[80];
    Arena *arena;
    TrainingArguments args;
    Trainer tr;
    Task sleepy = task_text_generation;
    snprintf(root, sizeof root, "/tmp/hone-patience-%ld", (long)getppid()); /* the launcher's: one for all ranks */
    setenv("HONE_CACHE", root, 1);
    snprintf(output_dir, sizeof output_dir, "%s/out", root);
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(tiny_arguments(output_dir, TINY_MODEL "8,n_layer=1,n_head=1", more, arena, &args), OK);
    sleepy.loss = sleepy_loss;
    slow = getenv("OMPI_COMM_WORLD_SIZE") != NULL;
    trainer_init(&tr, &args, arena);
    tr.task = &sleepy;
    Status st = trainer_run(&tr);
    if (st) print_message("%s\n", status_message());
    assert_int_equal(st, OK);
    bool first = tr.machine.group->rank == 0;
    trainer_close(&tr);
    arena_free(arena);
    if (first) assert_int_equal(dir_remove(root), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_long_evaluation_is_no_stuck_rank)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
