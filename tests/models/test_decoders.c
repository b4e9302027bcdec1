/* links: test_support */
/* Llama and its relatives against transformers: logits, loss and every gradient, on each instruction set, with each way
 * to stretch rotary positions, by the spellings of transformers 5 and 4. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/golden_model.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))

static const char *const dirs[] = {
    "gemma2_caps",    "llama_biases_linear",  "llama_dynamic", "llama_grouped", "llama_llama3",
    "llama_longrope", "llama_longrope_short", "llama_yarn",    "llama_yarn_options", "mistral_window",
    "qwen2_window",   "qwen3_norms",
};

static void logits_loss_and_gradients_equal_transformers(void **state)
{
    (void)state;
    for (unsigned isa = ISA_BASE; isa <= ISA_AVX512; isa <<= 1)
        for (size_t i = 0; (isa_detect() & isa) && i < COUNT(dirs); i++)
            check_model(dirs[i], dirs[i], NULL, isa, 1e-5);
}

static void configs_of_transformers_4_give_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(dirs); i++) check_model(dirs[i], dirs[i], "config_4.json", isa_detect(), 1e-5);
}

static void configs_that_cannot_be_honoured_are_refused(void **state)
{
    (void)state;
    static const struct { const char *members, *says; } cases[] = {
        {"\"model_type\":\"llama\",\"hidden_size\":10,\"num_attention_heads\":3", "multiple of num_attention_heads"},
        {"\"model_type\":\"llama\",\"num_attention_heads\":4,\"num_key_value_heads\":3", "num_key_value_heads 3"},
        {"\"model_type\":\"llama\",\"head_dim\":7", "even"},
        {"\"model_type\":\"llama\",\"hidden_act\":\"mish\"", "mish"},
        {"\"model_type\":\"llama\",\"rms_norm_eps\":-1", "rms_norm_eps"},
        {"\"model_type\":\"llama\",\"num_hidden_layers\":100000", "num_hidden_layers"},
        {"\"model_type\":\"llama\",\"rope_parameters\":{\"rope_type\":\"spiral\"}", "`spiral`"},
        {"\"model_type\":\"llama\",\"rope_parameters\":{\"rope_type\":\"linear\"}", "`factor`"},
        {"\"model_type\":\"llama\",\"rope_parameters\":[1]", "rope_parameters"},
        {"\"model_type\":\"llama\",\"rope_theta\":0", "rope_theta"},
        {"\"model_type\":\"llama\",\"partial_rotary_factor\":0.5", "partial_rotary_factor"},
        {"\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"longrope\",\"factor\":2,\"short_factor\":[1],"
         "\"long_factor\":[1]}", "64 numbers in `short_factor`"},
        {"\"model_type\":\"llama\",\"rope_scaling\":{\"type\":\"llama3\",\"factor\":8,\"low_freq_factor\":4,"
         "\"high_freq_factor\":1}", "high_freq_factor"},
        {"\"model_type\":\"gemma2\",\"rope_parameters\":{\"full_attention\":{}}", "layer type"},
        {"\"model_type\":\"gemma2\",\"num_hidden_layers\":1,\"layer_types\":[\"chunked_attention\"]",
         "`chunked_attention`"},
        {"\"model_type\":\"gemma2\",\"num_hidden_layers\":2,\"layer_types\":[\"full_attention\"]", "2 layers"},
        {"\"model_type\":\"gemma2\",\"use_bidirectional_attention\":true", "use_bidirectional_attention"},
        {"\"model_type\":\"gemma2\",\"final_logit_softcapping\":-1", "final_logit_softcapping"},
        {"\"model_type\":\"qwen2\",\"num_hidden_layers\":1,\"layer_types\":[\"sliding_attention\"]",
         "no sliding_window"},
        {"\"model_type\":\"mistral\",\"sliding_window\":0", "sliding_window"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cJSON *config;
        Model *model;
        char text[1000];
        snprintf(text, sizeof text, "{%s}", cases[i].members);
        assert_ok(json_parse(text, strlen(text), "config.json", &config));
        if (model_new(config, "config.json", &model) == OK) fail_msg("%s: taken", text);
        if (!strstr(status_message(), cases[i].says)) fail_msg("%s: %s", text, status_message());
    }
}

/* nn.Embedding's padding_idx: 0 when drawn, no gradient from the texts. */
static void the_row_that_pads_is_not_trained(void **state)
{
    (void)state;
    TestModel m;
    static const int32_t ids[] = {3, 5, 3, 7}, cu[] = {0, 4};
    Batch b = test_batch(ids, cu, 1);
    LossSpec spec = {.scale = 1};
    test_model_draw(&m, "{\"model_type\":\"llama\",\"vocab_size\":9,\"hidden_size\":8,\"num_attention_heads\":2,"
                        "\"num_hidden_layers\":1,\"intermediate_size\":8,\"pad_token_id\":3}", 1, isa_detect(), 1);
    const Parameter *p = parameter_find(&m.model->params, "model.embed_tokens.weight");
    const float *row = (const float *)p->value.data + 24;
    for (int i = 0; i < 8; i++) assert_true(row[i] == 0 && row[i + 8] != 0);
    tape_begin(&m.tape, TAPE_TRAIN, &b, 0);
    Tensor *hidden = model_forward(&m.tape, m.model, &b);
    Tensor *loss = op_linear_cross_entropy(&m.tape, hidden, &m.model->head->value, b.labels, &spec);
    assert_ok(tape_backward(&m.tape, loss, NULL));
    row = (const float *)p->value.grad + 24;
    for (int i = 0; i < 8; i++) assert_true(row[i] == 0 && row[i + 16] != 0);
    test_batch_free(&b);
    test_model_close(&m);
}

