/* links: callbacks */
/* TRL's SFTTrainer's curves (tests/fixtures/curves/sft_*): `hone train` on the same run.yaml logs the same loss,
 * gradient norm and rate at every step; on two ranks too; a run that was stopped and resumed ends in the same bits;
 * what is written is a chat model with the template that it was tuned on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "tests/trainer/curves.h"

static void one_rank_draws_trls_curves(void **state)
{
    (void)state;
    static const char *const names[] = {"sft_chats",          "sft_assistant", "sft_prompts",     "sft_packed",
                                        "sft_packed_prompts", "sft_gpt2",      "sft_gpt2_prompts"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check(names[i], 1);
}

/* Half a batch each: the same updates. */
static void two_ranks_draw_them_too(void **state)
{
    (void)state;
    check_with("sft_packed_prompts", 2, "--per_device_train_batch_size 2");
}

static char emulated[4096]; /* the program with the emulated device; "": not built */

static int find_emulated(void **state)
{
    if (!realpath("hone-emulated", emulated)) *emulated = '\0';
    return setup(state);
}

static void a_device_does_too(void **state)
{
    (void)state;
    char host[4096];
    if (!*emulated) skip();
    memcpy(host, program, sizeof host);
    memcpy(program, emulated, sizeof program);
    check_with("sft_packed", 1, "--device cuda");
    memcpy(program, host, sizeof program);
}

/* A file of the last run's output. */
static char *written(Arena *arena, const char *name, size_t *size)
{
    char path[4096], *data;
    snprintf(path, sizeof path, "%s/out/%s", dir, name);
    if (file_read_all(path, arena, 1 << 30, &data, size)) fail_msg("%s", status_message());
    return data;
}

static void a_resumed_run_ends_in_the_same_bits(void **state)
{
    (void)state;
    Arena *arena;
    char command[16384], *whole, *resumed;
    size_t size, resumed_size;
    assert_int_equal(arena_new(&arena), OK);
    train(1, "sft_packed", "--save_strategy steps --save_steps 7");
    whole = written(arena, "model.safetensors", &size);
    snprintf(command, sizeof command,
             "rm -r %s/out/checkpoint-14 %s/out/checkpoint-16 && %s train tests/fixtures/curves/sft_packed/run.yaml "
             "--output_dir %s/out --save_strategy steps --save_steps 7 --resume_from_checkpoint true >%s/log 2>&1",
             dir, dir, program, dir, dir);
    if (system(command)) fail_msg("the resumed run failed: see %s/log", dir);
    resumed = written(arena, "model.safetensors", &resumed_size);
    assert_int_equal(size, resumed_size);
    assert_memory_equal(whole, resumed, size);
    arena_free(arena);
}

/* Every split of the same updates, packed examples included. */
static void full_determinism_holds_for_packed_examples(void **state)
{
    (void)state;
    static const struct {
        int ranks, batch, accumulation;
    } splits[] = {{1, 4, 1}, {1, 1, 4}, {2, 2, 1}};
    Arena *arena;
    char options[512], *first = NULL;
    size_t first_size = 0, size;
    assert_int_equal(arena_new(&arena), OK);
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        snprintf(
            options, sizeof options,
            "--full_determinism --loss_normalization tokens --max_train_samples 28 --per_device_train_batch_size %d "
            "--gradient_accumulation_steps %d",
            splits[i].batch, splits[i].accumulation);
        train(splits[i].ranks, "sft_packed", options);
        char *model = written(arena, "model.safetensors", &size);
        if (!first) first = model, first_size = size;
        assert_int_equal(size, first_size);
        assert_memory_equal(model, first, size);
    }
    arena_free(arena);
}

static void the_model_has_the_template_that_it_was_tuned_on(void **state)
{
    (void)state;
    Arena *arena;
    size_t size;
    assert_int_equal(arena_new(&arena), OK);
    train(1, "sft_assistant", "--eos_token '<|endoftext|>'");
    assert_non_null(strstr(written(arena, "chat_template.jinja", &size), "{% generation %}"));
    assert_non_null(strstr(written(arena, "tokenizer_config.json", &size), "\"eos_token\": \"<|endoftext|>\""));
    assert_non_null(strstr(written(arena, "config.json", &size), "\"eos_token_id\": 319"));
    assert_non_null(strstr(written(arena, "generation_config.json", &size), "319,\n    321"));
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_rank_draws_trls_curves),
        cmocka_unit_test(two_ranks_draw_them_too),
        cmocka_unit_test(a_device_does_too),
        cmocka_unit_test(a_resumed_run_ends_in_the_same_bits),
        cmocka_unit_test(full_determinism_holds_for_packed_examples),
        cmocka_unit_test(the_model_has_the_template_that_it_was_tuned_on),
    };
    return cmocka_run_group_tests(tests, find_emulated, teardown);
}
