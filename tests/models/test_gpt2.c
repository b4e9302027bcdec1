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

#include "tests/support/test_model.h"

static void read_i32(const Safetensors *s, const char *name, int32_t *out, int64_t n)
{
    const TensorInfo *t = safetensors_find(s, name);
    assert_non_null(t);
    assert_int_equal(t->numel, n);
    assert_ok(tensor_read(t, 0, n, DTYPE_I32, out));
}

static float *read_f32(const Safetensors *s, const char *name, int64_t *n)
{
    const TensorInfo *t = safetensors_find(s, name);
    if (!t) return NULL;
    float *out = malloc((size_t)t->numel * sizeof *out + 1);
    assert_ok(tensor_read(t, 0, t->numel, DTYPE_F32, out));
    *n = t->numel;
    return out;
}

static double loss_of(TestModel *m, const Batch *b, float smoothing)
{
    LossSpec spec = {.scale = 1.0f / (float)b->targets, .smoothing = smoothing};
    Tensor *hidden = model_forward(&m->tape, m->model, b);
    Tensor *loss = op_linear_cross_entropy(&m->tape, hidden, &m->model->head->value, b->labels, &spec);
    assert_ok(tape_status(&m->tape));
    double sum;
    m->tape.k->sum_segments(m->stream, &sum, loss->data, loss->rows, NULL, 1);
    stream_sync(m->stream);
    if (m->tape.wants_grad) assert_ok(tape_backward(&m->tape, loss, NULL));
    return sum / (double)b->targets;
}

static void check_gradients(TestModel *m, const Safetensors *golden, const char *prefix)
{
    char name[256];
    for (size_t i = 0; i < m->model->params.count; i++) {
        Parameter *p = m->model->params.list[i];
        int64_t n;
        snprintf(name, sizeof name, "%s.%s", prefix, p->spec.name);
        float *want = read_f32(golden, name, &n);
        assert_non_null(want);
        assert_int_equal(n, p->count);
        assert_close(name, p->value.grad, want, n, 2e-5, 1e-3);
        free(want);
    }
}

static void check(const char *dir, const char *golden_dir, unsigned isa, double tolerance)
{
    char path[512];
    TestModel m;
    Safetensors *golden;
    int32_t ids[26], cu[4];
    int64_t n;
    snprintf(path, sizeof path, FIXTURES "/models/%s/golden.safetensors", golden_dir);
    assert_ok(safetensors_open(path, &golden));
    read_i32(golden, "input_ids", ids, 26);
    read_i32(golden, "cu_seqlens", cu, 4);
    snprintf(path, sizeof path, FIXTURES "/models/%s", dir);
    test_model_open(&m, path, isa, 2);
    Batch b = test_batch(ids, cu, 3);

    tape_begin(&m.tape, TAPE_EVAL, &b, 0);
    Tensor *logits =
        op_linear(&m.tape, model_forward(&m.tape, m.model, &b), &m.model->head->value, NULL, OUT_IN, ACT_NONE);
    assert_ok(tape_status(&m.tape));
    float *want = read_f32(golden, "logits", &n);
    assert_non_null(want);
    assert_int_equal(n, tensor_count(logits));
    assert_close(dir, logits->data, want, n, tolerance, 1e-3);
    free(want);

    want = read_f32(golden, "loss", &n);
    tape_begin(&m.tape, TAPE_EVAL, &b, 0);
    assert_true(fabs(loss_of(&m, &b, 0) - (double)want[0]) < 1e-5);
    for (int checkpointing = 0; checkpointing < 2; checkpointing++) {
        m.tape.checkpointing = checkpointing;
        parameters_begin_update(&m.model->params);
        tape_begin(&m.tape, TAPE_TRAIN, &b, 0);
        assert_true(fabs(loss_of(&m, &b, 0) - (double)want[0]) < 1e-5);
        if (safetensors_find(golden, "grad.transformer.wte.weight")) check_gradients(&m, golden, "grad");
    }
    free(want);
    if (safetensors_find(golden, "smoothed.loss")) {
        want = read_f32(golden, "smoothed.loss", &n);
        parameters_begin_update(&m.model->params);
        tape_begin(&m.tape, TAPE_TRAIN, &b, 0);
        assert_true(fabs(loss_of(&m, &b, 0.1f) - (double)want[0]) < 1e-5);
        check_gradients(&m, golden, "smoothed.grad");
        free(want);
    }
    test_batch_free(&b);
    test_model_close(&m);
    safetensors_close(golden);
}

static void logits_loss_and_gradients_equal_transformers(void **state)
{
    (void)state;
    static const char *const dirs[] = {"gpt2_tiny", "gpt2_oddvocab", "gpt2_options", "gpt2_relu_unscaled",
                                       "gpt2_untied"};
    for (unsigned isa = ISA_BASE; isa <= ISA_AVX512; isa <<= 1)
        for (size_t i = 0; (isa_detect() & isa) && i < sizeof dirs / sizeof *dirs; i++)
            check(dirs[i], dirs[i], isa, 1e-5);
}

static void files_of_other_layouts_give_the_same(void **state)
{
    (void)state;
    check("gpt2_noprefix", "gpt2_tiny", isa_detect(), 1e-5);
    check("gpt2_sharded", "gpt2_relu_unscaled", isa_detect(), 1e-5);
    check("gpt2_bf16", "gpt2_bf16", isa_detect(), 1e-5);
    check("gpt2_f16", "gpt2_f16", isa_detect(), 1e-5);
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
