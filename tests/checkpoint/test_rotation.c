/* Which checkpoints stay. */
#include "tests/checkpoint/support/toy_store.h"

static void rotation_keeps_what_it_should(void **state)
{
    (void)state;
    static const struct {
        int64_t limit;
        int64_t best[5]; /* when saving steps 5, 4, 3, 2, 1 in this order: the serial counts, not the step */
        const char *left;
    } cases[] = {
        {0, {-1, -1, -1, -1, -1}, "checkpoint-1 checkpoint-2 checkpoint-3 checkpoint-4 checkpoint-5"},
        {2, {-1, -1, -1, -1, -1}, "checkpoint-1 checkpoint-2"},
        {1, {-1, -1, -1, -1, -1}, "checkpoint-1"},
        {3, {5, 5, 5, 5, 5}, "checkpoint-1 checkpoint-2 checkpoint-5"}, /* the best within the limit */
        {2, {5, 5, 5, 5, 5}, "checkpoint-1 checkpoint-5"},
        {1, {5, 5, 5, 5, 5}, "checkpoint-1 checkpoint-5"}, /* beside it */
        {1, {5, 4, 3, 2, 1}, "checkpoint-1"},
        {2, {5, 4, 4, 4, 2}, "checkpoint-1 checkpoint-2"},
        {2, {9, 9, 9, 9, 9}, "checkpoint-1 checkpoint-2"}, /* a best that was never saved */
        {9, {5, 5, 5, 5, 5}, "checkpoint-1 checkpoint-2 checkpoint-3 checkpoint-4 checkpoint-5"},
    };
    Toy *t = toy_new(0, 1, 1);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        CheckpointStore *store = open_store(cases[c].limit);
        for (int i = 0; i < 5; i++) assert_ok(toy_save(store, t, 5 - i, cases[c].best[i]));
        if (strcmp(listing(), cases[c].left) != 0) fail_msg("case %zu: %s", c, listing());
        checkpoint_store_close(store);
        assert_ok(dir_remove(root));
        assert_ok(dir_make(root));
    }
    toy_free(t);
}

static void rotation_leaves_other_runs_and_other_files_alone(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    CheckpointStore *store = open_store(1);
    assert_ok(toy_save(store, t, 1, -1));
    checkpoint_store_close(store);
    assert_ok(dir_make(in_root("checkpoint-77"))); /* another program's */
    assert_ok(file_replace(in_root("checkpoint-77/model.safetensors"), "x", 1));
    assert_ok(dir_make(in_root("checkpoint-best")));
    store = open_store(1); /* another run: it did not resume */
    assert_ok(toy_save(store, t, 2, -1));
    assert_ok(toy_save(store, t, 3, -1));
    assert_string_equal(listing(), "checkpoint-1 checkpoint-3 checkpoint-77 checkpoint-best");
    assert_ok(toy_save(store, t, 77, -1)); /* and a name that is taken */
    assert_string_equal(listing(), "checkpoint-1 checkpoint-77 checkpoint-best superseded-checkpoint-77");
    checkpoint_store_close(store);
    toy_free(t);
}

static void the_same_step_saved_again_takes_its_place(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    CheckpointStore *store = open_store(2);
    Checkpoint a, b;
    assert_ok(toy_save(store, t, 8, -1));
    assert_ok(checkpoint_read_manifest(in_root("checkpoint-8"), true, &a));
    assert_ok(toy_save(store, t, 8, -1));
    assert_ok(checkpoint_read_manifest(in_root("checkpoint-8"), true, &b));
    assert_true(b.serial > a.serial);
    assert_string_equal(listing(), "checkpoint-8");
    checkpoint_store_close(store);
    toy_free(t);
}

/* The last save's rotation may never have come: the run was killed, and no save is left to do. */
static void resuming_rotates(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    Checkpoint found;
    bool any;
    CheckpointStore *store = open_store(0);
    for (int s = 1; s <= 5; s++) assert_ok(toy_save(store, t, s, -1));
    checkpoint_store_close(store);
    store = open_store(2);
    assert_ok(checkpoint_find(store, "true", &found, &any));
    assert_string_equal(listing(), "checkpoint-1 checkpoint-2 checkpoint-3 checkpoint-4 checkpoint-5");
    assert_ok(checkpoint_resume(store, &found, 2));
    assert_string_equal(listing(), "checkpoint-2 checkpoint-5");
    checkpoint_store_close(store);
    toy_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(rotation_keeps_what_it_should),
        TEST(rotation_leaves_other_runs_and_other_files_alone),
        TEST(the_same_step_saved_again_takes_its_place),
        TEST(resuming_rotates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
