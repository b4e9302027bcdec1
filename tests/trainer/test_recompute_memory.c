/* Gradient checkpointing saves memory and changes no bit: 12 layers on sequences of 512 tokens, in whole runs with
 * dropout. */
#include "tests/trainer/ragged_run.h"

static char dir[] = "/tmp/hone-recompute-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return group_open(&world) != OK || !mkdtemp(dir);
}

static int teardown(void **state)
{
    (void)state;
    group_close(world);
    return dir_remove(dir) != OK;
}

static RunResult run(const char *checkpointing)
{
    char options[1024];
    snprintf(options, sizeof options,
             "--config_overrides n_embd=64,n_layer=12,n_head=4,vocab_size=320,n_positions=512 --max_steps 2 "
             "--per_device_train_batch_size 1 "
             "--learning_rate 1e-2 %s",
             checkpointing);
    ragged_count = 2;
    ragged_length = length_512;
    RunResult r = ragged_run(wrap(world, true, 0), dir, options);
    if (r.st) fail_msg("%s", status_message());
    print_message("%s: %.1f MB kept, %.1f MB of gradients and scratch\n",
                  *checkpointing ? checkpointing : "all is kept", (double)r.kept_bytes / 1e6,
                  (double)r.scratch_bytes / 1e6);
    return r;
}

static size_t bytes(const RunResult *r) { return r->kept_bytes + r->scratch_bytes; }

static void assert_same_run(const RunResult *a, const RunResult *b)
{
    assert_string_equal(a->weights, b->weights);
    assert_int_equal(a->logged, 2);
    assert_memory_equal(a->loss, b->loss, sizeof a->loss);
    assert_memory_equal(a->norm, b->norm, sizeof a->norm);
}

static void checkpointing_keeps_under_35_percent_with_the_same_bits(void **state)
{
    (void)state;
    RunResult all = run(""), every = run("--gradient_checkpointing true");
    assert_same_run(&all, &every);
    assert_true((double)bytes(&every) < 0.35 * (double)bytes(&all));
    assert_true((double)every.kept_bytes < 0.35 * (double)all.kept_bytes);
}

/* Blocks that are not recomputed keep what they make: half of them about half. */
static void every_nth_layer_saves_as_much_less(void **state)
{
    (void)state;
    RunResult all = run(""),
              second = run("--activation_checkpointing true --activation_checkpointing_kwargs {\"every_n_layers\":2}"),
              fourth = run("--activation_checkpointing true --activation_checkpointing_kwargs {\"every_n_layers\":4}"),
              every = run("--activation_checkpointing true");
    assert_same_run(&all, &second);
    assert_same_run(&all, &fourth);
    assert_same_run(&all, &every);
    assert_true(every.kept_bytes < second.kept_bytes && second.kept_bytes < fourth.kept_bytes &&
                fourth.kept_bytes < all.kept_bytes);
    double half = (double)second.kept_bytes / (double)all.kept_bytes,
           quarter = (double)fourth.kept_bytes / (double)all.kept_bytes;
    if (!(half < 0.65 && quarter < 0.85))
        fail_msg("every 2nd layer keeps %.0f%%, every 4th %.0f%%", 100 * half, 100 * quarter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpointing_keeps_under_35_percent_with_the_same_bits),
        cmocka_unit_test(every_nth_layer_saves_as_much_less),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
