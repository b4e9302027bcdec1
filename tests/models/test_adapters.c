/* links: test_support */
/* PEFT's adapters beside our models: logits, loss and gradients are the reference's (tests/fixtures/adapters), files
 * that
 * do not fit are told whole, and what is frozen is left alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/golden_model.h"

static const struct { const char *model, *adapter; } cases[] = {
    {"llama_grouped", "llama_qv"},         {"llama_biases_linear", "llama_all"}, {"llama_biases_linear", "llama_head"},
    {"llama_biases_linear", "llama_embed"}, {"gpt2_tiny", "gpt2_fc"},            {"qwen3_norms", "qwen3_layers"},
    {"gemma2_caps", "gemma2_all"}};
enum { CASES = sizeof cases / sizeof *cases };

static void pefts_adapters_give_its_logits_and_gradients(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) check_adapted(cases[i].model, cases[i].adapter, isa_detect(), 1e-5);
    check_adapted("llama_grouped", "llama_qv", ISA_BASE, 1e-5);
}

static void open_case_as(TestModel *m, const char *model_name, const char *adapter_name, Dtype as)
{
    char model[512], adapter[512];
    const char *adapters[] = {adapter};
    snprintf(model, sizeof model, FIXTURES "/models/%s", model_name);
    snprintf(adapter, sizeof adapter, FIXTURES "/adapters/%s", adapter_name);
    test_model_open_adapted(m, model, adapters, 1, as, isa_detect(), 2);
}

/* A frozen weight is never widened as a whole, and computes as if it had been: the same bits as from a copy in f32. */
static void frozen_weights_of_fewer_bits_compute_as_their_float32_copies(void **state)
{
    (void)state;
    static const struct { const char *model; Dtype dtype; } files[] = {{"gpt2_bf16", DTYPE_BF16},
                                                                       {"gpt2_f16", DTYPE_F16}};
    int32_t ids[20], cu[] = {0, 9, 20};
    for (int i = 0; i < 20; i++) ids[i] = 37 * i % 320;
    for (size_t i = 0; i < 2; i++) {
        TestModel own, wide;
        open_case_as(&own, files[i].model, "gpt2_fc", DTYPE_COUNT);
        open_case_as(&wide, files[i].model, "gpt2_fc", DTYPE_F32);
        assert_int_equal(own.model->head->value.dtype, files[i].dtype);
        assert_int_equal(wide.model->head->value.dtype, DTYPE_F32);
        Batch b = test_batch(ids, cu, 2);
        double loss[2];
        TestModel *both[] = {&own, &wide};
        for (int j = 0; j < 2; j++) {
            parameters_begin_update(&both[j]->model->params);
            tape_begin(&both[j]->tape, TAPE_TRAIN, &b, 0);
            loss[j] = golden_loss(both[j], &b, 0);
        }
        assert_true(loss[0] == loss[1]);
        for (size_t j = 0; j < own.model->params.num_trained; j++) {
            const Parameter *p = own.model->params.trained[j], *q = wide.model->params.trained[j];
            assert_memory_equal(p->value.grad, q->value.grad, (size_t)p->count * sizeof(float));
        }
        test_batch_free(&b);
        test_model_close(&own);
        test_model_close(&wide);
    }
}

static void open_case(TestModel *m, size_t i)
{
    char model[512], adapter[512];
    const char *adapters[] = {adapter};
    snprintf(model, sizeof model, FIXTURES "/models/%s", cases[i].model);
    snprintf(adapter, sizeof adapter, FIXTURES "/adapters/%s", cases[i].adapter);
    test_model_open_adapted(m, model, adapters, 1, DTYPE_COUNT, isa_detect(), 1);
}

static void frozen_weights_have_no_place_in_the_flat_arrays(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        TestModel m;
        open_case(&m, i);
        const Parameters *ps = &m.model->params;
        int64_t trained = 0;
        for (size_t j = 0; j < ps->count; j++) {
            const Parameter *p = ps->list[j];
            trained += p->frozen ? 0 : p->count;
            assert_int_equal(p->value.needs_grad, !p->frozen);
            if (p->frozen) assert_null(p->value.grad);
            assert_non_null(p->value.data);
        }
        assert_int_equal(trained, ps->trained_elements);
        assert_true(ps->flat_count >= trained && ps->flat_count < trained + 16 * (int64_t)ps->num_trained);
        test_model_close(&m);
    }
}

static Kernels counting;
static struct { void (*input)(Stream *, Dtype, Dtype, void *, const void *, const void *, int64_t, int64_t, int64_t,
                              WeightLayout, bool);
                void (*weight)(Stream *, Dtype, float *, float *, const void *, const void *, int64_t, int64_t,
                               int64_t, WeightLayout, bool);
                int inputs, weights; } counted;

