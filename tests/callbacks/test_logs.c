/* Files that a run leaves: log.jsonl, TensorBoard's events, results. */
#include "callbacks_test.h"

#include <errno.h>
#include <math.h>

#include "trainer/callbacks/jsonl.h"
#include "trainer/callbacks/results.h"
#include "trainer/callbacks/tensorboard.h"

static void each_entry_is_a_line_at_once(void **state)
{
    JsonlLog *log;
    LogEntry a = training(2.5, 1e-3, 1), b = training(NAN, 1e-3, 2);
    (void)state;
    assert_ok(jsonl_open(dir, -1, &log));
    assert_ok(jsonl_log(log, &a));
    assert_string_equal(content(in_dir("log.jsonl")), "{\"loss\": 2.5, \"learning_rate\": 0.001, \"step\": 1}\n");
    assert_ok(jsonl_log(log, &b));
    assert_ok(jsonl_close(log));
    assert_non_null(strstr(content(in_dir("log.jsonl")), "\n{\"loss\": NaN, "));
    assert_ok(jsonl_open(dir, -1, &log)); /* not a resume: begun anew */
    assert_ok(jsonl_close(log));
    assert_string_equal(content(in_dir("log.jsonl")), "");
    assert_ok(jsonl_log(NULL, &a));
    assert_ok(jsonl_close(NULL));
}

static void a_resume_cuts_later_lines_and_torn_ones(void **state)
{
    JsonlLog *log;
    LogEntry e = training(1, 1, 6);
    (void)state;
    put(in_dir("log.jsonl"),
        "{\"loss\": 3, \"step\": 4}\n{\"loss\": 2, \"step\": 5}\n{\"loss\": 1, \"step\": 6}\nrubbish\n{\"los");
    assert_ok(jsonl_open(dir, 5, &log));
    assert_ok(jsonl_log(log, &e));
    assert_ok(jsonl_close(log));
    assert_string_equal(content(in_dir("log.jsonl")), "{\"loss\": 3, \"step\": 4}\n{\"loss\": 2, \"step\": 5}\n"
                                                      "{\"loss\": 1.0, \"learning_rate\": 1.0, \"step\": 6}\n");
    assert_ok(file_remove(in_dir("log.jsonl")));
    assert_ok(jsonl_open(dir, 5, &log)); /* nothing to cut */
    assert_ok(jsonl_close(log));
}

static void logs_of_a_resumed_run_stay_in_its_directory(void **state)
{
    const char *first, *again, *fresh, *own;
    (void)state;
    assert_ok(logging_dir_make(dir, NULL, false, arena, &first));
    assert_true(path_is_dir(first));
    assert_non_null(strstr(first, "/runs/"));
    assert_ok(logging_dir_make(dir, NULL, true, arena, &again));
    assert_string_equal(first, again);
    put(in_dir("runs/latest"), "../../etc\n");
    assert_ok(logging_dir_make(dir, NULL, true, arena, &fresh)); /* never out of runs */
    assert_non_null(strstr(fresh, "/runs/"));
    assert_null(strstr(fresh, ".."));
    assert_ok(logging_dir_make(dir, in_dir("own/place"), true, arena, &own));
    assert_string_equal(own, in_dir("own/place"));
    assert_true(path_is_dir(own));
    assert_ok(dir_remove(in_dir("runs")));
}

static void crc32c_equals_its_vectors(void **state)
{
    char zeros[32] = {0};
    (void)state;
    assert_int_equal(crc32c("123456789", 9), 0xE3069283u);
    assert_int_equal(crc32c_masked("123456789", 9), 0xC78AB0E5u);
    assert_int_equal(crc32c(zeros, 32), 0x8A9136AAu); /* RFC 3720, B.4 */
    assert_int_equal(crc32c("", 0), 0);
}

static void a_scalars_record_equals_torchs_bytes(void **state)
{
    static const unsigned char payload[] = {0x09, 0,    0,    0,    0,    0,    0,   0xF8, 0x3F, 0x10, 0x03,
                                            0x2a, 0x13, 0x0a, 0x11, 0x0a, 0x0a, 't', 'r',  'a',  'i',  'n',
                                            '/',  'l',  'o',  's',  's',  0x15, 0,   0,    0xc0, 0x3f};
    static const unsigned char length[8] = {sizeof payload};
    uint32_t crc;
    Text t = {0};
    (void)state;
    tensorboard_scalar_record(&t, 1.5, 3, "train/loss", 1.5f);
    assert_int_equal(t.size, 8 + 4 + sizeof payload + 4);
    assert_memory_equal(t.data, length, 8);
    memcpy(&crc, t.data + 8, 4);
    assert_int_equal(crc, crc32c_masked(length, 8));
    assert_memory_equal(t.data + 12, payload, sizeof payload);
    memcpy(&crc, t.data + 12 + sizeof payload, 4);
    assert_int_equal(crc, crc32c_masked(payload, sizeof payload));
    text_free(&t);
}

