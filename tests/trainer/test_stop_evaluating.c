/* links: trainer checkpoint */
/* A stop that comes while the run evaluates: it leaves the evaluation, saves the step and ends with STOPPED; the same
 * command goes on with that evaluation, and ends in the same logs and weights as a run that nobody stopped. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/trainer/tiny_run.h"
#include "trainer/callbacks/signals.h"

extern const Task task_text_generation;
static char root[64];
static int batches, stop_at; /* evaluated so far; when one comes that is asked to stop */

static Tensor *counted_loss(Tape *t, const Model *m, const Batch *batch, const LossSpec *spec)
{
    if (!t->wants_grad && ++batches == stop_at) stop_request("SIGUSR1");
    return task_text_generation.loss(t, m, batch, spec);
}

enum { EVAL_BATCHES = 16, MOST_LOGS = 64 };

typedef struct Outcome {
    Status st;
    char message[512];
    int batches;
    int64_t step, saved, best;
    double logged[MOST_LOGS][3]; /* step, loss, eval_loss */
    int count;
} Outcome;

/* stop: at that batch of all evaluations; 0: never. */
static Outcome run(const char *name, int stop, const char *const *more)
{
    Outcome o = {0};
    char out[96];
    const char *options[40] = {"--validation_file", FIXTURES "/data/validation.txt", "--max_eval_samples", "16",
                               "--per_device_eval_batch_size", "1", "--max_steps", "6", "--logging_steps", "1",
                               "--report_to", "none", "--resume_from_checkpoint", "true"};
    int n = 0;
    Arena *arena;
    TrainingArguments args;
    Trainer tr;
    Task task = task_text_generation;
    while (options[n]) n++;
    while (*more) options[n++] = *more++;
    snprintf(out, sizeof out, "%s/%s", root, name);
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(tiny_arguments(out, TINY_MODEL "8,n_layer=1,n_head=1", options, arena, &args), OK);
    task.loss = counted_loss;
    batches = 0;
    stop_at = stop;
    trainer_init(&tr, &args, arena);
    tr.task = &task;
    o.st = trainer_run(&tr);
    snprintf(o.message, sizeof o.message, "%s", status_message());
    o.batches = batches;
    o.step = tr.global_step;
    o.saved = checkpoint_saved_step(tr.store);
    o.best = tr.state.best_global_step;
    for (size_t i = 0; i < state_log_count(&tr.state) && o.count < MOST_LOGS; i++) {
        LogEntry e;
        state_log_get(&tr.state, i, &e);
        double *l = o.logged[o.count++];
        l[0] = logentry_get(&e, "step", -1);
        l[1] = logentry_get(&e, "loss", -1);
        l[2] = logentry_get(&e, "eval_loss", -1);
    }
    trainer_close(&tr);
    arena_free(arena);
    return o;
}

static void assert_same_file(const char *a, const char *b, const char *name)
{
    Arena *arena;
    char path[160], *x, *y;
    size_t m, n;
    assert_int_equal(arena_new(&arena), OK);
    snprintf(path, sizeof path, "%s/%s/%s", root, a, name);
    assert_int_equal(file_read_all(path, arena, 1 << 24, &x, &m), OK);
    snprintf(path, sizeof path, "%s/%s/%s", root, b, name);
    assert_int_equal(file_read_all(path, arena, 1 << 24, &y, &n), OK);
    assert_int_equal(m, n);
    assert_memory_equal(x, y, m);
    arena_free(arena);
}

static bool is_there(const char *run, const char *name)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s/%s", root, run, name);
    return path_exists(path);
}

static void assert_stopped(const Outcome *o, int64_t step, int most_batches)
{
    if (o->st != STATUS_STOPPED) print_message("%s\n", o->message);
    assert_int_equal(o->st, STATUS_STOPPED);
    assert_int_equal(o->step, step);
    assert_true(o->batches <= most_batches);
    if (step > 0) assert_int_equal(o->saved, step);
}

static void assert_same_end(const Outcome *whole, const Outcome *rest, const char *a, const char *b)
{
    if (rest->st) print_message("%s\n", rest->message);
    assert_int_equal(rest->st, OK);
    assert_int_equal(rest->best, whole->best);
    assert_int_equal(rest->count, whole->count);
    for (int i = 0; i < whole->count; i++)
        for (int j = 0; j < 3; j++) assert_true(rest->logged[i][j] == whole->logged[i][j]);
    assert_same_file(a, b, "model.safetensors");
}