static void count_input(Stream *s, Dtype dtype, Dtype wdtype, void *dx, const void *dy, const void *weight,
                        int64_t rows, int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    counted.inputs++;
    counted.input(s, dtype, wdtype, dx, dy, weight, rows, in, out, layout, accumulate);
}

static void count_weight(Stream *s, Dtype dtype, float *dweight, float *dbias, const void *x, const void *dy,
                         int64_t rows, int64_t in, int64_t out, WeightLayout layout, bool accumulate)
{
    counted.weights++;
    counted.weight(s, dtype, dweight, dbias, x, dy, rows, in, out, layout, accumulate);
}

/* qwen3_layers has adapters at q, k, v and up of the last of two layers: backward has products for o, gate, up, down
 * and
 * A of up there, none below; and for weights those of 4 B, of A of up, and one for the A of q, k and v together. */
static void nothing_is_computed_below_the_first_adapter(void **state)
{
    (void)state;
    TestModel m;
    int32_t ids[] = {5, 6, 7, 8, 9, 10}, cu[] = {0, 6};
    open_case_as(&m, "qwen3_norms", "qwen3_layers", DTYPE_COUNT);
    Batch b = test_batch(ids, cu, 1);
    counting = *m.tape.k;
    counted.input = counting.linear_backward_input, counted.weight = counting.linear_backward_weight;
    counting.linear_backward_input = count_input, counting.linear_backward_weight = count_weight;
    parameters_begin_update(&m.model->params);
    tape_begin(&m.tape, TAPE_TRAIN, &b, 0);
    LossSpec spec = {.scale = 0.2f};
    Tensor *loss = op_linear_cross_entropy(&m.tape, model_forward(&m.tape, m.model, &b), &m.model->head->value,
                                           b.labels, &spec);
    assert_ok(tape_status(&m.tape));
    m.tape.k = &counting;
    counted.inputs = counted.weights = 0;
    assert_ok(tape_backward(&m.tape, loss, NULL));
    assert_int_equal(counted.inputs, 5);
    assert_int_equal(counted.weights, 6);
    test_batch_free(&b);
    test_model_close(&m);
}

/* What is written is what was read, so PEFT makes the same adapter of it. */
static void configs_are_written_as_peft_writes_them(void **state)
{
    (void)state;
    for (size_t i = 0; i < CASES; i++) {
        char path[512];
        TestModel m;
        cJSON *theirs;
        open_case(&m, i);
        snprintf(path, sizeof path, FIXTURES "/adapters/%s/adapter_config.json", cases[i].adapter);
        assert_ok(json_read_file(path, &theirs));
        const char *base = cJSON_GetObjectItemCaseSensitive(theirs, "base_model_name_or_path")->valuestring;
        cJSON *ours = adapter_config_out(m.model, 0, base, "CAUSAL_LM"), *item;
        assert_non_null(ours);
        cJSON_ArrayForEach(item, theirs)
        {
            const cJSON *mine = cJSON_GetObjectItemCaseSensitive(ours, item->string);
            bool sets = strcmp(item->string, "target_modules") == 0 && cJSON_IsArray(item);
            if (strcmp(item->string, "peft_version") == 0) continue;
            if (!mine) fail_msg("%s: %s is missing", cases[i].adapter, item->string);
            if (sets) assert_int_equal(cJSON_GetArraySize(mine), cJSON_GetArraySize(item)); /* theirs is a set */
            else if (!cJSON_Compare(mine, item, true)) fail_msg("%s: %s differs", cases[i].adapter, item->string);
        }
        cJSON_Delete(ours);
        cJSON_Delete(theirs);
        test_model_close(&m);
    }
}

static Status parse(const char *text, Arena *arena, Adapter *out)
{
    cJSON *config;
    assert_ok(json_parse(text, strlen(text), "test", &config));
    Status st = adapter_parse(config, "a.json", "default", arena, out);
    cJSON_Delete(config);
    return st;
}

static void configs_that_hone_cannot_honour_are_refused_by_name(void **state)
{
    (void)state;
    static const struct { const char *text, *says; } bad[] = {
        {"[]", "must be an object"},
        {"{\"peft_type\":\"IA3\"}", "`IA3`"},
        {"{\"r\":0}", "r is 0"},
        {"{\"r\":1.5}", "r"},
        {"{\"lora_alpha\":-1}", "lora_alpha -1"},
        {"{\"lora_dropout\":1}", "lora_dropout 1"},
        {"{\"use_dora\":true}", "`use_dora`"},
        {"{\"bias\":\"all\"}", "`bias`"},
        {"{\"lora_bias\":true}", "`lora_bias`"},
        {"{\"trainable_token_indices\":[1]}", "`trainable_token_indices`"},
        {"{\"init_lora_weights\":\"pissa\"}", "pissa"},
        {"{\"target_modules\":[1]}", "list of names"},
        {"{\"target_modules\":3}", "list of names"},
        {"{\"modules_to_save\":\"lm_head\"}", "list of names"},
        {"{\"rank_pattern\":{\"q\":0}}", "rank_pattern"},
        {"{\"alpha_pattern\":[]}", "alpha_pattern"},
        {"{\"layers_to_transform\":[\"a\"]}", "layers_to_transform"},
        {"{\"layers_to_transform\":1,\"target_modules\":\"q.*\"}", "not with a pattern"},
        {"{\"some_new_method\":{\"a\":1}}", "`some_new_method`"},
    };
    Arena *arena;
    assert_ok(arena_new(&arena));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Adapter out;
        if (parse(bad[i].text, arena, &out) == OK) fail_msg("%s is taken", bad[i].text);
        if (!strstr(status_message(), bad[i].says)) fail_msg("%s: the message is %s", bad[i].text, status_message());
    }
    arena_free(arena);
}

