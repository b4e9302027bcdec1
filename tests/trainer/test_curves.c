/* links: callbacks */
/* The Hugging Face Trainer's curves (tests/fixtures/curves, see tests/fixtures/README.md): `hone train` on the same
 * run.yaml logs the same loss, gradient norm and rate at every step, on one rank and on two; and full determinism gives
 * the same file for every split. Runs the program that lies in the working directory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/trainer/curves.h"

static void one_rank_draws_the_references_curves(void **state)
{
    (void)state;
    static const char *const names[] = {
        "text_seed42", "text_seed7", "text_seed1234_data_seed99", "jsonl_ragged", "csv_quoted", "odd_vocab",
        "head24_untied", "options", "accumulation", "epochs_short_batch", "drop_last", "cosine_warmup_decay_clip",
        "label_smoothing_eval", "jsonl_validation_split", "text_no_linebreaks_eval", "bf16_file", "f16_file"
    };
    static const char *const decoders[] = {"llama", "llama_dynamic_eval", "mistral", "qwen2", "qwen3"};
    static const char *const adapters[] = {"lora_llama", "lora_all_eval", "lora_head"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) check(names[i], 1);
    for (size_t i = 0; i < sizeof decoders / sizeof *decoders; i++) check(decoders[i], 1);
    for (size_t i = 0; i < sizeof adapters / sizeof *adapters; i++) check(adapters[i], 1);
}

static void two_ranks_do_too(void **state)
{
    (void)state;
    check("two_ranks", 2);
    check("two_ranks_accumulation", 2);
    check("two_ranks_jsonl", 2);
    check("gemma2", 2);
    check("lora_gpt2", 2);
}

/* Weights of one model with the config of another: what does not fit is told, so the config was read. */
static void config_name_wins_over_the_models_own_config(void **state)
{
    (void)state;
    char command[16384];
    snprintf(command, sizeof command,
             "%s train tests/fixtures/curves/text_seed42/run.yaml --config_name tests/fixtures/models/gpt2_oddvocab "
             "--output_dir %s/out2 2>&1 | "
             "grep -q 'wrong shape: transformer.wte.weight'",
             program, dir);
    assert_int_equal(system(command), 0);
}

static void the_best_checkpoint_is_loaded_at_the_end(void **state)
{
    (void)state;
    TrainerState s;
    Arena *arena;
    char path[2 * STATE_PATH_BYTES], *model, *best;
    size_t size, best_size;
    train(1, "jsonl_validation_split",
          "--learning_rate 1 --lr_scheduler_type constant --load_best_model_at_end --save_steps 25 --save_strategy "
          "steps --save_total_limit 1");
    assert_int_equal(arena_new(&arena), OK);
    state_init(&s);
    snprintf(path, sizeof path, "%s/out/trainer_state.json", dir);
    assert_int_equal(state_read(&s, path), OK);
    assert_int_equal(s.best_global_step, 25); /* the rate is far too high: the last is worse */
    assert_non_null(strstr(s.best_model_checkpoint, "/checkpoint-25"));
    snprintf(path, sizeof path, "%s/out/model.safetensors", dir);
    assert_int_equal(file_read_all(path, arena, 1 << 30, &model, &size), OK);
    snprintf(path, sizeof path, "%s/model.safetensors", s.best_model_checkpoint);
    assert_int_equal(file_read_all(path, arena, 1 << 30, &best, &best_size), OK);
    assert_int_equal(size, best_size);
    assert_memory_equal(model, best, size);
    state_free(&s);
    arena_free(arena);
}

static void full_determinism_gives_one_file_for_every_split(void **state)
{
    (void)state;
    static const struct {
        int ranks, accumulation, batch, threads;
    } splits[] = {{1, 6, 2, 1}, {2, 3, 2, 1}, {3, 2, 2, 2}, {1, 12, 1, 2}, {1, 3, 4, 1}};
    char options[512], path[4096], *first = NULL, *model;
    size_t size, first_size = 0;
    Arena *arena;
    assert_int_equal(arena_new(&arena), OK);
    for (size_t i = 0; i < sizeof splits / sizeof *splits; i++) {
        snprintf(options, sizeof options,
                 "--loss_normalization tokens --full_determinism --max_train_samples 120 --max_steps 12 "
                 "--gradient_accumulation_steps %d "
                 "--per_device_train_batch_size %d --num_threads %d",
                 splits[i].accumulation, splits[i].batch, splits[i].threads);
        train(splits[i].ranks, "text_seed42", options);
        snprintf(path, sizeof path, "%s/out/model.safetensors", dir);
        assert_int_equal(file_read_all(path, arena, 1 << 30, &model, &size), OK);
        if (!first) first = model, first_size = size;
        assert_int_equal(size, first_size);
        assert_memory_equal(model, first, size);
    }
    arena_free(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_rank_draws_the_references_curves),
        cmocka_unit_test(two_ranks_do_too),
        cmocka_unit_test(config_name_wins_over_the_models_own_config),
        cmocka_unit_test(the_best_checkpoint_is_loaded_at_the_end),
        cmocka_unit_test(full_determinism_gives_one_file_for_every_split),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
