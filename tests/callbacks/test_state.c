/* The run's state: equal to the file that transformers writes, read back, cut; entries of the log; broken files. */
#include "callbacks_test.h"

#include <math.h>

static void an_entry_keeps_its_order_and_its_kinds(void **state)
{
    LogEntry e = {0};
    Text t = {0};
    (void)state;
    logentry_add_real(&e, "loss", 3);
    logentry_add_real(&e, "grad_norm", 0.1);
    logentry_add_real(&e, "learning_rate", 5e-5);
    logentry_add_real(&e, "epoch", 1.23456789);
    logentry_add_real(&e, "total_flos", 5e12);
    logentry_add_int(&e, "step", 7);
    logentry_add_real(&e, "loss", 2.5);
    logentry_to_json(&e, &t);
    assert_string_equal(t.data, "{\"loss\": 2.5, \"grad_norm\": 0.1, \"learning_rate\": 5e-05, \"epoch\": 1.23456789, "
                                "\"total_flos\": 5000000000000.0, \"step\": 7}");
    t.size = 0;
    logentry_to_console(&e, &t);
    assert_string_equal(t.data, "{'loss': '2.5', 'grad_norm': '0.1', 'learning_rate': '5e-05', 'epoch': '1.235'}");
    assert_true(logentry_get(&e, "step", 0) == 7 && logentry_get(&e, "nothing", -1) == -1);
    text_free(&t);
}

static void an_entry_that_is_too_full_is_refused(void **state)
{
    TrainerState s;
    LogEntry e = {0};
    char key[100];
    (void)state;
    state_init(&s);
    for (int i = 0; i < LOG_ENTRY_VALUES; i++) {
        snprintf(key, sizeof key, "value_%d", i);
        logentry_add_int(&e, key, i);
    }
    assert_ok(state_log(&s, &e));
    logentry_add_int(&e, "one_more", 1);
    assert_int_equal(state_log(&s, &e), STATUS_BUG);
    logentry_reset(&e);
    memset(key, 'k', sizeof key);
    key[LOG_KEY_BYTES] = '\0';
    logentry_add_int(&e, key, 1);
    assert_int_equal(state_log(&s, &e), STATUS_BUG);
    assert_int_equal(state_log_count(&s), 1);
    state_free(&s);
}

static TrainerState golden(void)
{
    TrainerState s;
    state_init(&s);
    assert_ok(state_read(&s, FIXTURES "/callbacks/trainer_state.json"));
    return s;
}

static void the_references_file_is_read_and_written_again_to_the_byte(void **state)
{
    TrainerState s = golden();
    Text t = {0};
    (void)state;
    assert_int_equal(s.global_step, 12);
    assert_int_equal(s.max_steps, 16);
    assert_int_equal(s.num_train_epochs, 2);
    assert_int_equal(s.best_global_step, 6);
    assert_true(s.best_metric == 3.25 && s.epoch == 1.5 && s.total_flos == 1956249600.0);
    assert_string_equal(s.best_model_checkpoint, "out/checkpoint-6");
    assert_int_equal(s.early_stopping_patience, 3);
    assert_int_equal(s.early_stopping_counter, 1);
    assert_int_equal(s.num_input_tokens_seen, 4096);
    assert_int_equal(state_log_count(&s), 7);
    assert_ok(state_to_text(&s, &t));
    assert_string_equal(t.data, content(FIXTURES "/callbacks/trainer_state.json"));
    text_free(&t);
    state_free(&s);
}

static void a_new_state_has_nulls_and_an_empty_history(void **state)
{
    TrainerState s, back;
    Text t = {0};
    (void)state;
    state_init(&s);
    assert_ok(state_to_text(&s, &t));
    assert_non_null(
        strstr(t.data, "\"best_global_step\": null,\n  \"best_metric\": null,\n  \"best_model_checkpoint\": null"));
    assert_non_null(strstr(t.data, "\"log_history\": [],\n"));
    assert_null(strstr(t.data, "EarlyStopping"));
    state_init(&back);
    assert_ok(state_parse(&back, t.data, t.size, "state"));
    assert_true(isnan(back.best_metric) && back.best_global_step == -1 && !*back.best_model_checkpoint);
    assert_int_equal(state_log_count(&back), 0);
    state_cut(&back, 0);
    text_free(&t);
}