/* At steps 2, 4, 6; saved at 4 and 6, of which one is a step that is saved anyway. */
static void an_evaluation_is_left_and_made_after_the_resume(void **state)
{
    static const char *const more[] = {"--eval_strategy", "steps", "--eval_steps", "2", "--save_steps", "4",
                                       "--metric_for_best_model", "loss", NULL};
    (void)state;
    Outcome whole = run("whole", 0, more);
    assert_int_equal(whole.st, OK);
    assert_int_equal(whole.batches, 3 * EVAL_BATCHES);
    for (int evaluation = 0; evaluation < 3; evaluation++) {
        char name[16];
        snprintf(name, sizeof name, "broken%d", evaluation);
        Outcome first = run(name, evaluation * EVAL_BATCHES + 3, more);
        assert_stopped(&first, 2 * (evaluation + 1), (evaluation + 1) * EVAL_BATCHES - 1);
        assert_int_equal(first.count, 2 * (evaluation + 1) + evaluation); /* nothing is logged of the one left */
        Outcome again = run(name, 1, more); /* asked once more: nothing is lost, nothing moves */
        assert_stopped(&again, 2 * (evaluation + 1), EVAL_BATCHES - 1);
        Outcome rest = run(name, 0, more);
        assert_int_equal(rest.batches, (3 - evaluation) * EVAL_BATCHES);
        assert_same_end(&whole, &rest, "whole", name);
        assert_true(is_there(name, "checkpoint-4") && is_there(name, "checkpoint-6"));
        assert_same_file("whole", name, "checkpoint-6/model.safetensors");
    }
}

static void one_that_came_before_the_evaluation_does_not_begin_it(void **state)
{
    static const char *const more[] = {"--eval_strategy", "steps", "--eval_steps", "3", "--eval_on_start", NULL};
    (void)state;
    Outcome first = run("start", EVAL_BATCHES, more); /* in the last batch of the first: that one is made */
    assert_stopped(&first, 0, EVAL_BATCHES);
    first = run("start", 2, more);
    assert_stopped(&first, 0, EVAL_BATCHES - 1);
    assert_int_equal(first.count, 0);
    Outcome rest = run("start", 0, more);
    assert_int_equal(rest.st, OK);
    assert_int_equal(rest.batches, 3 * EVAL_BATCHES);
}

/* The model is written; the checkpoint of the last step is what the next start goes on from. */
static void the_evaluation_after_the_last_update_is_left_too(void **state)
{
    static const char *const plain[] = {"--do_eval", "--save_strategy", "no", NULL};
    static const char *const best[] = {"--eval_strategy", "steps", "--eval_steps", "3", "--save_steps", "3",
                                       "--load_best_model_at_end", NULL};
    static const char *const unsaved[] = {"--eval_strategy", "steps", "--eval_steps", "3", "--save_strategy", "best",
                                          "--metric_for_best_model", "loss", "--greater_is_better", "true",
                                          "--load_best_model_at_end", NULL};
    (void)state;
    Outcome whole = run("closed", 0, plain);
    assert_int_equal(whole.st, OK);
    Outcome first = run("left", 3, plain);
    assert_stopped(&first, 6, EVAL_BATCHES - 1);
    assert_true(is_there("left", "model.safetensors") && !is_there("left", "eval_results.json"));
    Outcome rest = run("left", 0, plain);
    assert_same_end(&whole, &rest, "closed", "left");
    assert_true(is_there("left", "eval_results.json"));

    whole = run("best", 0, best);
    assert_int_equal(whole.st, OK);
    first = run("left_best", 2 * EVAL_BATCHES + 3, best);
    assert_stopped(&first, 6, 3 * EVAL_BATCHES - 1);
    rest = run("left_best", 0, best);
    assert_same_end(&whole, &rest, "best", "left_best");

    first = run("unsaved", 2 * EVAL_BATCHES + 3, unsaved); /* the best is an older one, and the last was never saved */
    assert_int_equal(first.st, OK);
    assert_int_equal(first.best, 3);
    assert_true(is_there("unsaved", "train_results.json") && !is_there("unsaved", "eval_results.json"));
}

static int set_up(void **state)
{
    (void)state;
    return !tiny_directory(root);
}

static int tear_down(void **state)
{
    (void)state;
    return dir_remove(root) != OK;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_evaluation_is_left_and_made_after_the_resume),
        cmocka_unit_test(one_that_came_before_the_evaluation_does_not_begin_it),
        cmocka_unit_test(the_evaluation_after_the_last_update_is_left_too),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
