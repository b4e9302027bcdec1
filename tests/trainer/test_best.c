/* The best model that was saved stays until the end, also after an evaluation that was better still and had no
 * checkpoint. One that cannot be read at the end leaves the model of the last step. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/trainer/tiny_run.h"

extern const Task task_text_generation;
static int evaluations;

/* Of the n-th evaluation, which is one batch. */
static Tensor *told_loss(Tape *t, const Model *m, const Batch *batch, const LossSpec *spec)
{
    static const float losses[] = {5, 4, 3, 9, 9, 9, 9, 9};
    Tensor *rows = task_text_generation.loss(t, m, batch, spec);
    if (!rows || t->wants_grad) return rows;
    for (int64_t i = 0; i < rows->rows; i++) ((float *)rows->data)[i] = losses[evaluations];
    evaluations++;
    return rows;
}

static void assert_same_files(const char *a, const char *b)
{
    Arena *arena;
    char *x, *y;
    size_t m, n;
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(file_read_all(a, arena, 1 << 24, &x, &m), OK);
    assert_int_equal(file_read_all(b, arena, 1 << 24, &y, &n), OK);
    assert_int_equal(m, n);
    assert_memory_equal(x, y, m);
    arena_free(arena);
}

/* Evaluations with the losses above; saved are the models of steps 2, of which it remains, 4 and 6. */
static Status run(const char *output_dir, Arena *arena, TrainerState *state)
{
    static const char *const more[] = {"--validation_file", FIXTURES "/data/validation.txt",
                                       "--max_eval_samples", "4", "--per_device_eval_batch_size", "4",
                                       "--eval_strategy", "steps", "--eval_steps", "1", "--save_steps", "2",
                                       "--save_total_limit", "1", "--load_best_model_at_end", "--max_steps", "6", NULL};
    TrainingArguments args;
    Trainer tr;
    Task task = task_text_generation;
    assert_int_equal(tiny_arguments(output_dir, TINY_MODEL "8,n_layer=1,n_head=1", more, arena, &args), OK);
    task.loss = told_loss;
    evaluations = 0;
    trainer_init(&tr, &args, arena);
    tr.task = &task;
    Status st = trainer_run(&tr);
    if (st) print_message("%s\n", status_message());
    *state = tr.state;
    state->history = NULL;
    trainer_close(&tr);
    return st;
}

static char root[64], output_dir[80], model[128], best[128], last[128];

static int set_up(void **state)
{
    (void)state;
    assert_true(tiny_directory(root));
    snprintf(output_dir, sizeof output_dir, "%s/out", root);
    snprintf(model, sizeof model, "%s/model.safetensors", output_dir);
    snprintf(best, sizeof best, "%s/checkpoint-2/model.safetensors", output_dir);
    snprintf(last, sizeof last, "%s/checkpoint-6/model.safetensors", output_dir);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    return dir_remove(root) != OK;
}

static void the_best_of_the_saved_models_stays_and_is_loaded(void **state)
{
    (void)state;
    Arena *arena;
    TrainerState end;
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(run(output_dir, arena, &end), OK);
    assert_true(end.best_global_step == 3 && strstr(end.best_model_checkpoint, "/checkpoint-2"));
    assert_same_files(model, best);
    assert_true(path_exists(last));
    arena_free(arena);
}

/* The best model's second half, once it has been found whole. */
static int fail_late(void *context, const FileCall *call, size_t *size)
{
    int *opened = context;
    (void)size;
    if (strcmp(call->path, best)) return 0;
    if (call->op == FILE_OPEN) ++*opened;
    return call->op == FILE_READ && *opened > 1 && call->offset > 8000 ? EIO : 0;
}

static void one_that_cannot_be_read_leaves_the_last(void **state)
{
    (void)state;
    Arena *arena;
    TrainerState end;
    int opened = 0;
    assert_int_equal(arena_new(&arena), OK);
    file_hook(fail_late, &opened);
    Status st = run(output_dir, arena, &end);
    file_hook(NULL, NULL);
    assert_true(opened > 1);
    assert_int_equal(status_exit_code(st), 1);
    assert_same_files(model, last);
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_best_of_the_saved_models_stays_and_is_loaded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_cannot_be_read_leaves_the_last, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
