/* links: callbacks */
/* Mixed precision on the CPU: bf16 and fp16 draw the curves of f32 within their rounding, evaluation in fewer bits, the
 * promises of bits, and a run that is stopped goes on. (test_device_precision.c: the same on a device.) */
#include "tests/trainer/device_run.h"

/* Far enough from f32 to show that it was not what was computed in. */
static void the_curves_are_those_of_float32_within_rounding(void **state)
{
    (void)state;
    static const char *const options[] = {
        "--max_steps 20 --max_grad_norm 0.5",
        "--gradient_accumulation_steps 3 --gradient_checkpointing",
        "--optim sgd --optim_args momentum=0.9 --learning_rate 0.05 --weight_decay 0.01 --max_grad_norm 0",
    };
    static const struct { const char *key; double least, loss, norm; } precisions[] = {
        {"--bf16", 2e-5, 1e-2, 5e-2},
        {"--fp16", 2e-6, 2e-3, 1e-2},
        {"--bf16 --weight_rounding stochastic", 2e-5, 1e-2, 5e-2},
    };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        train(false, "f32", options[i]);
        for (size_t p = 0; p < sizeof precisions / sizeof *precisions; p++) {
            char all[512];
            snprintf(all, sizeof all, "%s %s", options[i], precisions[p].key);
            train(false, "low", all);
            within("f32", "low", "loss", precisions[p].least, precisions[p].loss, all);
            within("f32", "low", "grad_norm", 0, precisions[p].norm, all);
            within("f32", "low", "learning_rate", 0, 0, all);
            assert_int_equal(run("rm -r %s/low", dir), 0);
        }
        remove_runs();
    }
}

static void evaluation_has_a_precision_of_its_own(void **state)
{
    (void)state;
    static const char evaluates[] = "--max_steps 4 --eval_strategy steps --eval_steps 2 --eval_on_start";
    train(false, "f32", evaluates);
    double want = evaluate(false, "f32", "");
    static const struct { const char *key, *full; double most; } cases[] = {
        {"--bf16", "--bf16_full_eval", 1e-2}, {"--fp16", "--fp16_full_eval", 2e-3}};
    for (int i = 0; i < 2; i++) {
        char options[256];
        double got = evaluate(false, "f32", cases[i].full), also = evaluate(false, "f32", cases[i].key);
        assert_true(got != want && fabs(got - want) < cases[i].most * want);
        assert_true(got == also);
        snprintf(options, sizeof options, "%s %s", evaluates, cases[i].full);
        train(false, "full", options);
        within("f32", "full", "loss", 0, 0, cases[i].full); /* training is as it was */
        within("f32", "full", "eval_loss", 1e-7, cases[i].most, cases[i].full);
        assert_int_equal(run("rm -r %s/full", dir), 0);
    }
    remove_runs();
}

static bool same_weights(const char *a, const char *b)
{
    return run("cmp -s %s/%s/model.safetensors %s/%s/model.safetensors", dir, a, dir, b) == 0;
}

/* The same run twice; every number of threads; and, where it is asked for, every split of an update. */
static void bits_are_those_that_are_promised(void **state)
{
    (void)state;
    static const char *const precisions[] = {"--bf16", "--fp16", "--bf16"};
    for (int i = 0; i < 3; i++) {
        char options[256];
        setenv("HONE_BF16", i == 2 ? "widened" : "", 1); /* else as the CPU is */
        train(false, "once", precisions[i]);
        train(false, "again", precisions[i]);
        assert_true(same_weights("once", "again"));
        snprintf(options, sizeof options,
            "%s --full_determinism --per_device_train_batch_size 4 --max_train_samples 48",
                 precisions[i]);
        train(false, "whole", options);
        snprintf(options, sizeof options,
                 "%s --full_determinism --per_device_train_batch_size 1 --gradient_accumulation_steps 4 "
                 "--max_train_samples 48", precisions[i]);
        train(false, "split", options);
        assert_true(same_weights("whole", "split"));
        assert_false(same_weights("whole", "once"));
        remove_runs();
    }
    unsetenv("HONE_BF16");
}

/* Half of the steps, then the rest of them from the checkpoint: as if it had not stopped. */
static void a_stopped_run_goes_on_to_the_bit(void **state)
{
    (void)state;
    train(false, "whole", "--bf16 --save_strategy no");
    train(false, "parts", "--bf16 --save_strategy steps --save_steps 4");
    assert_true(same_weights("whole", "parts"));
    assert_int_equal(run("rm -r %s/parts/checkpoint-8 %s/parts/model.safetensors", dir, dir), 0);
    train(false, "parts", "--bf16 --save_strategy no --resume_from_checkpoint true");
    assert_true(same_weights("whole", "parts"));
    remove_runs();
}

static void what_cannot_be_had_is_refused(void **state)
{
    (void)state;
    assert_int_not_equal(run("HONE_BF16=fast %s train --model_type gpt2 --config_overrides " MODEL
                             " --tokenizer_name tests/fixtures/models/gpt2_tiny --bf16 --output_dir %s/no"
                             " --train_file tests/fixtures/data/validation.txt >%s/log 2>&1",
                             host_program, dir, dir), 0);
    assert_int_equal(run("grep -q 'HONE_BF16 is `fast`; it may be widened or library' %s/log", dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_curves_are_those_of_float32_within_rounding),
        cmocka_unit_test(evaluation_has_a_precision_of_its_own),
        cmocka_unit_test(bits_are_those_that_are_promised),
        cmocka_unit_test(a_stopped_run_goes_on_to_the_bit),
        cmocka_unit_test(what_cannot_be_had_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
