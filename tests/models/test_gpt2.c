/* links: test_support */
/* GPT-2 against transformers: logits, loss and every gradient of tiny random models (tests/fixtures/README.md), on each
 * instruction set. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/golden_model.h"

static void logits_loss_and_gradients_equal_transformers(void **state)
{
    (void)state;
    static const char *const dirs[] = {"gpt2_tiny", "gpt2_oddvocab", "gpt2_options", "gpt2_relu_unscaled",
                                       "gpt2_untied"};
    for (unsigned isa = ISA_BASE; isa <= ISA_AVX512; isa <<= 1)
        for (size_t i = 0; (isa_detect() & isa) && i < sizeof dirs / sizeof *dirs; i++)
            check_model(dirs[i], dirs[i], NULL, isa, 1e-5);
}

static void files_of_other_layouts_give_the_same(void **state)
{
    (void)state;
    check_model("gpt2_noprefix", "gpt2_tiny", NULL, isa_detect(), 1e-5);
    check_model("gpt2_sharded", "gpt2_relu_unscaled", NULL, isa_detect(), 1e-5);
    check_model("gpt2_bf16", "gpt2_bf16", NULL, isa_detect(), 1e-5);
    check_model("gpt2_f16", "gpt2_f16", NULL, isa_detect(), 1e-5);
}

static void what_does_not_fit_the_config_is_listed_whole(void **state)
{
    (void)state;
    cJSON *config;
    Model *model;
    assert_ok(model_config_read(FIXTURES "/models/gpt2_tiny", &config));
    cJSON_ReplaceItemInObject(config, "n_layer", json_new_int(3));
    cJSON_ReplaceItemInObject(config, "n_positions", json_new_int(40));
    assert_ok(model_new(config, "config.json", &model));
    float *weights = calloc((size_t)model->params.flat_count, sizeof *weights);
    parameters_bind(&model->params, weights, NULL);
    assert_int_equal(model_load(model, FIXTURES "/models/gpt2_tiny"), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "missing: transformer.h.2.ln_1.weight [32]"));
    assert_non_null(strstr(status_message(), "missing: transformer.h.2.mlp.c_proj.bias [32]"));
    assert_non_null(
        strstr(status_message(), "wrong shape: transformer.wpe.weight is [48, 32], the config says [40, 32]"));
    model_free(model);

    assert_ok(model_config_read(FIXTURES "/models/gpt2_tiny", &config));
    cJSON_ReplaceItemInObject(config, "n_layer", json_new_int(1));
    assert_ok(model_new(config, "config.json", &model));
    parameters_bind(&model->params, weights, NULL);
    assert_int_equal(model_load(model, FIXTURES "/models/gpt2_tiny"), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "unexpected: transformer.h.1.attn.c_attn.weight [32, 96]"));
    model_free(model);
    free(weights);
}

static void a_config_that_cannot_be_honoured_is_refused(void **state)
{
    (void)state;
    static const struct { const char *config, *says; } cases[] = {
        {"{\"model_type\":\"nope\"}", "`nope`"},
        {"{}", "model_type"},
        {"{\"model_type\":\"gpt2\",\"n_embd\":10,\"n_head\":3}", "multiple"},
        {"{\"model_type\":\"gpt2\",\"n_layer\":0}", "n_layer"},
        {"{\"model_type\":\"gpt2\",\"n_layer\":\"two\"}", "n_layer"},
        {"{\"model_type\":\"gpt2\",\"activation_function\":\"mish\"}", "mish"},
        {"{\"model_type\":\"gpt2\",\"add_cross_attention\":true}", "add_cross_attention"},
        {"{\"model_type\":\"gpt2\",\"attn_pdrop\":1.5}", "attn_pdrop"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *config;
        Model *model;
        assert_ok(json_parse(cases[i].config, strlen(cases[i].config), "config.json", &config));
        assert_int_not_equal(model_new(config, "config.json", &model), OK);
        if (!strstr(status_message(), cases[i].says)) fail_msg("%s: %s", cases[i].config, status_message());
    }
}

static void drawn_weights_depend_on_seed_and_name_alone(void **state)
{
    (void)state;
    TestModel a, b;
    test_model_draw(
        &a, "{\"model_type\":\"gpt2\",\"n_layer\":1,\"n_embd\":64,\"n_head\":2,\"vocab_size\":301,\"n_positions\":8}",
        42, isa_detect(), 1);
    test_model_draw(
        &b, "{\"model_type\":\"gpt2\",\"n_layer\":2,\"n_embd\":64,\"n_head\":2,\"vocab_size\":301,\"n_positions\":8}",
        42, isa_detect(), 1);
    const Parameter *p = parameter_find(&a.model->params, "transformer.wte.weight"),
                    *q = parameter_find(&b.model->params, "transformer.wte.weight");
    assert_memory_equal(p->value.data, q->value.data, (size_t)p->count * sizeof(float));
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < p->count; i++)
        sum += ((float *)p->value.data)[i], squares += pow(((float *)p->value.data)[i], 2);
    assert_true(fabs(sum / (double)p->count) < 1e-3);
    assert_true(fabs(sqrt(squares / (double)p->count) - 0.02) < 1e-3);
    p = parameter_find(&a.model->params, "transformer.h.0.mlp.c_proj.weight"), squares = 0;
    for (int64_t i = 0; i < p->count; i++) squares += pow(((float *)p->value.data)[i], 2);
    assert_true(fabs(sqrt(squares / (double)p->count) - 0.02 / sqrt(2)) < 1e-3);
    model_draw(b.model, 43);
    q = parameter_find(&b.model->params, "transformer.wte.weight");
    p = parameter_find(&a.model->params, "transformer.wte.weight");
    assert_memory_not_equal(p->value.data, q->value.data, 64);
    test_model_close(&a);
    test_model_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_loss_and_gradients_equal_transformers),
        cmocka_unit_test(files_of_other_layouts_give_the_same),
        cmocka_unit_test(what_does_not_fit_the_config_is_listed_whole),
        cmocka_unit_test(a_config_that_cannot_be_honoured_is_refused),
        cmocka_unit_test(drawn_weights_depend_on_seed_and_name_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
