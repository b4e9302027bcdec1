/* links: callbacks checkpoint */
/* What a run in mixed precision keeps, on the emulated device: files hold the f32 weights, a resumed run has the bits
 * of one that was never stopped, in any precision one goes on from another's checkpoint; float16's overflows are
 * skipped and the loss scale comes down. */
#include "tests/trainer/device_run.h"
#include "trainer/checkpoint/safetensors.h"

/* The weights on disk have bits that bf16 has not. */
static void assert_holds_masters(const char *path)
{
    char full[4200];
    Safetensors *s;
    static float w[320 * 24];
    int finer = 0;
    snprintf(full, sizeof full, "%s/%s/model.safetensors", dir, path);
    assert_int_equal(safetensors_open(full, &s), OK);
    const TensorInfo *t = safetensors_find(s, "transformer.wte.weight");
    assert_non_null(t);
    assert_int_equal(t->dtype, DTYPE_F32);
    assert_int_equal(tensor_read(t, 0, t->numel, DTYPE_F32, w), OK);
    for (int64_t i = 0; i < t->numel; i++) {
        uint32_t bits;
        memcpy(&bits, &w[i], sizeof bits);
        finer += (bits & 0x1FFF) != 0;
    }
    assert_true(finer > t->numel / 2);
    safetensors_close(s);
}

static void a_resumed_run_has_the_bits_of_one_that_was_never_stopped(void **state)
{
    (void)state;
    if (!emulated) skip();
    static const char *const options[] = {"--bf16", "--bf16 --weight_rounding stochastic --optim sgd", "--fp16"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        train(true, "whole", options[i]);
        train_in_parts(options[i], options[i], true, true, "parts");
        assert_int_equal(run("cmp %s/whole/model.safetensors %s/parts/model.safetensors", dir, dir), 0);
        assert_holds_masters("whole");
        remove_runs();
    }
}

static void one_precision_goes_on_from_anothers_checkpoint(void **state)
{
    (void)state;
    if (!emulated) skip();
    train(false, "f32", "");
    train_in_parts("--bf16", "", true, false, "low_host");
    within("f32", "low_host", "loss", 0, 1e-2, "bf16, then f32 on the CPU");
    assert_int_equal(run("grep -q 'made on 1 rank, cuda in bfloat16, this is 1 rank, cpu' %s/log", dir), 0);
    train_in_parts("", "--fp16", false, true, "host_low");
    within("f32", "host_low", "loss", 0, 1e-2, "f32 on the CPU, then fp16");
    train_in_parts("--fp16", "--bf16", true, true, "low_low");
    within("f32", "low_low", "loss", 0, 1e-2, "fp16, then bf16");
    remove_runs();
}

/* What other ranks have updated comes as f32, and each makes its copy of it: with full determinism two ranks have the
 * bits of one. */
static void ranks_share_their_updates_in_the_copies_too(void **state)
{
    (void)state;
    if (!emulated) skip();
    static const char *const options[] = {"--bf16 --weight_rounding stochastic", "--fp16"};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        char all[256];
        snprintf(all, sizeof all, "%s --full_determinism --max_train_samples 48 --gradient_accumulation_steps 2",
                 options[i]);
        train(true, "one", all);
        snprintf(all, sizeof all, "%s --full_determinism --max_train_samples 48", options[i]);
        ranks = 2;
        train(true, "two", all);
        ranks = 1;
        assert_int_equal(run("cmp %s/one/model.safetensors %s/two/model.safetensors", dir, dir), 0);
        remove_runs();
    }
}

/* Weights so large that 65536 times their gradients do not fit into float16. */
#define LARGE "--fp16 --config_overrides " MODEL ",initializer_range=4 --lr_scheduler_type linear --warmup_steps 0 "

static void an_overflow_is_skipped_and_halves_the_scale(void **state)
{
    (void)state;
    if (!emulated) skip();
    train(true, "whole", LARGE "--save_strategy steps --save_steps 1");
    int skipped = 0, late = 0;
    for (int i = 0; i < STEPS; i++) { /* the schedule does not count them, the step does */
        double rate = logged("whole", (size_t)i, "learning_rate"), due = 1e-2 * (1 - (double)(i - skipped) / STEPS);
        assert_true(fabs(rate - due) < 1e-12 && logged("whole", (size_t)i, "step") == i + 1);
        int changed = run("cd %s/whole && cmp -s checkpoint-%d/model.safetensors checkpoint-%d/model.safetensors", dir,
                          i ? i : 1, i + 1);
        bool overflows = !isfinite(logged("whole", (size_t)i, "grad_norm"));
        if (i) assert_true(overflows == (changed == 0));
        skipped += overflows, late += overflows && i >= HALF;
    }
    char says[128];
    snprintf(says, sizeof says, "is left out: float16 overflowed; the loss scale is now %g", ldexp(65536, -skipped));
    assert_true(skipped - late > 0 && skipped < STEPS);
    assert_int_equal(count_lines("log", "is left out: float16 overflowed; the loss scale is now"), skipped);
    assert_int_equal(count_lines("log", says), 1);
    snprintf(says, sizeof says, "%d updates were left out", skipped);
    assert_int_equal(count_lines("log", says), 1);
    /* nor does AdamW's bias correction */
    assert_int_equal(run("grep -aq '\"step\":\"%d\"' %s/whole/checkpoint-%d/optimizer.safetensors", STEPS - skipped,
                         dir, STEPS), 0);
    /* a run that goes on knows the scale and the schedule */
    train_in_parts(LARGE, LARGE, true, true, "parts");
    assert_int_equal(count_lines("log", "is left out"), late);
    assert_int_equal(run("cmp %s/whole/model.safetensors %s/parts/model.safetensors", dir, dir), 0);
    remove_runs();
}

/* A learning rate that destroys the weights: the second step has no finite loss. */
static void what_is_never_finite_stops_the_run_or_is_skipped(void **state)
{
    (void)state;
    if (!emulated) skip();
    static const char *const precisions[] = {"", "--bf16"};
    for (int p = 0; p < 2; p++) {
        char options[256];
        snprintf(options, sizeof options, "%s --learning_rate 1e30 --max_grad_norm 0 --on_nan skip", precisions[p]);
        train(true, "skipped", options);
        assert_int_equal(count_lines("log", "is skipped: loss nan, gradient norm nan"), STEPS - 1);
        assert_int_equal(run("HONE_EMU_SEED=1 %s train --device cuda --model_type gpt2 --config_overrides " MODEL
                             " --tokenizer_name tests/fixtures/models/gpt2_tiny --block_size 16 --max_steps 4"
                             " --train_file tests/fixtures/data/validation.txt --max_train_samples 40 --disable_tqdm"
                             " --output_dir %s/stopped --learning_rate 1e30 --max_grad_norm 0 %s >%s/log 2>&1",
                             device_program, dir, precisions[p], dir) >> 8, 1);
        assert_int_equal(count_lines("log", "step 2: loss nan, gradient norm nan; lower learning_rate"), 1);
        remove_runs();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_resumed_run_has_the_bits_of_one_that_was_never_stopped),
        cmocka_unit_test(one_precision_goes_on_from_anothers_checkpoint),
        cmocka_unit_test(ranks_share_their_updates_in_the_copies_too),
        cmocka_unit_test(an_overflow_is_skipped_and_halves_the_scale),
        cmocka_unit_test(what_is_never_finite_stops_the_run_or_is_skipped),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
