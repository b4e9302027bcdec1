/* links: callbacks */
/* Training on a device, by the program that has the emulator linked (hone-emulated): the same curves as on the CPU
 * within the rounding of f32, checkpoints that either goes on from, evaluation, and what is said where there is no
 * device. Runs the programs that lie in the working directory; passes over what needs the emulator where that was not
 * built. */
#include "tests/trainer/device_run.h"

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
        same_curves("host", "device", ROUNDING, options[i]);
        assert_int_equal(run("rm -r %s/host %s/device", dir, dir), 0);
    }
}

static void either_goes_on_from_the_others_checkpoint(void **state)
{
    (void)state;
    if (!emulated) skip();
    train(false, "host", "");
    train_in_parts("", "", true, false, "device_host");
    same_curves("host", "device_host", ROUNDING, "resumed on the CPU");
    train_in_parts("", "", false, true, "host_device");
    same_curves("host", "host_device", ROUNDING, "resumed on the device");

    train(true, "device", "");
    train_in_parts("", "", true, true, "device_device");
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

static void a_device_evaluates_like_the_cpu(void **state)
{
    (void)state;
    if (!emulated) skip();
    train(false, "host", "--overwrite_output_dir");
    double want = evaluate(false, "host", ""), got = evaluate(true, "host", "");
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