/* What the files on the Hub look like, where it matters. */
static void sizes_of_known_models(void **state)
{
    (void)state;
    static const struct { const char *config; int64_t parameters; } cases[] = {
        {"{\"model_type\":\"llama\",\"vocab_size\":49152,\"hidden_size\":576,\"intermediate_size\":1536,"
         "\"num_hidden_layers\":30,\"num_attention_heads\":9,\"num_key_value_heads\":3,\"rope_theta\":100000,"
         "\"tie_word_embeddings\":true,\"max_position_embeddings\":8192,\"rope_interleaved\":false}", 134515008},
        {"{\"model_type\":\"qwen2\",\"vocab_size\":151936,\"hidden_size\":896,\"intermediate_size\":4864,"
         "\"num_hidden_layers\":24,\"num_attention_heads\":14,\"num_key_value_heads\":2,\"sliding_window\":32768,"
         "\"tie_word_embeddings\":true,\"use_sliding_window\":false,\"max_window_layers\":21}", 494032768},
        {"{\"model_type\":\"qwen3\",\"vocab_size\":151936,\"hidden_size\":1024,\"intermediate_size\":3072,"
         "\"num_hidden_layers\":28,\"num_attention_heads\":16,\"num_key_value_heads\":8,\"head_dim\":128,"
         "\"tie_word_embeddings\":true,\"sliding_window\":null}", 596049920},
        {"{\"model_type\":\"mistral\"}", 7241732096},
        {"{\"model_type\":\"gemma2\"}", 2614341888},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        cJSON *config;
        Model *model;
        assert_ok(json_parse(cases[i].config, strlen(cases[i].config), "config.json", &config));
        assert_ok(model_new(config, "config.json", &model));
        assert_int_equal(model->params.elements, cases[i].parameters);
        model_free(model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_loss_and_gradients_equal_transformers),
        cmocka_unit_test(configs_of_transformers_4_give_the_same),
        cmocka_unit_test(configs_that_cannot_be_honoured_are_refused),
        cmocka_unit_test(the_row_that_pads_is_not_trained),
        cmocka_unit_test(sizes_of_known_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