static void logs_are_cut_back_to_a_step_and_go_on(void **state)
{
    TrainerState s = golden();
    LogEntry e;
    (void)state;
    state_cut(&s, 6);
    assert_int_equal(state_log_count(&s), 3);
    state_log_get(&s, 2, &e);
    assert_true(logentry_get(&e, "eval_loss", 0) == 3.25 && logentry_get(&e, "step", 0) == 6);
    e = training(2, 1e-3, 7);
    assert_ok(state_log(&s, &e));
    state_log_get(&s, 3, &e);
    assert_string_equal(e.values[0].key, "loss");
    assert_true(e.values[2].integer && !e.values[0].integer);
    state_cut(&s, 1);
    assert_int_equal(state_log_count(&s), 0);
    state_free(&s);
}

static void a_long_history_comes_back_whole(void **state)
{
    TrainerState s, back;
    Text t = {0};
    LogEntry e;
    (void)state;
    state_init(&s);
    state_init(&back);
    for (int i = 1; i <= 5000; i++) {
        e = training(1.0 / i, 1e-3 * i, i);
        assert_ok(state_log(&s, &e));
    }
    assert_ok(state_to_text(&s, &t));
    assert_ok(state_parse(&back, t.data, t.size, "state"));
    assert_int_equal(state_log_count(&back), 5000);
    state_log_get(&back, 4999, &e);
    assert_true(logentry_get(&e, "loss", 0) == 1.0 / 5000 && logentry_get(&e, "learning_rate", 0) == 1e-3 * 5000);
    text_free(&t);
    state_free(&s);
    state_free(&back);
}

static void broken_files_are_errors_and_leave_the_state_alone(void **state)
{
    static const char *const texts[] = {
        "",
        "[]",
        "{}",
        "null",
        "{\"global_step\": \"5\"}",
        "{\"global_step\": -3}",
        "{\"global_step\": 1.5}",
        "{\"global_step\": 1e300}",
        "{\"global_step\": NaN}",
        "{\"global_step\": 1, \"log_history\": 5}",
        "{\"global_step\": 1, \"log_history\": [5]}",
        "{\"global_step\": 1, \"best_model_checkpoint\": 5}",
        "{\"global_step\": 1, \"epoch\": \"x\"}",
        "{\"global_step\": 1, \"total_flos\": []}",
        "{\"global_step\": 1, \"log_history\": "
        "[{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\": 1}]}",
        "{\"global_step\": 1, \"stateful_callbacks\": {\"EarlyStoppingCallback\": {\"args\": "
        "{\"early_stopping_patience\": \"1\"}}}}",
    };
    TrainerState s = golden();
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (state_parse(&s, texts[i], strlen(texts[i]), "that.json") == OK) fail_msg("`%s` was read", texts[i]);
        if (!strstr(status_message(), "that.json")) fail_msg("`%s`: %s", texts[i], status_message());
        assert_int_equal(s.global_step, 12);
        assert_int_equal(state_log_count(&s), 7);
    }
    state_free(&s);
}

static void every_prefix_of_a_file_is_an_error_or_the_file(void **state)
{
    const char *text = content(FIXTURES "/callbacks/trainer_state.json");
    TrainerState s;
    (void)state;
    state_init(&s);
    for (size_t size = 0; size + 2 < strlen(text); size += 7)
        assert_int_not_equal(state_parse(&s, text, size, "cut"), OK);
    state_free(&s);
}

static void odd_kinds_of_other_programs_are_taken(void **state)
{
    static const char text[] =
        "{\"global_step\": 5.0, \"eval_steps\": null, \"log_history\": [{\"loss\": 1, \"note\": \"text\", "
        "\"list\": [1], \"step\": 5}, {}], \"stateful_callbacks\": {\"EarlyStoppingCallback\": [1]}, "
        "\"train_batch_size\": null, \"trial_params\": {\"a\": 1}}";
    TrainerState s;
    LogEntry e;
    (void)state;
    state_init(&s);
    assert_ok(state_parse(&s, text, strlen(text), "other.json"));
    assert_int_equal(s.global_step, 5);
    assert_int_equal(s.eval_steps, 500);
    assert_int_equal(state_log_count(&s), 2);
    state_log_get(&s, 0, &e);
    assert_int_equal(e.count, 2);
    state_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_entry_keeps_its_order_and_its_kinds),
        cmocka_unit_test(an_entry_that_is_too_full_is_refused),
        cmocka_unit_test(the_references_file_is_read_and_written_again_to_the_byte),
        cmocka_unit_test(a_new_state_has_nulls_and_an_empty_history),
        cmocka_unit_test(logs_are_cut_back_to_a_step_and_go_on),
        cmocka_unit_test(a_long_history_comes_back_whole),
        cmocka_unit_test(broken_files_are_errors_and_leave_the_state_alone),
        cmocka_unit_test(every_prefix_of_a_file_is_an_error_or_the_file),
        cmocka_unit_test(odd_kinds_of_other_programs_are_taken),
    };
    return cmocka_run_group_tests(tests, open_dir, close_dir);
}
