/* Several ranks save into one checkpoint, which any number of ranks can go on from. Ranks are threads here. */
#include <errno.h>

#include "tests/checkpoint/support/toy_store.h"

static const char *save_on_ranks(const RankGroup *group, void *argument)
{
    const int64_t *steps = argument; /* ends with 0 */
    const char *wrong = NULL;
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = root, .group = group, .peer_wait_s = 20};
    Toy *t = toy_new(group->rank, group->size, 1);
    if (checkpoint_store_open(&o, &store) != OK) return status_message();
    for (; *steps && !wrong; steps++)
        if (toy_save(store, t, *steps, -1) != OK) wrong = status_message();
    checkpoint_store_close(store);
    toy_free(t);
    return wrong;
}

static const char *load_on_ranks(const RankGroup *group, void *argument)
{
    int64_t step = *(const int64_t *)argument;
    const char *wrong = NULL;
    Checkpoint found;
    bool any;
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = root, .group = group};
    Toy *t = toy_new(group->rank, group->size, 1);
    if (checkpoint_store_open(&o, &store) != OK) return status_message();
    if (checkpoint_find(store, "true", &found, &any) != OK)
        wrong = status_message();
    else if (!any || found.step != step)
        wrong = "not the step that was saved";
    else if (toy_load(t, found.path) != OK)
        wrong = status_message();
    else if (toy_wrong(t, step))
        wrong = toy_wrong(t, step);
    else if (checkpoint_resume(store, &found, -1) != OK)
        wrong = status_message();
    else if (toy_save(store, t, step + 1, -1) != OK)
        wrong = status_message();
    checkpoint_store_close(store);
    toy_free(t);
    return wrong;
}

static void a_checkpoint_resumes_on_any_number_of_ranks(void **state)
{
    (void)state;
    static const int sizes[][2] = {{1, 2}, {2, 1}, {3, 2}, {2, 3}, {2, 2}, {4, 1}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t steps[] = {7, 9, 0}, last = 9;
        const char *wrong = on_ranks(sizes[i][0], save_on_ranks, steps);
        if (!wrong) wrong = on_ranks(sizes[i][1], load_on_ranks, &last);
        if (wrong) fail_msg("%d to %d: %s", sizes[i][0], sizes[i][1], wrong);
        assert_string_equal(listing(), "checkpoint-10 checkpoint-7 checkpoint-9");
        bool several = sizes[i][0] > 1;
        assert_int_equal(has("checkpoint-9/optimizer.safetensors"), !several);
        assert_int_equal(has("checkpoint-9/rng_state_1.json"), several);
        assert_false(has("checkpoint-9/rank-00001.done"));
        assert_ok(dir_remove(root));
        assert_ok(dir_make(root));
    }
}

static const char *fail_on_one_rank(const RankGroup *group, void *argument)
{
    (void)argument;
    const char *wrong = NULL;
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = root, .group = group, .peer_wait_s = 20};
    Toy *t = toy_new(group->rank, group->size, 1);
    if (checkpoint_store_open(&o, &store) != OK) return status_message();
    if (toy_save(store, t, 5, -1) == OK)
        wrong = "a save that failed on one rank is called good";
    else if (!strstr(status_message(), "rank 1") || !strstr(status_message(), "No space"))
        wrong = status_message();
    else if (!checkpoint_failed(store))
        wrong = "the failure was forgotten";
    else if (toy_save(store, t, 6, -1) != OK)
        wrong = status_message(); /* and the run goes on */
    checkpoint_store_close(store);
    toy_free(t);
    return wrong;
}

static int full_for_one_rank(void *context, const FileCall *call, size_t *size)
{
    (void)context;
    (void)size;
    bool second = strstr(call->path, "/.tmp-checkpoint-5-") && strstr(call->path, "00001-of-00002");
    return call->op == FILE_WRITE && second ? ENOSPC : 0;
}

static void one_ranks_full_disk_fails_the_save_on_all_and_the_run_goes_on(void **state)
{
    (void)state;
    int kept = hush();
    file_hook(full_for_one_rank, NULL);
    const char *wrong = on_ranks(2, fail_on_one_rank, NULL);
    file_hook(NULL, NULL);
    unhush(kept);
    if (wrong) fail_msg("%s", wrong);
    assert_string_equal(listing(), "checkpoint-6");
}

static const char *leave_rank_0_waiting(const RankGroup *group, void *argument)
{
    (void)argument;
    const char *wrong = NULL;
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = root, .group = group, .peer_wait_s = 0.2};
    Toy *t = toy_new(group->rank, group->size, 1);
    if (checkpoint_store_open(&o, &store) != OK) return status_message();
    if (toy_save(store, t, 5, -1) == OK)
        wrong = "a save without rank 1's piece is called good";
    else if (!strstr(status_message(), "1 of 2 ranks"))
        wrong = status_message();
    checkpoint_store_close(store);
    toy_free(t);
    return wrong;
}

static int lose_the_note(void *context, const FileCall *call, size_t *size)
{
    (void)context;
    (void)size;
    return strstr(call->path, "rank-00001") ? EIO : 0;
}

static void a_rank_that_is_never_heard_of_does_not_hang_the_run(void **state)
{
    (void)state;
    int kept = hush();
    file_hook(lose_the_note, NULL);
    const char *wrong = on_ranks(2, leave_rank_0_waiting, NULL);
    file_hook(NULL, NULL);
    unhush(kept);
    if (wrong) fail_msg("%s", wrong);
    assert_string_equal(listing(), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_checkpoint_resumes_on_any_number_of_ranks),
        TEST(one_ranks_full_disk_fails_the_save_on_all_and_the_run_goes_on),
        TEST(a_rank_that_is_never_heard_of_does_not_hang_the_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
