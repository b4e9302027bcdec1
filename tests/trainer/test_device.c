/* links: callbacks */
/* Training on a device, by the program that has the emulator linked (hone-emulated): the same curves as on the CPU
 * within the rounding of f32, checkpoints that either goes on from, evaluation, and what is said where there is no
 * device. Runs the programs that lie in the working directory; passes over what needs the emulator where that was not
 * built. */
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
enum { STEPS = 8, HALF = 4 };

static char dir[] = "/tmp/hone-device-XXXXXX", host_program[4096], device_program[4096];
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

/* Trains into dir/out; on a device in another order of threads, blocks and queued work each time. */
static void train(bool on_device, const char *out, const char *options)
{
    static int seed;
    int failed = run("HONE_EMU_SEED=%d %s train --device %s --model_type gpt2 --config_overrides " MODEL
                     " --tokenizer_name tests/fixtures/models/gpt2_tiny --train_file tests/fixtures/data/validation.txt"
                     " --validation_file tests/fixtures/data/validation.txt --max_eval_samples 10 --block_size 16"
                     " --max_train_samples 40 --per_device_train_batch_size 3 --learning_rate 1e-2 --max_steps %d"
                     " --logging_steps 1 --disable_tqdm --num_threads 1 --output_dir %s/%s --save_strategy no"
                     " --report_to none %s >%s/log 2>&1",
                     seed++ % 5, on_device ? device_program : host_program, on_device ? "cuda" : "cpu", STEPS, dir, out,
                     options, dir);
    if (failed) fail_msg("%s %s failed (%d)", out, options, run("cat %s/log", dir));
    assert_int_equal(run("grep -q ', %s, 1 rank of 1 thread' %s/log", on_device ? "cuda" : "cpu/[a-z0-9]*", dir), 0);
}

static void read_state(const char *out, TrainerState *s)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/trainer_state.json", dir, out);
    state_init(s);
    assert_int_equal(state_read(s, path), OK);
}

/* Losses, norms and evaluations of two runs; in f32 they differ by rounding, which training makes larger. */
static void same_curves(const char *a, const char *b, const char *what)
{
    static const char *const keys[] = {"loss", "grad_norm", "eval_loss", "train_loss"};
    TrainerState x, y;
    int compared = 0;
    read_state(a, &x), read_state(b, &y);
    assert_int_equal(state_log_count(&x), state_log_count(&y));
    for (size_t i = 0; i < state_log_count(&x); i++) {
        LogEntry e, f;
        state_log_get(&x, i, &e), state_log_get(&y, i, &f);
        for (size_t j = 0; j < sizeof keys / sizeof *keys; j++) {
            double want = logentry_get(&e, keys[j], NAN), got = logentry_get(&f, keys[j], NAN);
            if (isnan(want) && isnan(got)) continue;
            if (!(fabs(want - got) <= 2e-5 * fabs(want)))
                fail_msg("%s: step %g: %s is %.9g and %.9g", what, logentry_get(&e, "step", 0), keys[j], want, got);
            compared++;
        }
    }
    assert_true(compared >= 2 * STEPS);
    state_free(&x), state_free(&y);
}

static void a_device_draws_the_curves_of_the_cpu(void **state)
{
    (void)state;
    if (!emulated) skip();
    static const char *const options[] = {
        "",
        "--gradient_accumulation_steps 3 --gradient_checkpointing --loss_normalization hf",
        "--optim sgd --optim_args momentum=0.9 --learning_rate 0.1 --weight_decay 0.01",
        "--full_determinism --gradient_accumulation_steps 2 --max_train_samples 48",
        "--label_smoothing_factor 0.1 --max_grad_norm 0.5 --eval_strategy steps --eval_steps 3 --eval_on_start",
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        train(false, "host", options[i]);
        train(true, "device", options[i]);
        same_curves("host", "device", options[i]);
        assert_int_equal(run("rm -r %s/host %s/device", dir, dir), 0);
    }
}

/* Trains in two parts, where the first is lost after its checkpoint at HALF. */
static void train_in_parts(bool first_on_device, bool then_on_device, const char *out)
{
    train(first_on_device, out, "--save_strategy steps --save_steps 4");
    assert_int_equal(run("rm -r %s/%s/*.* %s/%s/checkpoint-%d", dir, out, dir, out, STEPS), 0);
    train(then_on_device, out, "--save_strategy steps --save_steps 4 --resume_from_checkpoint true");
    assert_int_equal(run("grep -q 'resumed from .*checkpoint-%d at step %d' %s/log", HALF, HALF, dir), 0);
}

