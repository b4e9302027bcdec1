/* links: callbacks */
/* Mixed precision on a device (the emulated one): bf16 and fp16 draw the curves of f32 within their rounding,
 * evaluation in fewer bits, TF32. */
#include "tests/trainer/device_run.h"

#define SMALL_STEPS "--max_steps 4 "

/* Over 20 steps; far enough from f32 to show that it was not what was computed in. */
static void the_curves_are_those_of_float32_within_rounding(void **state)
{
    (void)state;
    if (!emulated) skip();
    static const char *const options[] = {
        "--max_steps 20 --max_grad_norm 0.5",
        "--gradient_accumulation_steps 3 --gradient_checkpointing",
        "--optim sgd --optim_args momentum=0.9 --learning_rate 0.05 --weight_decay 0.01 --max_grad_norm 0",
        "--full_determinism --gradient_accumulation_steps 2 --max_train_samples 48",
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
            if (i && p == 2) continue;
            snprintf(all, sizeof all, "%s %s", options[i], precisions[p].key);
            train(true, "low", all);
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
    if (!emulated) skip();
    static const char evaluates[] = SMALL_STEPS "--eval_strategy steps --eval_steps 2 --eval_on_start";
    char options[256];
    train(true, "f32", evaluates);
    double want = evaluate(true, "f32", "");
    static const struct { const char *key, *full; double most; } cases[] = {
        {"--bf16", "--bf16_full_eval", 1e-2}, {"--fp16", "--fp16_full_eval", 2e-3}};
    for (int i = 0; i < 2; i++) {
        double got = evaluate(true, "f32", cases[i].full), also = evaluate(true, "f32", cases[i].key);
        assert_true(got != want && fabs(got - want) < cases[i].most * want);
        assert_true(got == also);
        snprintf(options, sizeof options, "%s %s", evaluates, cases[i].full);
        train(true, "full", options);
        within("f32", "full", "loss", 0, 0, cases[i].full); /* training is as it was */
        within("f32", "full", "grad_norm", 0, 0, cases[i].full);
        within("f32", "full", "eval_loss", 1e-7, cases[i].most, cases[i].full);
        assert_int_equal(run("rm -r %s/full", dir), 0);
    }
    snprintf(options, sizeof options, "%s --bf16 --fp16_full_eval", evaluates);
    train(true, "both", options);
    within("f32", "both", "loss", 2e-5, 1e-2, options);
    within("f32", "both", "eval_loss", 1e-7, 1e-2, options);
    remove_runs();
}

static void tf32_is_chosen(void **state)
{
    (void)state;
    if (!emulated) skip();
    train(true, "f32", SMALL_STEPS "--tf32 false");
    train(true, "tf32", SMALL_STEPS "--tf32 true");
    within("f32", "tf32", "loss", 1e-8, 1e-2, "tf32");
    remove_runs();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_curves_are_those_of_float32_within_rounding),
        cmocka_unit_test(evaluation_has_a_precision_of_its_own),
        cmocka_unit_test(tf32_is_chosen),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
