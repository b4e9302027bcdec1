/* When a run logs, evaluates, saves; which evaluation was the best; when it stops early. */
#include "callbacks_test.h"

#include <math.h>

#include "trainer/callbacks/best.h"
#include "trainer/callbacks/when.h"

typedef bool Should(const WhenConfig *w, const Moment *m);

/* "5 10 12": the steps at which it says yes, in a run of `updates` an epoch. */
static const char *steps_of(Should *should, const WhenConfig *w, int64_t updates)
{
    static char text[400];
    size_t n = 0;
    text[0] = '\0';
    for (int64_t step = 1; step <= w->max_steps; step++) {
        Moment m = {.step = step, .epoch = (double)step / (double)updates, .epoch_end = step % updates == 0};
        if (should(w, &m)) n += (size_t)snprintf(text + n, sizeof text - n, n ? " %d" : "%d", (int)step);
    }
    return text;
}

static void logging_follows_its_strategy(void **state)
{
    WhenConfig w = {.logging = WHEN_STEPS, .logging_steps = 4, .max_steps = 10};
    (void)state;
    assert_string_equal(steps_of(should_log, &w, 3), "4 8"); /* the last, partial interval is not logged */
    w.logging_first_step = true;
    assert_string_equal(steps_of(should_log, &w, 3), "1 4 8");
    w.logging = WHEN_NO;
    assert_string_equal(steps_of(should_log, &w, 3), "1");
    w.logging_first_step = false;
    assert_string_equal(steps_of(should_log, &w, 3), "");
    w.logging = WHEN_EPOCH;
    assert_string_equal(steps_of(should_log, &w, 3), "3 6 9 10");
}

static void evaluation_follows_its_strategy_and_delay(void **state)
{
    WhenConfig w = {.eval = WHEN_STEPS, .eval_steps = 5, .max_steps = 12};
    (void)state;
    assert_string_equal(steps_of(should_eval, &w, 4), "5 10 12");
    w.eval_delay = 6;
    assert_string_equal(steps_of(should_eval, &w, 4), "10 12");
    w.eval_delay = 13;
    assert_string_equal(steps_of(should_eval, &w, 4), "");
    w = (WhenConfig){.eval = WHEN_EPOCH, .max_steps = 10, .eval_delay = 1.5};
    assert_string_equal(steps_of(should_eval, &w, 4), "8 10");
    w.eval = WHEN_NO;
    assert_string_equal(steps_of(should_eval, &w, 4), "");
    w = (WhenConfig){.eval = WHEN_STEPS, .eval_steps = 4, .max_steps = 8};
    assert_string_equal(steps_of(should_eval, &w, 4), "4 8"); /* once at the end */
}

static void saving_follows_its_strategy(void **state)
{
    WhenConfig w = {.save = WHEN_STEPS, .save_steps = 4, .max_steps = 6};
    Moment m = {.step = 3, .epoch = 0.3};
    (void)state;
    assert_string_equal(steps_of(should_save, &w, 5), "4 6");
    w.save_steps = 0;
    assert_string_equal(steps_of(should_save, &w, 5), "6"); /* only at the end */
    w.save = WHEN_EPOCH;
    assert_string_equal(steps_of(should_save, &w, 5), "5 6");
    assert_false(should_save(&w, &m));
    m.stopping = true; /* early stopping ends the epoch */
    assert_true(should_save(&w, &m));
    w.save = WHEN_BEST;
    assert_string_equal(steps_of(should_save, &w, 5), "");
    m.improved = true;
    assert_true(should_save(&w, &m));
    w.save = WHEN_NO;
    assert_false(should_save(&w, &m));
}

static LogEntry evaluation(const char *key, double value)
{
    LogEntry e = {0};
    logentry_add_real(&e, "eval_loss", 9);
    logentry_add_real(&e, key, value);
    return e;
}

static void the_best_is_strictly_better_and_nan_never_is(void **state)
{
    (void)state;
    assert_true(best_is_better(false, 5, NAN));
    assert_true(best_is_better(false, 4, 5));
    assert_false(best_is_better(false, 5, 5));
    assert_false(best_is_better(false, NAN, 5));
    assert_false(best_is_better(true, NAN, NAN));
    assert_true(best_is_better(true, 6, 5));
    assert_false(best_is_better(true, 4, 5));
}

/* A run of evaluations; returns the number of the one that stops it, 0: none. */
static int run_evaluations(const BestRule *rule, const double *values, int count, TrainerState *s)
{
    state_init(s);
    for (int i = 0; i < count; i++) {
        LogEntry e = evaluation("eval_loss", values[i]);
        BestOutcome out;
        s->global_step = 10 * (i + 1);
        assert_ok(best_update(rule, s, &e, &out));
        if (out.stop) return i + 1;
    }
    return 0;
}

static void early_stopping_counts_what_does_not_improve_enough(void **state)
{
    BestRule rule = {.metric = "loss", .patience = 2, .threshold = 0.1};
    TrainerState s;
    (void)state;
    /* 4.95 is the best, but by less than the threshold; 4.84 improves on 4.95, which is the best by then */
    assert_int_equal(run_evaluations(&rule, (double[]){5, 4.95, 4.84, 4.8, 4.79, 4.78}, 6, &s), 5);
    assert_true(s.best_metric == 4.79 && s.best_global_step == 50 && s.should_training_stop);
    assert_int_equal(s.early_stopping_counter, 2);
    rule.threshold = 0;
    assert_int_equal(run_evaluations(&rule, (double[]){5, 4.95, 4.84, 4.8, 4.79, 4.78}, 6, &s), 0);
    assert_int_equal(run_evaluations(&rule, (double[]){5, 6, 4, 6, 6}, 5, &s), 5);
    assert_int_equal(run_evaluations(&rule, (double[]){5, NAN, NAN}, 3, &s), 3);
    rule.patience = 0;
    assert_int_equal(run_evaluations(&rule, (double[]){5, 6, 7, 8}, 4, &s), 0);
    assert_int_equal(s.best_global_step, 10);
}

static void the_metric_is_found_with_and_without_its_prefix_or_named(void **state)
{
    BestRule rule = {.metric = "accuracy", .greater_is_better = true};
    LogEntry e = evaluation("eval_accuracy", 0.5);
    BestOutcome out;
    TrainerState s;
    (void)state;
    state_init(&s);
    s.global_step = 3;
    assert_ok(best_update(&rule, &s, &e, &out));
    assert_true(out.improved && !out.stop && s.best_metric == 0.5 && s.best_global_step == 3);
    rule.metric = "eval_accuracy";
    assert_ok(best_update(&rule, &s, &e, &out));
    assert_false(out.improved);
    rule.metric = "f1";
    assert_int_equal(best_update(&rule, &s, &e, &out), STATUS_MISSING);
    assert_string_equal(status_message(),
                        "metric_for_best_model: the evaluation has no eval_f1; it has eval_loss, eval_accuracy");
    rule.metric = NULL;
    assert_ok(best_update(&rule, &s, &e, &out));
    assert_false(out.improved || out.stop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logging_follows_its_strategy),
        cmocka_unit_test(evaluation_follows_its_strategy_and_delay),
        cmocka_unit_test(saving_follows_its_strategy),
        cmocka_unit_test(the_best_is_strictly_better_and_nan_never_is),
        cmocka_unit_test(early_stopping_counts_what_does_not_improve_enough),
        cmocka_unit_test(the_metric_is_found_with_and_without_its_prefix_or_named),
    };
    return cmocka_run_group_tests(tests, open_dir, close_dir);
}
