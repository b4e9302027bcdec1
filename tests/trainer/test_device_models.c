/* links: callbacks */
/* Every model type trains on a device (the emulated one) as on the CPU: in f32 within rounding, in bf16 within bf16's,
 * from the fixtures' weights. One rank, and two. */
#include "tests/trainer/device_run.h"

static const char *const names[] = {"gemma2_caps", "gpt2_options", "llama_biases_linear", "llama_dynamic",
                                    "llama_llama3", "llama_longrope", "mistral_window", "qwen2_window", "qwen3_norms"};
enum { NAMES = sizeof names / sizeof *names };

static void train_model(bool on_device, const char *out, const char *name, const char *options)
{
    int failed = run("%s %s train --device %s --model_name_or_path tests/fixtures/models/%s --block_size 16 "
                     "--train_file tests/fixtures/data/validation.txt --max_train_samples 12 --max_steps 3 "
                     "--per_device_train_batch_size 2 --learning_rate 1e-3 --logging_steps 1 --disable_tqdm "
                     "--num_threads 1 --output_dir %s/%s --save_strategy no --report_to none %s >%s/log 2>&1",
                     launcher(), on_device ? device_program : host_program, on_device ? "cuda" : "cpu", name, dir, out,
                     options, dir);
    if (failed) fail_msg("%s %s failed (%d)", name, options, run("cat %s/log", dir));
}

static void each_model_draws_the_curve_of_the_cpu(void **state)
{
    (void)state;
    if (!emulated) skip();
    for (int i = 0; i < NAMES; i++) {
        train_model(false, "cpu", names[i], "");
        train_model(true, "f32", names[i], "--gradient_checkpointing");
        train_model(true, "bf16", names[i], "--bf16");
        within("cpu", "f32", "loss", 0, ROUNDING, names[i]);
        within("cpu", "f32", "grad_norm", 0, ROUNDING, names[i]);
        within("cpu", "bf16", "loss", 1e-6, 1e-2, names[i]);
        within("cpu", "bf16", "grad_norm", 0, 5e-2, names[i]);
        remove_runs();
    }
}

static void two_ranks_do_too(void **state)
{
    (void)state;
    if (!emulated) skip();
    ranks = 2;
    train_model(false, "cpu", "gemma2_caps", "");
    train_model(true, "f32", "gemma2_caps", "");
    within("cpu", "f32", "loss", 0, ROUNDING, "gemma2_caps");
    within("cpu", "f32", "grad_norm", 0, ROUNDING, "gemma2_caps");
    ranks = 1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_model_draws_the_curve_of_the_cpu),
        cmocka_unit_test(two_ranks_do_too),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
