/* The best model that was saved stays until the end, also after an evaluation that was better still and had no
 * checkpoint. */
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

static void the_best_of_the_saved_models_stays_and_is_loaded(void **state)
{
    static const char *const more[] = {"--validation_file", FIXTURES "/data/validation.txt",
                                       "--max_eval_samples", "4", "--per_device_eval_batch_size", "4",
                                       "--eval_strategy", "steps", "--eval_steps", "1", "--save_steps", "2",
                                       "--save_total_limit", "1", "--load_best_model_at_end", "--max_steps", "6", NULL};
    (void)state;
    char root[64], output_dir[80], model[128], best[128], last[128];
    Arena *arena;
    TrainingArguments args;
    Trainer tr;
    Task task = task_text_generation;
    assert_true(tiny_directory(root));
    snprintf(output_dir, sizeof output_dir, "%s/out", root);
    snprintf(model, sizeof model, "%s/model.safetensors", output_dir);
    snprintf(best, sizeof best, "%s/checkpoint-2/model.safetensors", output_dir);
    snprintf(last, sizeof last, "%s/checkpoint-6", output_dir);
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(tiny_arguments(output_dir, TINY_MODEL "8,n_layer=1,n_head=1", more, arena, &args), OK);
    task.loss = told_loss;
    trainer_init(&tr, &args, arena);
    tr.task = &task;
    Status st = trainer_run(&tr);
    if (st) print_message("%s\n", status_message());
    assert_int_equal(st, OK);
    assert_true(tr.state.best_global_step == 3 && strstr(tr.state.best_model_checkpoint, "/checkpoint-2"));
    trainer_close(&tr);
    assert_same_files(model, best);
    assert_true(path_is_dir(last));
    arena_free(arena);
    assert_int_equal(dir_remove(root), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_best_of_the_saved_models_stays_and_is_loaded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
