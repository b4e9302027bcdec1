/* links: callbacks */
/* Training by several ranks on emulated devices (hone-emulated under mpirun): the curves of the CPU, the same bits with
 * every order of queued work, with full determinism on one rank and on two, by NCCL and through host memory; and
 * checkpoints of two device ranks, from which one device, two ranks and the CPU go on. Passes over all where the
 * emulator was not built. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "trainer/base/file.h"
#include "trainer/callbacks/state.h"

#define MODEL "n_layer=2,n_embd=24,n_head=2,n_positions=16,vocab_size=320,bos_token_id=319"
#define NCCL 2 /* devices: one a rank */
#define SHARED 1
enum { STEPS = 8 };

static char dir[] = "/tmp/hone-device-ranks-XXXXXX", host_program[4096], device_program[4096];
static bool emulated;

static int setup(void **state)
{
    (void)state;
    assert_non_null(realpath("hone", host_program));
    emulated = realpath("hone-emulated", device_program) != NULL;
    assert_non_null(mkdtemp(dir));
    setenv("HONE_CACHE", dir, 1);
    return chdir(FIXTURES "/../..");
}

static int teardown(void **state)
{
    (void)state;
    return dir_remove(dir) != OK;
}

static int run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int run(const char *format, ...)
{
    char command[16384];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return system(command);
}

/* Trains into dir/out; devices 0: on the CPU. Another order of threads, blocks and queued work each time. */
static void train(int ranks, int devices, const char *out, const char *options)
{
    static int seed;
    int failed =
        run("HONE_EMU_SEED=%d HONE_EMU_DEVICES=%d mpirun --oversubscribe --timeout 100 -np %d %s train --device %s"
            " --model_type gpt2 --config_overrides " MODEL " --tokenizer_name tests/fixtures/models/gpt2_tiny"
            " --train_file tests/fixtures/data/validation.txt --validation_file tests/fixtures/data/validation.txt"
            " --max_eval_samples 10 --block_size 16 --max_train_samples 48 --per_device_train_batch_size %d"
            " --learning_rate 1e-2 --max_steps %d --logging_steps 1 --disable_tqdm --num_threads 1 --output_dir %s/%s"
            " --save_strategy no --report_to none --adam_epsilon 1e-4 %s >%s/log 2>&1",
            seed++ % 5, devices, ranks, devices ? device_program : host_program, devices ? "cuda" : "cpu", 4 / ranks,
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

/* Losses, norms and evaluations of two runs; in f32 they differ by rounding, which training makes larger. */
static void same_curves(const char *a, const char *b, const char *what)
{
    static const char *const keys[] = {"loss", "grad_norm", "eval_loss", "train_loss"};
    TrainerState s[2];
    char path[4096];
    int compared = 0;
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s/trainer_state.json", dir, i ? b : a);
        state_init(&s[i]);
        assert_int_equal(state_read(&s[i], path), OK);
    }
    assert_int_equal(state_log_count(&s[0]), state_log_count(&s[1]));
    for (size_t i = 0; i < state_log_count(&s[0]); i++) {
        LogEntry e, f;
        state_log_get(&s[0], i, &e), state_log_get(&s[1], i, &f);
        for (size_t j = 0; j < sizeof keys / sizeof *keys; j++) {
            double want = logentry_get(&e, keys[j], NAN), got = logentry_get(&f, keys[j], NAN);
            if (isnan(want) && isnan(got)) continue;
            if (!(fabs(want - got) <= 2e-5 * fabs(want)))
                fail_msg("%s: step %g: %s is %.9g and %.9g", what, logentry_get(&e, "step", 0), keys[j], want, got);
            compared++;
        }
    }
    assert_true(compared >= 2 * STEPS);
    state_free(&s[0]), state_free(&s[1]);
}

static void two_devices_draw_the_curves_of_the_cpu_and_repeat_their_bits(void **state)
{
    (void)state;
    if (!emulated) skip();
    static const char *const options[] = {"--overwrite_output_dir",
                                          "--overwrite_output_dir --zero_stage 0 --gradient_accumulation_steps 2"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        train(2, 0, "host", options[i]);
        train(2, NCCL, "device", options[i]);
        said("host memory", false);
        train(2, NCCL, "again", options[i]);
        same_curves("host", "device", options[i]);
        same_weights("device", "again");
        train(2, SHARED, "shared", options[i]); /* two terms have one sum */
        said("hone: gradients go through host memory: ranks 0 and 1 share one GPU of", true);
        same_weights("device", "shared");
    }
}

static void full_determinism_has_the_same_bits_on_one_rank_and_two(void **state)
{
    (void)state;
    if (!emulated) skip();
    train(1, NCCL, "one", "--full_determinism");
    train(2, NCCL, "two", "--full_determinism");
    same_weights("one", "two");
    train(2, SHARED, "both", "--full_determinism");
    same_weights("one", "both");
}

/* Goes on in a copy of dir/whole, from its checkpoint at half of the steps. */
static void go_on(int ranks, int devices, const char *out)
{
    assert_int_equal(run("cp -r %s/whole %s/%s && rm -r %s/%s/*.* %s/%s/checkpoint-%d", dir, dir, out, dir, out, dir,
                         out, STEPS), 0);
    train(ranks, devices, out, "--save_strategy steps --save_steps 4 --resume_from_checkpoint true");
    said("resumed from .*checkpoint-4 at step 4", true);
}

static void others_go_on_from_the_checkpoint_of_two_devices(void **state)
{
    (void)state;
    if (!emulated) skip();
    train(2, NCCL, "whole", "--save_strategy steps --save_steps 4");
    go_on(2, NCCL, "two_go_on");
    same_weights("whole", "two_go_on");
    go_on(1, NCCL, "one_goes_on");
    same_curves("whole", "one_goes_on", "resumed on one device");
    go_on(1, 0, "host_goes_on");
    same_curves("whole", "host_goes_on", "resumed on the CPU");
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
