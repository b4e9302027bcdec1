/* Saving and resuming: what comes back, on how many ranks, what rotation keeps, what damage and other writers do. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "tests/checkpoint/support/toy_run.h"
#include "trainer/base/log.h"
#include "trainer/checkpoint/dir_lock.h"

static char root[64];
static Arena *arena;

static int set_up(void **state)
{
    (void)state;
    log_set(LOG_ERROR, 0);
    return scratch_dir(root) && arena_new(&arena) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    file_hook(NULL, NULL);
    arena_free(arena);
    return dir_remove(root) == OK ? 0 : -1;
}

#define assert_ok(call)                                                                                                \
    do {                                                                                                               \
        if ((call) != OK) fail_msg("%s: %s", #call, status_message());                                                 \
    } while (0)

static const char *in_root(const char *name) { return path_join(arena, root, name); }
static bool has(const char *name) { return path_exists(in_root(name)); }

static CheckpointStore *open_store(int64_t limit)
{
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = root, .save_total_limit = limit, .lock_wait_s = -1};
    assert_ok(checkpoint_store_open(&o, &store));
    return store;
}

/* Names in root, without the lock, joined by spaces. */
static const char *listing(void)
{
    char **names;
    size_t n;
    const char *text = "";
    assert_ok(dir_list(root, arena, &names, &n));
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], ".hone.lock") != 0) text = arena_printf(arena, "%s%s%s", text, *text ? " " : "", names[i]);
    return text;
}

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
    assert_ok(checkpoint_resume(store, &found));
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

/* ---- rotation ---- */
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

/* ---- resume ---- */
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
        assert_ok(checkpoint_resume(store, &found));
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
    assert_ok(checkpoint_resume(store, &from));
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
            /* Without its manifest it is as another program's: left alone. */
            bool foreign = f == 3 && what == 2;
            assert_string_equal(listing(), foreign ? "checkpoint-1 checkpoint-2 checkpoint-3"
                                                   : "checkpoint-1 checkpoint-2 corrupt-checkpoint-3");
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
        if (st != STATUS_FORMAT && st != STATUS_UNSUPPORTED) fail_msg("byte %zu: %s", i, status_name(st));
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
    checkpoint_store_close(store);
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

/* ---- ranks ---- */
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
    else if (checkpoint_resume(store, &found) != OK)
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
    return call->op == FILE_WRITE && strstr(call->path, "checkpoint-5") && strstr(call->path, "00001-of-00002") ? ENOSPC
                                                                                                                : 0;
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

/* ---- one writer ---- */
static void a_second_process_is_told_who_holds_the_directory(void **state)
{
    (void)state;
    CheckpointStore *store = open_store(0);
    CheckpointStore *again;
    CheckpointOptions o = {.output_dir = root, .lock_wait_s = -1};
    assert_int_equal(checkpoint_store_open(&o, &again), STATUS_LOCKED); /* in this process too */
    pid_t child = fork();
    if (child == 0) {
        CheckpointStore *other;
        CheckpointOptions mine = {.output_dir = root, .lock_wait_s = 0.1};
        char pid[32];
        snprintf(pid, sizeof pid, "pid %ld", (long)getppid());
        Status st = checkpoint_store_open(&mine, &other);
        _exit(st == STATUS_LOCKED && strstr(status_message(), pid) ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    checkpoint_store_close(store);
    checkpoint_store_close(open_store(0)); /* and free again */
}

static void a_waiting_process_gets_the_directory_when_it_is_free(void **state)
{
    (void)state;
    int ready[2];
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        CheckpointStore *held;
        CheckpointOptions mine = {.output_dir = root};
        if (checkpoint_store_open(&mine, &held) != OK || write(ready[1], "x", 1) != 1) _exit(1);
        usleep(200 * 1000);
        _exit(0); /* dies holding it */
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = root, .lock_wait_s = 20};
    assert_ok(checkpoint_store_open(&o, &store));
    checkpoint_store_close(store);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(ready[0]);
    close(ready[1]);
}

typedef struct Contest {
    _Atomic int inside, most, turns;
} Contest;

static void *contender(void *argument)
{
    Contest *c = argument;
    while (atomic_load(&c->turns) < 2000) {
        DirLock *lock;
        if (dir_lock_take(root, 0, &lock) != OK) continue;
        int now = atomic_fetch_add(&c->inside, 1) + 1;
        if (now > atomic_load(&c->most)) atomic_store(&c->most, now);
        sched_yield();
        atomic_fetch_sub(&c->inside, 1);
        atomic_fetch_add(&c->turns, 1);
        dir_lock_release(lock);
    }
    return NULL;
}

static void two_never_hold_the_lock_though_its_file_is_removed_each_time(void **state)
{
    (void)state;
    Contest c = {0};
    pthread_t threads[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&threads[i], NULL, contender, &c), 0);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_int_equal(c.most, 1);
}