/* Walks a file of records; what they hold is joined in *all. */
static int count_records(const char *path, Text *all)
{
    char *data;
    size_t size, at = 0;
    int count = 0;
    assert_ok(file_read_all(path, arena, 1 << 20, &data, &size));
    for (; at < size; count++) {
        uint64_t length;
        uint32_t crc;
        assert_true(size - at >= 16);
        memcpy(&length, data + at, 8);
        memcpy(&crc, data + at + 8, 4);
        assert_int_equal(crc, crc32c_masked(data + at, 8));
        assert_true(length <= size - at - 16);
        memcpy(&crc, data + at + 12 + length, 4);
        assert_int_equal(crc, crc32c_masked(data + at + 12, length));
        text_add(all, data + at + 12, length);
        at += length + 16;
    }
    return count;
}

static bool holds(const Text *t, const char *word) { return memmem(t->data, t->size, word, strlen(word)) != NULL; }

static void events_have_the_trainers_names(void **state)
{
    TensorBoard *tb;
    LogEntry e = training(2.5, 1e-3, 300);
    char **names;
    size_t count;
    Text all = {0};
    (void)state;
    logentry_add_real(&e, "eval_loss", 3);
    logentry_add_real(&e, "test_f1", 1);
    logentry_add_real(&e, "evaluated", 1);
    assert_ok(tensorboard_open(in_dir("tb"), 7, &tb));
    assert_ok(tensorboard_text(tb, "args", "{\n  \"a\": 1\n}"));
    assert_ok(tensorboard_log(tb, 300, &e));
    assert_ok(tensorboard_close(tb));
    assert_ok(dir_list(in_dir("tb"), arena, &names, &count));
    assert_int_equal(count, 1);
    assert_int_equal(strncmp(names[0], "events.out.tfevents.", 20), 0);
    assert_int_equal(count_records(path_join(arena, in_dir("tb"), names[0]), &all), 2 + 1 + 5);
    assert_true(holds(&all, "brain.Event:2") && holds(&all, "args/text_summary") && holds(&all, "\"a\": 1"));
    assert_true(holds(&all, "train/loss") && holds(&all, "train/learning_rate") && holds(&all, "eval/loss"));
    assert_true(holds(&all, "test/f1") && holds(&all, "train/evaluated"));
    assert_false(holds(&all, "train/step"));
    assert_true(holds(&all, "\x10\x08\x3a\x02\x08\x01")); /* step 8, session_log { status: START } */
    text_free(&all);
    assert_ok(tensorboard_log(NULL, 1, &e));
    assert_ok(tensorboard_close(NULL));
}

static int disk_full(void *context, const FileCall *call, size_t *size)
{
    return (void)context, (void)size, call->op == FILE_WRITE ? ENOSPC : 0;
}

static void a_full_disk_is_an_error_that_names_the_file(void **state)
{
    TensorBoard *tb;
    JsonlLog *log;
    LogEntry e = training(1, 1, 1);
    (void)state;
    assert_ok(jsonl_open(dir, -1, &log));
    assert_ok(tensorboard_open(dir, -1, &tb));
    file_hook(disk_full, NULL);
    assert_int_equal(jsonl_log(log, &e), STATUS_SPACE);
    assert_non_null(strstr(status_message(), "log.jsonl"));
    assert_int_equal(tensorboard_log(tb, 1, &e), STATUS_SPACE);
    assert_int_equal(results_save(dir, "train", &e), STATUS_SPACE);
    file_hook(NULL, NULL);
    jsonl_close(log);
    tensorboard_close(tb);
    assert_int_equal(jsonl_open("/nonexistent/x", -1, &log), STATUS_MISSING);
    assert_null(log);
}

static void results_are_sorted_and_merged(void **state)
{
    LogEntry a = {0}, b = {0};
    (void)state;
    logentry_add_real(&a, "train_runtime", 2.5);
    logentry_add_real(&a, "epoch", 3);
    logentry_add_int(&a, "train_samples", 20);
    logentry_add_int(&a, "step", 9);
    assert_ok(results_save(dir, "train", &a));
    assert_string_equal(content(in_dir("train_results.json")),
                        "{\n    \"epoch\": 3.0,\n    \"train_runtime\": 2.5,\n    \"train_samples\": 20\n}\n");
    logentry_add_real(&b, "eval_loss", 1);
    logentry_add_real(&b, "epoch", 4);
    assert_ok(results_save(dir, "eval", &b));
    assert_string_equal(content(in_dir("all_results.json")),
                        "{\n    \"epoch\": 4.0,\n    \"eval_loss\": 1.0,\n"
                        "    \"train_runtime\": 2.5,\n    \"train_samples\": 20\n}\n");
    put(in_dir("all_results.json"), "{ torn");
    assert_ok(results_save(dir, "eval", &b));
    assert_string_equal(content(in_dir("all_results.json")), content(in_dir("eval_results.json")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_entry_is_a_line_at_once),
        cmocka_unit_test(a_resume_cuts_later_lines_and_torn_ones),
        cmocka_unit_test(logs_of_a_resumed_run_stay_in_its_directory),
        cmocka_unit_test(crc32c_equals_its_vectors),
        cmocka_unit_test(a_scalars_record_equals_torchs_bytes),
        cmocka_unit_test(events_have_the_trainers_names),
        cmocka_unit_test(a_full_disk_is_an_error_that_names_the_file),
        cmocka_unit_test(results_are_sorted_and_merged),
    };
    return cmocka_run_group_tests(tests, open_dir, close_dir);
}