static void what_the_model_has_no_place_for_is_refused(void **state)
{
    (void)state;
    static const struct { const char *text, *says; } bad[] = {
        {"{\"target_modules\":[\"q_proj\",\"query\"]}", "`query`"},
        {"{\"target_modules\":[\"query\"]}", "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj"},
        {"{\"target_modules\":\"q_proj\"}", "the target pattern `q_proj`"},
        {"{\"target_modules\":\"(q_proj\"}", "no regular expression"},
        {"{\"target_modules\":[\"embed_tokens\",\"q_proj\"]}", "embed_tokens"},
        {"{\"target_modules\":[\"lm_head\",\"q_proj\"]}", "lm_head"},
        {"{\"modules_to_save\":[\"classifier\"]}", "`classifier`"},
        {"{\"target_modules\":\"all-linear\",\"exclude_modules\":\".*\"}", "none of the model's layers"},
        {"{\"layers_to_transform\":[7]}", "none of the model's layers"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        Arena *arena;
        Adapter out;
        LoraSet set;
        cJSON *config;
        Model *model;
        assert_ok(arena_new(&arena));
        assert_ok(parse(bad[i].text, arena, &out));
        assert_ok(lora_set_init(&set, arena, &out.lora, 1));
        assert_ok(model_config_read(FIXTURES "/models/llama_grouped", &config));
        if (model_new_adapted(config, "config.json", &set, &model) == OK) fail_msg("%s is taken", bad[i].text);
        if (!strstr(status_message(), bad[i].says)) fail_msg("%s: the message is %s", bad[i].text, status_message());
        arena_free(arena);
    }
}

/* A begins uniform in 1/sqrt(in), B as zero: a new adapter changes nothing. */
static void a_new_adapter_changes_nothing(void **state)
{
    (void)state;
    TestModel m;
    open_case(&m, 0);
    adapter_draw(m.model, 0, 7);
    const Parameters *ps = &m.model->params;
    for (size_t i = 0; i < ps->num_trained; i++) {
        const Parameter *p = ps->trained[i];
        const float *w = ps->weights + p->offset;
        bool is_a = strstr(p->spec.name, "lora_A") != NULL;
        double bound = 1 / sqrt((double)p->spec.shape[1]), largest = 0;
        for (int64_t j = 0; j < p->count; j++) largest = fabs((double)w[j]) > largest ? fabs((double)w[j]) : largest;
        if (is_a) assert_true(largest <= bound && largest > 0.9 * bound);
        else assert_true(largest == 0);
    }
    test_model_close(&m);
}

static void an_adapter_of_another_model_is_told_whole(void **state)
{
    (void)state;
    TestModel m;
    open_case(&m, 0);
    assert_int_equal(adapter_load(m.model, 0, FIXTURES "/adapters/qwen3_layers"), STATUS_FORMAT);
    assert_non_null(strstr(status_message(),
        "missing: base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"));
    assert_non_null(strstr(status_message(), "wrong shape: base_model.model.model.layers.1.self_attn.q_proj.lora_A"));
    assert_non_null(strstr(status_message(), "unexpected: base_model.model.model.layers.1.mlp.up_proj.lora_A.weight"));
    assert_int_equal(adapter_load(m.model, 0, FIXTURES "/models/llama_grouped"), STATUS_MISSING);
    test_model_close(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pefts_adapters_give_its_logits_and_gradients),
        cmocka_unit_test(frozen_weights_have_no_place_in_the_flat_arrays),
        cmocka_unit_test(frozen_weights_of_fewer_bits_compute_as_their_float32_copies),
        cmocka_unit_test(nothing_is_computed_below_the_first_adapter),
        cmocka_unit_test(configs_are_written_as_peft_writes_them),
        cmocka_unit_test(configs_that_hone_cannot_honour_are_refused_by_name),
        cmocka_unit_test(what_the_model_has_no_place_for_is_refused),
        cmocka_unit_test(a_new_adapter_changes_nothing),
        cmocka_unit_test(an_adapter_of_another_model_is_told_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