static void leftovers_of_dead_saves_are_removed_at_the_start(void **state)
{
    (void)state;
    Toy *t = toy_new(0, 1, 1);
    CheckpointStore *store = open_store(0);
    assert_ok(toy_save(store, t, 1, -1));
    assert_ok(toy_save(store, t, 2, -1));
    checkpoint_store_close(store);
    assert_ok(dir_make(in_root(".tmp-checkpoint-3-0123-4/deep")));
    assert_ok(dir_make(in_root(".trash-checkpoint-0")));
    assert_ok(dir_make(in_root(".tmp-model-0123")));
    assert_ok(file_replace(in_root("trainer_state.json"), "x", 1));
    assert_ok(file_rename(in_root("trainer_state.json"), in_root("trainer_state.json.tmp-99")));
    assert_ok(file_replace(in_root("notes.tmp-mine"), "x", 1));
    assert_ok(file_rename(in_root("checkpoint-1"), in_root(".replaced-checkpoint-1")));
    store = open_store(0);
    assert_string_equal(listing(), "checkpoint-1 checkpoint-2 notes.tmp-mine");
    checkpoint_store_close(store);
    assert_int_equal(rename(in_root("checkpoint-1"), in_root(".replaced-checkpoint-2")), 0);
    checkpoint_store_close(open_store(0));
    assert_string_equal(listing(), "checkpoint-2 notes.tmp-mine");
    toy_free(t);
}

static void a_directory_that_cannot_be_written_is_a_clear_error(void **state)
{
    (void)state;
    CheckpointStore *store;
    CheckpointOptions o = {.output_dir = in_root("file/out"), .lock_wait_s = -1};
    assert_ok(file_replace(in_root("file"), "x", 1));
    assert_int_equal(checkpoint_store_open(&o, &store), STATUS_IO);
    assert_non_null(strstr(status_message(), "file"));
    if (geteuid() == 0) return; /* root may write anywhere */
    assert_ok(dir_make(in_root("fixed")));
    assert_int_equal(chmod(in_root("fixed"), 0555), 0);
    o.output_dir = in_root("fixed");
    assert_int_equal(checkpoint_store_open(&o, &store), STATUS_IO);
    assert_non_null(strstr(status_message(), "cannot write here"));
    assert_int_equal(chmod(in_root("fixed"), 0755), 0);
}

/* ---- the finished model ---- */
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

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(what_was_saved_comes_back),
        TEST(weights_are_saved_in_another_type_when_asked),
        TEST(a_model_over_several_files_comes_back),
        TEST(rotation_keeps_what_it_should),
        TEST(rotation_leaves_other_runs_and_other_files_alone),
        TEST(the_same_step_saved_again_takes_its_place),
        TEST(resuming_from_an_earlier_step_sets_later_ones_aside),
        TEST(a_run_goes_on_in_another_directory),
        TEST(a_damaged_checkpoint_is_set_aside_and_the_next_good_one_taken),
        TEST(every_flipped_bit_of_a_manifest_is_noticed),
        TEST(with_no_good_checkpoint_left_resume_is_an_error),
        TEST(another_programs_checkpoint_is_refused_with_advice),
        TEST(what_is_missing_or_misshapen_is_listed),
        TEST(a_model_only_checkpoint_has_no_optimizer),
        TEST(a_checkpoint_resumes_on_any_number_of_ranks),
        TEST(one_ranks_full_disk_fails_the_save_on_all_and_the_run_goes_on),
        TEST(a_rank_that_is_never_heard_of_does_not_hang_the_run),
        TEST(a_second_process_is_told_who_holds_the_directory),
        TEST(a_waiting_process_gets_the_directory_when_it_is_free),
        TEST(two_never_hold_the_lock_though_its_file_is_removed_each_time),
        TEST(leftovers_of_dead_saves_are_removed_at_the_start),
        TEST(a_directory_that_cannot_be_written_is_a_clear_error),
        TEST(the_final_model_replaces_the_old_one_whatever_its_layout),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