static void either_goes_on_from_the_others_checkpoint(void **state)
{
    (void)state;
    if (!emulated) skip();
    train(false, "host", "");
    train_in_parts(true, false, "device_host");
    same_curves("host", "device_host", "resumed on the CPU");
    train_in_parts(false, true, "host_device");
    same_curves("host", "host_device", "resumed on the device");

    train(true, "device", "");
    train_in_parts(true, true, "device_device");
    assert_int_equal(run("cmp %s/device/model.safetensors %s/device_device/model.safetensors", dir, dir), 0);
}

static void the_best_checkpoint_comes_back_to_the_device(void **state)
{
    (void)state;
    if (!emulated) skip();
    /* the first evaluation is the best */
    train(true, "best", "--save_strategy steps --save_steps 4 --eval_strategy steps --eval_steps 4 "
                        "--metric_for_best_model loss --greater_is_better true --load_best_model_at_end");
    assert_int_equal(run("cmp %s/best/model.safetensors %s/best/checkpoint-4/model.safetensors", dir, dir), 0);
}

/* eval_loss that `program eval` prints. */
static double evaluate(const char *program, const char *device)
{
    char path[4096], line[4096] = "";
    cJSON *metrics;
    int failed = run("%s eval --device %s --model_name_or_path %s/host "
                     "--validation_file tests/fixtures/data/validation.txt --max_eval_samples 10 "
                     "--block_size 16 --disable_tqdm --num_threads 1 --output_dir %s/none "
                     "2>%s/log >%s/metrics",
                     program, device, dir, dir, dir, dir);
    if (failed) fail_msg("eval on %s failed (%d)", device, run("cat %s/log", dir));
    snprintf(path, sizeof path, "%s/metrics", dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    assert_int_equal(json_parse(line, strlen(line), path, &metrics), OK);
    const cJSON *loss = cJSON_GetObjectItemCaseSensitive(metrics, "eval_loss");
    double value = cJSON_IsNumber(loss) ? loss->valuedouble : NAN;
    cJSON_Delete(metrics);
    return value;
}

static void a_device_evaluates_like_the_cpu(void **state)
{
    (void)state;
    if (!emulated) skip();
    train(false, "host", "--overwrite_output_dir");
    double want = evaluate(host_program, "cpu"), got = evaluate(device_program, "cuda");
    assert_true(fabs(want - got) <= 2e-6 * fabs(want));
}

/* `train --device cuda` by that program fails and says why. */
static void refused(const char *launch, const char *program, const char *says)
{
    int status = run("%s %s train --device cuda --model_type gpt2 --tokenizer_name tests/fixtures/models/gpt2_tiny "
                     "--train_file tests/fixtures/data/validation.txt --output_dir %s/refused >%s/log 2>&1", launch,
                     program, dir, dir);
    assert_int_not_equal(status, 0);
    if (run("grep -q '%s' %s/log", says, dir)) fail_msg("not said: %s (%d)", says, run("cat %s/log", dir));
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    char program[4096];
    assert_int_equal(run("mkdir %s/bin && cp %s %s/bin/hone", dir, host_program, dir), 0);
    snprintf(program, sizeof program, "%s/bin/hone", dir);
    refused("", program, "device: cuda: libhone_cuda.so is neither in .*/bin nor on the library path");
    assert_int_equal(run("echo no library >%s/bin/libhone_cuda.so", dir), 0);
    refused("", program, "device: cuda: .*/bin/libhone_cuda.so cannot be opened: ");
    assert_int_equal(run("%s env | grep -q '\"cuda_missing\": \".*cannot be opened'", program), 0);
    if (!emulated) return;
    assert_int_equal(run("%s env | grep -q '\"cuda_devices\": 1'", device_program), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_draws_the_curves_of_the_cpu),
        cmocka_unit_test(either_goes_on_from_the_others_checkpoint),
        cmocka_unit_test(the_best_checkpoint_comes_back_to_the_device),
        cmocka_unit_test(a_device_evaluates_like_the_cpu),
        cmocka_unit_test(what_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
