/* links: callbacks */
/* Training by several ranks on emulated devices (hone-emulated under mpirun): the curves of the CPU, the same bits with
 * every order of queued work, with full determinism on one rank and on two, by NCCL and through host memory; and
 * checkpoints of two device ranks, from which one device, two ranks and the CPU go on. Passes over all where the
 * emulator was not built. */
#include "tests/trainer/device_run.h"

#define NCCL 2 /* devices: one a rank */
#define SHARED 1

/* Trains into dir/out; devices 0: on the CPU. Another order of threads, blocks and queued work each time. */
static void train_ranks(int count, int devices, const char *out, const char *options)
{
    static int seed;
    int failed =
        run("HONE_EMU_SEED=%d HONE_EMU_DEVICES=%d mpirun --oversubscribe --timeout 100 -np %d %s train --device %s"
            " --model_type gpt2 --config_overrides " MODEL " --tokenizer_name tests/fixtures/models/gpt2_tiny"
            " --train_file tests/fixtures/data/validation.txt --validation_file tests/fixtures/data/validation.txt"
            " --max_eval_samples 10 --block_size 16 --max_train_samples 48 --per_device_train_batch_size %d"
            " --learning_rate 1e-2 --max_steps %d --logging_steps 1 --disable_tqdm --num_threads 1 --output_dir %s/%s"
            " --save_strategy no --report_to none --adam_epsilon 1e-4 %s >%s/log 2>&1",
            seed++ % 5, devices, count, devices ? device_program : host_program, devices ? "cuda" : "cpu", 4 / count,
            STEPS, dir, out, options, dir);
    if (failed) fail_msg("%s %s failed (%d)", out, options, run("cat %s/log", dir));
}

static void said(const char *text, bool wanted)
{
    if ((run("grep -q '%s' %s/log", text, dir) == 0) != wanted)
        fail_msg("%s%s (%d)", wanted ? "not said: " : "said: ", text, run("cat %s/log", dir));
}

static void same_weights(const char *a, const char *b)
{
    assert_int_equal(run("cmp %s/%s/model.safetensors %s/%s/model.safetensors", dir, a, dir, b), 0);
}

static void two_devices_draw_the_curves_of_the_cpu_and_repeat_their_bits(void **state)
{
    (void)state;
    if (!emulated) skip();
    static const char *const options[] = {"--overwrite_output_dir",
                                          "--overwrite_output_dir --zero_stage 0 --gradient_accumulation_steps 2"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        train_ranks(2, 0, "host", options[i]);
        train_ranks(2, NCCL, "device", options[i]);
        said("host memory", false);
        train_ranks(2, NCCL, "again", options[i]);
        same_curves("host", "device", ROUNDING, options[i]);
        same_weights("device", "again");
        train_ranks(2, SHARED, "shared", options[i]); /* two terms have one sum */
        said("hone: gradients go through host memory: ranks 0 and 1 share one GPU of", true);
        same_weights("device", "shared");
    }
}

static void full_determinism_has_the_same_bits_on_one_rank_and_two(void **state)
{
    (void)state;
    if (!emulated) skip();
    train_ranks(1, NCCL, "one", "--full_determinism");
    train_ranks(2, NCCL, "two", "--full_determinism");
    same_weights("one", "two");
    train_ranks(2, SHARED, "both", "--full_determinism");
    same_weights("one", "both");
}

/* Goes on in a copy of dir/whole, from its checkpoint at half of the steps. */
static void go_on(int count, int devices, const char *out)
{
    assert_int_equal(run("cp -r %s/whole %s/%s && rm -r %s/%s/*.* %s/%s/checkpoint-%d", dir, dir, out, dir, out, dir,
                         out, STEPS), 0);
    train_ranks(count, devices, out, "--save_strategy steps --save_steps 4 --resume_from_checkpoint true");
    said("resumed from .*checkpoint-4 at step 4", true);
}

static void others_go_on_from_the_checkpoint_of_two_devices(void **state)
{
    (void)state;
    if (!emulated) skip();
    train_ranks(2, NCCL, "whole", "--save_strategy steps --save_steps 4");
    go_on(2, NCCL, "two_go_on");
    same_weights("whole", "two_go_on");
    go_on(1, NCCL, "one_goes_on");
    same_curves("whole", "one_goes_on", ROUNDING, "resumed on one device");
    go_on(1, 0, "host_goes_on");
    same_curves("whole", "host_goes_on", ROUNDING, "resumed on the CPU");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_devices_draw_the_curves_of_the_cpu_and_repeat_their_bits),
        cmocka_unit_test(full_determinism_has_the_same_bits_on_one_rank_and_two),
        cmocka_unit_test(others_go_on_from_the_checkpoint_of_two_devices),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
