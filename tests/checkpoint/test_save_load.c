/* What was saved comes back, and what does not fit is told. */
#include "tests/checkpoint/support/toy_store.h"

static void what_was_saved_comes_back(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    Checkpoint found;
    bool any;
    CheckpointStore *store = open_store(0);
    assert_false(checkpoint_dir_in_use(store));
    assert_ok(checkpoint_find(store, "true", &found, &any));
    assert_false(any);
    assert_ok(checkpoint_wait(store));
    assert_ok(toy_save(store, t, 10, -1));
    assert_false(checkpoint_failed(store));
    assert_string_equal(listing(), "checkpoint-10");
    checkpoint_store_close(store);
    assert_false(has(".hone.lock"));

    store = open_store(0);
    assert_true(checkpoint_dir_in_use(store));
    char fresh[33];
    strcpy(fresh, checkpoint_run_id(store));
    assert_ok(checkpoint_find(store, "true", &found, &any));
    assert_true(any);
    assert_int_equal(found.step, 10);
    assert_true(found.has_optimizer);
    assert_int_equal(found.world_size, 1);
    assert_ok(toy_load(t, found.path));
    if (toy_wrong(t, 10)) fail_msg("%s", toy_wrong(t, 10));
    assert_ok(checkpoint_resume(store, &found, -1));
    assert_string_equal(checkpoint_run_id(store), found.run_id);
    assert_string_not_equal(fresh, found.run_id);
    assert_ok(toy_save(store, t, 20, -1));
    Checkpoint next;
    assert_ok(checkpoint_read_manifest(in_root("checkpoint-20"), true, &next));
    assert_string_equal(next.run_id, found.run_id);
    assert_true(next.serial > found.serial);
    checkpoint_store_close(store);
    toy_free(t);
}

static void weights_are_saved_in_another_type_when_asked(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    CheckpointStore *store = open_store(0);
    for (int i = 0; i < TOY_PARAMETERS; i++) t->tensors[i].file_dtype = DTYPE_BF16;
    toy_set(t, 0);
    for (int64_t i = 0; i < t->total; i++) t->weights[i] = (float)(i % 200); /* exact in bf16 */
    assert_ok(toy_begin(store, t, 5, -1));
    assert_ok(checkpoint_wait(store));
    Safetensors *s;
    assert_ok(safetensors_open(in_root("checkpoint-5/model.safetensors"), &s));
    assert_int_equal(safetensors_find(s, "wte.weight")->dtype, DTYPE_BF16);
    safetensors_close(s);
    memset(t->weights, 0, (size_t)t->total * sizeof(float));
    assert_ok(checkpoint_load_tensors(in_root("checkpoint-5"), NULL, t->tensors, TOY_PARAMETERS, true));
    for (int64_t i = 0; i < t->parameters[0].numel; i++) assert_true(t->weights[i] == (float)(i % 200));
    checkpoint_store_close(store);
    toy_free(t);
}

static void a_model_over_several_files_comes_back(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = root, .max_shard_bytes = 400};
    assert_ok(checkpoint_store_open(&o, &store));
    assert_ok(toy_save(store, t, 3, -1));
    assert_true(has("checkpoint-3/model-00001-of-00002.safetensors"));
    assert_true(has("checkpoint-3/model.safetensors.index.json"));
    assert_ok(toy_load(t, in_root("checkpoint-3")));
    assert_null(toy_wrong(t, 3));
    checkpoint_store_close(store);
    toy_free(t);
}

static void what_is_missing_or_misshapen_is_listed(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    CheckpointStore *store = open_store(0);
    assert_ok(toy_save(store, t, 1, -1));
    NamedTensor want[3] = {t->tensors[0], t->tensors[1], t->tensors[2]};
    want[0].name = "wpe.weight";
    want[1].shape[0]++;
    assert_int_equal(checkpoint_load_tensors(in_root("checkpoint-1"), NULL, want, 3, true), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "missing: wpe.weight [17, 5]"));
    assert_non_null(strstr(status_message(), "wrong shape: h.0.ln.bias is [5]"));
    assert_non_null(strstr(status_message(), "unexpected: wte.weight"));
    assert_non_null(strstr(status_message(), "unexpected: scalar"));
    t->states[1].name = "momentum";
    assert_int_equal(checkpoint_load_optimizer(in_root("checkpoint-1"), &t->piece, arena, NULL, NULL), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "missing: wte.weight.momentum, elements 0 to 85"));
    checkpoint_store_close(store);
    toy_free(t);
}

static void a_model_only_checkpoint_has_no_optimizer(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    CheckpointStore *store = open_store(0);
    Checkpoint found;
    bool any;
    SaveRequest r = {
        .step = 1, .best_step = -1, .tensors = t->tensors, .tensor_count = TOY_PARAMETERS, .save_only_model = true};
    assert_ok(checkpoint_save_begin(store, &r));
    assert_ok(checkpoint_wait(store));
    assert_ok(checkpoint_find(store, "true", &found, &any));
    assert_true(any);
    assert_false(found.has_optimizer);
    assert_int_equal(checkpoint_load_optimizer(found.path, &t->piece, arena, NULL, NULL), STATUS_MISSING);
    checkpoint_store_close(store);
    toy_free(t);
}

static void the_final_model_replaces_the_old_one_whatever_its_layout(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    SmallFile config = {"config.json", "{}", 2};
    for (int round = 0; round < 4; round++) { /* single, shards, shards, single */
        CheckpointStore *store;
        CheckpointOptions o = {.output_dir = root, .max_shard_bytes = round == 1 ? 400 : round == 2 ? 100 : 0};
        assert_ok(checkpoint_store_open(&o, &store));
        toy_set(t, round);
        assert_ok(checkpoint_save_model(store, NULL, t->tensors, TOY_PARAMETERS, &config, 1));
        checkpoint_store_close(store);
        memset(t->weights, 0, (size_t)t->total * sizeof(float));
        assert_ok(checkpoint_load_tensors(root, NULL, t->tensors, TOY_PARAMETERS, true));
        if (toy_wrong(t, round)) fail_msg("round %d: %s", round, toy_wrong(t, round));
    }
    assert_string_equal(listing(), "config.json model.safetensors");
    toy_free(t);
}

static void what_cannot_be_prepared_fails_the_save_and_not_the_run(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    CheckpointStore *store = open_store(0);
    assert_int_equal(checkpoint_saved_step(store), -1);
    assert_ok(toy_save(store, t, 1, -1));
    int kept = hush();
    SaveRequest r = {.step = 2, .best_step = -1};
    r.prepared = status_raise(STATUS_MISSING, "no tokenizer any more");
    assert_ok(checkpoint_save_begin(store, &r));
    unhush(kept);
    assert_ok(checkpoint_wait(store));
    assert_true(checkpoint_failed(store));
    assert_int_equal(checkpoint_saved_step(store), 1);
    assert_ok(toy_save(store, t, 3, -1));
    assert_int_equal(checkpoint_saved_step(store), 3);
    assert_string_equal(listing(), "checkpoint-1 checkpoint-3");
    checkpoint_store_close(store);
    toy_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_was_saved_comes_back),
        TEST(weights_are_saved_in_another_type_when_asked),
        TEST(a_model_over_several_files_comes_back),
        TEST(what_is_missing_or_misshapen_is_listed),
        TEST(a_model_only_checkpoint_has_no_optimizer),
        TEST(what_cannot_be_prepared_fails_the_save_and_not_the_run),
        TEST(the_final_model_replaces_the_old_one_whatever_its_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
