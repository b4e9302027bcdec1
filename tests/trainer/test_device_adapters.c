/* links: callbacks */
/* Adapters train on a device (the emulated one) as on the CPU: in f32 within rounding, in bf16 within bf16's, beside
 * frozen weights of f32, bf16 and f16 files; on one rank and on two; a checkpoint of the one goes on on the other. */
#include "tests/trainer/device_run.h"

static const struct { const char *model, *adapter; } cases[] = {{"llama_grouped", "llama_qv"},
                                                                {"llama_biases_linear", "llama_head"},
                                                                {"gemma2_caps", "gemma2_all"},
                                                                {"gpt2_bf16", "gpt2_fc"},
                                                                {"gpt2_f16", "gpt2_fc"}};
enum { CASES = sizeof cases / sizeof *cases };

static void train_adapter(bool on_device, const char *out, size_t i, const char *options)
{
    int failed = run("%s %s train --device %s --model_name_or_path tests/fixtures/models/%s --adapter_name_or_path "
                     "tests/fixtures/adapters/%s --block_size 16 --train_file tests/fixtures/data/validation.txt "
                     "--max_train_samples 12 --max_steps 4 --per_device_train_batch_size 2 --learning_rate 1e-3 "
                     "--logging_steps 1 --disable_tqdm --num_threads 1 --output_dir %s/%s --save_strategy no "
                     "--report_to none %s >%s/log 2>&1",
                     launcher(), on_device ? device_program : host_program, on_device ? "cuda" : "cpu", cases[i].model,
                     cases[i].adapter, dir, out, options, dir);
    if (failed) fail_msg("%s %s failed (%d)", cases[i].model, options, run("cat %s/log", dir));
}

static void each_adapter_draws_the_curve_of_the_cpu(void **state)
{
    (void)state;
    if (!emulated) skip();
    for (size_t i = 0; i < CASES; i++) {
        train_adapter(false, "cpu", i, "");
        train_adapter(true, "f32", i, "--gradient_checkpointing");
        train_adapter(true, "bf16", i, "--bf16");
        within("cpu", "f32", "loss", 0, ROUNDING, cases[i].model);
        within("cpu", "f32", "grad_norm", 0, 3 * ROUNDING, cases[i].model);
        within("cpu", "bf16", "loss", 1e-6, 1e-2, cases[i].model);
        within("cpu", "bf16", "grad_norm", 0, 5e-2, cases[i].model);
        remove_runs();
    }
}

static void two_ranks_do_too(void **state)
{
    (void)state;
    if (!emulated) skip();
    ranks = 2;
    train_adapter(false, "cpu", 1, "");
    train_adapter(true, "f32", 1, "");
    within("cpu", "f32", "loss", 0, ROUNDING, "two ranks");
    within("cpu", "f32", "grad_norm", 0, 3 * ROUNDING, "two ranks");
    ranks = 1;
    remove_runs();
}

static void a_checkpoint_goes_on_on_the_other_backend(void **state)
{
    (void)state;
    if (!emulated) skip();
    static const char saves[] = "--save_strategy steps --save_steps 2", on[] = "--resume_from_checkpoint true";
    train_adapter(false, "whole", 1, "");
    for (int device_first = 0; device_first < 2; device_first++) {
        char options[256];
        train_adapter(device_first, "part", 1, saves);
        assert_int_equal(run("rm -r %s/part/checkpoint-4", dir), 0);
        snprintf(options, sizeof options, "%s %s", saves, on);
        train_adapter(!device_first, "part", 1, options);
        assert_int_equal(run("grep -q checkpoint-2 %s/log", dir), 0);
        within("whole", "part", "loss", 0, ROUNDING, "resumed");
        assert_int_equal(run("rm -r %s/part", dir), 0);
    }
    remove_runs();
}

/* Weights asked for in bf16 are what a bf16 file has. */
static void frozen_weights_may_be_narrowed(void **state)
{
    (void)state;
    for (int device = 0; device < 1 + emulated; device++) {
        train_adapter(device, "f32", 0, "");
        train_adapter(device, "narrow", 0, "--dtype bfloat16");
        within("f32", "narrow", "loss", 1e-7, 1e-2, "dtype: bfloat16");
        remove_runs();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_adapter_draws_the_curve_of_the_cpu),
        cmocka_unit_test(two_ranks_do_too),
        cmocka_unit_test(a_checkpoint_goes_on_on_the_other_backend),
        cmocka_unit_test(frozen_weights_may_be_narrowed),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
