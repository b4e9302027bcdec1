/* The model card against the one that transformers writes from the same history and arguments. */
#include "callbacks_test.h"

#include "trainer/callbacks/card.h"

static CardFacts facts(void)
{
    return (CardFacts){.model_name = "my-gpt2",
                       .base_model = "openai-community/gpt2",
                       .license = "mit",
                       .language = "en",
                       .learning_rate = 5e-5,
                       .train_batch_size = 8,
                       .eval_batch_size = 4,
                       .seed = 42,
                       .ranks = 1,
                       .gradient_accumulation_steps = 2,
                       .optim = "adamw_torch_fused",
                       .has_betas = true,
                       .adam_beta1 = 0.9,
                       .adam_beta2 = 0.999,
                       .adam_epsilon = 1e-8,
                       .lr_scheduler_type = "cosine",
                       .warmup_steps = 3,
                       .max_steps = -1,
                       .num_train_epochs = 2,
                       .label_smoothing_factor = 0.1,
                       .hone_version = "9.8"};
}

static void the_card_of_a_resumed_run_has_its_metrics_sorted(void **state)
{
    CardFacts f = facts();
    TrainerState s;
    Text t = {0};
    (void)state;
    state_init(&s);
    assert_ok(state_read(&s, FIXTURES "/callbacks/trainer_state.json"));
    assert_ok(card_text(&f, &s, &t));
    char *versions = strstr(t.data, "### Framework versions");
    assert_non_null(versions);
    assert_string_equal(versions, "### Framework versions\n\n- Hone 9.8\n");
    *versions = '\0';
    /* a resumed history comes from the file, where names are sorted: the same lines in another order, as in the
     * reference */
    const char *want = content(FIXTURES "/callbacks/README.md");
    assert_int_equal(strlen(t.data), strlen(want));
    assert_non_null(strstr(t.data, "- Accuracy: 0.125\n- Loss: 3.9138\n"));
    assert_non_null(strstr(t.data, "| Training Loss | Epoch | Step | Accuracy | Validation Loss |\n"
                                   "|:-------------:|:-----:|:----:|:--------:|:---------------:|\n"
                                   "| No log        | 0.25  | 2    | 0.0312   | 5.5             |\n"));
    text_free(&t);
    state_free(&s);
}

static void the_card_of_an_adapter_is_pefts(void **state)
{
    CardFacts f = facts();
    TrainerState s;
    Text t = {0};
    (void)state;
    f.adapter = true, f.license = f.language = NULL, f.pipeline_tag = "text-generation";
    state_init(&s);
    assert_ok(card_text(&f, &s, &t));
    assert_non_null(strstr(t.data,
        "---\nlibrary_name: peft\ntags:\n- base_model:adapter:openai-community/gpt2\n- lora\n"
                                   "- transformers\nbase_model: openai-community/gpt2\npipeline_tag: text-generation\n"
                                   "model-index:\n- name: my-gpt2\n  results: []\n---\n"));
    text_free(&t);
    f.base_model = "/models/local"; /* the Hub refuses it */
    assert_ok(card_text(&f, &s, &t));
    assert_non_null(strstr(t.data, "---\nlibrary_name: peft\ntags:\n- lora\n- transformers\npipeline_tag:"));
    text_free(&t);
    state_free(&s);
}

/* The fixture's history in the order in which a run logs it. */
static void log_in_order(TrainerState *s)
{
    TrainerState file;
    LogEntry e, ordered;
    static const char *const first[] = {"loss", "eval_loss", "eval_accuracy"};
    state_init(&file);
    state_init(s);
    assert_ok(state_read(&file, FIXTURES "/callbacks/trainer_state.json"));
    for (size_t i = 0; i < state_log_count(&file); i++) {
        state_log_get(&file, i, &e);
        logentry_reset(&ordered);
        for (int k = 0; k < 3; k++) {
            const LogValue *v = logentry_find(&e, first[k]);
            if (v) logentry_add_real(&ordered, first[k], v->value);
        }
        for (int k = 0; k < e.count; k++)
            if (!logentry_find(&ordered, e.values[k].key)) ordered.values[ordered.count++] = e.values[k];
        assert_ok(state_log(s, &ordered));
    }
    state_free(&file);
}

static void the_card_of_an_unbroken_run_is_the_references_to_the_byte(void **state)
{
    CardFacts f = facts();
    TrainerState s;
    Text t = {0};
    (void)state;
    log_in_order(&s);
    assert_ok(card_text(&f, &s, &t));
    *strstr(t.data, "### Framework versions") = '\0';
    assert_string_equal(t.data, content(FIXTURES "/callbacks/README.md"));
    text_free(&t);
    state_free(&s);
}

static void the_card_of_other_runs_says_what_differs(void **state)
{
    CardFacts f = facts();
    TrainerState s;
    Text t = {0};
    (void)state;
    state_init(&s);
    f.base_model = dir; /* a directory: no link, not in the metadata */
    f.model_name = "yes: no";
    f.ranks = 4;
    f.max_steps = 50;
    f.has_betas = false;
    f.optim = "sgd";
    f.dataset = "corpus.txt";
    f.device = "cpu/avx2";
    assert_ok(card_text(&f, &s, &t));
    assert_null(strstr(t.data, "base_model"));
    assert_null(strstr(t.data, "huggingface.co"));
    assert_non_null(strstr(t.data, "- name: \"yes: no\"\n"));
    assert_non_null(strstr(t.data, strrchr(dir, '/') + 1));
    assert_non_null(strstr(t.data, " on the corpus.txt dataset.\n\n## Model"));
    assert_non_null(strstr(t.data, "- distributed_type: multi-CPU\n- num_devices: 4\n- gradient_accumulation_steps: 2\n"
                                   "- total_train_batch_size: 64\n- total_eval_batch_size: 16\n"
                                   "- optimizer: Use OptimizerNames.SGD and the args are:\nNo additional"));
    assert_non_null(strstr(t.data, "- training_steps: 50\n"));
    assert_null(strstr(t.data, "### Training results"));
    t.size = 0;
    f.base_model = NULL;
    assert_ok(card_write(&f, &s, in_dir("README.md")));
    assert_non_null(strstr(content(in_dir("README.md")), "trained from scratch on the corpus.txt"));
    text_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_card_of_an_unbroken_run_is_the_references_to_the_byte),
        cmocka_unit_test(the_card_of_a_resumed_run_has_its_metrics_sorted),
        cmocka_unit_test(the_card_of_an_adapter_is_pefts),
        cmocka_unit_test(the_card_of_other_runs_says_what_differs),
    };
    return cmocka_run_group_tests(tests, open_dir, close_dir);
}
