/* Which checkpoint a run goes on from, and what damage does. */
#include "tests/checkpoint/support/toy_store.h"

static void resuming_from_an_earlier_step_sets_later_ones_aside(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    Checkpoint found;
    bool any;
    CheckpointStore *store = open_store(0);
    for (int s = 1; s <= 4; s++) assert_ok(toy_save(store, t, s, -1));
    checkpoint_store_close(store);
    for (int twice = 0; twice < 2; twice++) {
        store = open_store(0);
        assert_ok(checkpoint_find(store, arena_printf(arena, "%s/checkpoint-2//", root), &found, &any));
        assert_true(any);
        assert_int_equal(found.step, 2);
        assert_ok(checkpoint_resume(store, &found, -1));
        if (twice) break;
        assert_string_equal(listing(), "checkpoint-1 checkpoint-2 superseded-checkpoint-3 superseded-checkpoint-4");
        assert_ok(toy_save(store, t, 3, -1));
        checkpoint_store_close(store);
    }
    assert_string_equal(
        listing(),
        "checkpoint-1 checkpoint-2 superseded-checkpoint-3 superseded-checkpoint-3.2 superseded-checkpoint-4");
    assert_ok(toy_save(store, t, 3, -1));
    checkpoint_store_close(store);
    store = open_store(0);
    assert_ok(checkpoint_find(store, "true", &found, &any));
    assert_int_equal(found.step, 3);
    assert_int_equal(found.serial, 6);
    checkpoint_store_close(store);
    toy_free(t);
}

static void a_run_goes_on_in_another_directory(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    Checkpoint from, found;
    bool any;
    CheckpointStore *store = open_store(1);
    for (int s = 1; s <= 4; s++) assert_ok(toy_save(store, t, s, -1));
    checkpoint_store_close(store);
    CheckpointOptions o = {.output_dir = in_root("elsewhere"), .save_total_limit = 1, .lock_wait_s = -1};
    assert_ok(checkpoint_store_open(&o, &store));
    assert_ok(checkpoint_find(store, in_root("checkpoint-4"), &from, &any));
    assert_ok(checkpoint_resume(store, &from, -1));
    assert_ok(toy_save(store, t, 5, -1));
    assert_ok(checkpoint_find(store, "true", &found, &any));
    assert_string_equal(found.run_id, from.run_id);
    assert_true(found.serial > from.serial);
    assert_true(has("checkpoint-4"));
    checkpoint_store_close(store);
    toy_free(t);
}

static void damage(const char *path, long at, int what)
{
    char *text;
    size_t size;
    assert_ok(file_read_all(path, arena, 1 << 20, &text, &size));
    if (at < 0) at = (long)size / 2;
    if (what == 1) text[at] ^= 1;
    File *f;
    assert_ok(file_create(path, &f));
    assert_ok(file_write(f, text, what == 0 ? (size_t)at : size));
    assert_ok(file_close(f));
}

static void a_damaged_checkpoint_is_set_aside_and_the_next_good_one_taken(void **state)
{
    (void)state;
    static const char *const files[] = {"model.safetensors", "optimizer.safetensors", "trainer_state.json",
                                        "MANIFEST.json"};
    Toy *t = toy_new(0, 1, 1);
    for (size_t f = 0; f < 4; f++)
        for (int what = 0; what < 3; what++) {
            Checkpoint found;
            bool any;
            CheckpointStore *store = open_store(0);
            for (int s = 1; s <= 3; s++) assert_ok(toy_save(store, t, s, -1));
            checkpoint_store_close(store);
            const char *path = arena_printf(arena, "%s/checkpoint-3/%s", root, files[f]);
            if (what == 2)
                assert_ok(file_remove(path));
            else
                damage(path, -1, what);
            store = open_store(0);
            Status st = checkpoint_find(store, "true", &found, &any);
            if (st != OK || !any || found.step != 2) fail_msg("%s, damage %d: %s", files[f], what, status_message());
            assert_string_equal(listing(), "checkpoint-1 checkpoint-2 corrupt-checkpoint-3");
            assert_ok(toy_load(t, found.path));
            assert_null(toy_wrong(t, 2));
            checkpoint_store_close(store);
            assert_ok(dir_remove(root));
            assert_ok(dir_make(root));
        }
    toy_free(t);
}

static void every_flipped_bit_of_a_manifest_is_noticed(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    CheckpointStore *store = open_store(0);
    Checkpoint c;
    char *text;
    size_t size;
    assert_ok(toy_save(store, t, 3, -1));
    checkpoint_store_close(store);
    const char *path = in_root("checkpoint-3/MANIFEST.json");
    assert_ok(file_read_all(path, arena, 1 << 20, &text, &size));
    for (size_t i = 0; i < size; i++) {
        text[i] ^= 1 << (i % 7);
        assert_ok(file_replace(path, text, size));
        text[i] ^= 1 << (i % 7);
        Status st = checkpoint_read_manifest(in_root("checkpoint-3"), false, &c);
        if (st != STATUS_FORMAT) fail_msg("byte %zu: %s", i, status_name(st));
    }
    toy_free(t);
}

static void with_no_good_checkpoint_left_resume_is_an_error(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    Checkpoint found;
    bool any;
    CheckpointStore *store = open_store(0);
    assert_ok(toy_save(store, t, 1, -1));
    damage(in_root("checkpoint-1/model.safetensors"), -1, 1);
    assert_int_equal(checkpoint_find(store, in_root("checkpoint-1"), &found, &any), STATUS_FORMAT);
    assert_string_equal(listing(), "checkpoint-1"); /* a path that was named is not moved */
    assert_int_equal(checkpoint_find(store, "true", &found, &any), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "corrupt-checkpoint-1"));
    assert_int_equal(checkpoint_find(store, "true", &found, &any), STATUS_FORMAT); /* nor begins anew */
    assert_non_null(strstr(status_message(), "corrupt-checkpoint-1"));
    assert_int_equal(checkpoint_find(store, in_root("checkpoint-9"), &found, &any), STATUS_MISSING);
    checkpoint_store_close(store);
    toy_free(t);
}

static void another_programs_checkpoint_is_refused_with_advice(void **state)
{
    (void)state;
    Checkpoint found;
    bool any;
    assert_ok(dir_make(in_root("checkpoint-500")));
    assert_ok(file_replace(in_root("checkpoint-500/optimizer.pt"), "x", 1));
    CheckpointStore *store = open_store(0);
    assert_int_equal(checkpoint_find(store, "true", &found, &any), STATUS_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "model_name_or_path"));
    assert_int_equal(checkpoint_find(store, in_root("checkpoint-500"), &found, &any), STATUS_UNSUPPORTED);
    Toy *t = toy_new(0, 1, 1);
    assert_ok(toy_save(store, t, 1, -1));
    assert_ok(checkpoint_find(store, "true", &found, &any));
    assert_int_equal(found.step, 1);
    assert_string_equal(listing(), "checkpoint-1 checkpoint-500"); /* and left alone */
    toy_free(t);
    checkpoint_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(resuming_from_an_earlier_step_sets_later_ones_aside),
        TEST(a_run_goes_on_in_another_directory),
        TEST(a_damaged_checkpoint_is_set_aside_and_the_next_good_one_taken),
        TEST(every_flipped_bit_of_a_manifest_is_noticed),
        TEST(with_no_good_checkpoint_left_resume_is_an_error),
        TEST(another_programs_checkpoint_is_refused_with_advice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
