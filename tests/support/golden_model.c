/* See golden_model.h. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/support/golden_model.h"

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

double golden_loss(TestModel *m, const Batch *b, float smoothing)
{
    LossSpec spec = {
        .scale = 1.0f / (float)b->targets, .smoothing = smoothing, .softcap = m->model->logit_softcap};
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
    for (size_t i = 0; i < m->model->params.num_trained; i++) {
        Parameter *p = m->model->params.trained[i];
        int64_t n;
        snprintf(name, sizeof name, "%s.%s", prefix,
                 m->arena ? adapter_tensor_name(m->arena, m->model, p) : p->spec.name);
        float *want = read_f32(golden, name, &n);
        assert_non_null(want);
        assert_int_equal(n, p->count);
        assert_close(name, p->value.grad, want, n, 2e-5, 1e-3);
        free(want);
    }
}

/* path: of the golden file. what: for messages. */
static void check_opened(TestModel *m, const char *path, const char *what, double tolerance)
{
    Safetensors *golden;
    int32_t ids[26], cu[4];
    int64_t n;
    char first[512];
    assert_ok(safetensors_open(path, &golden));
    read_i32(golden, "input_ids", ids, 26);
    read_i32(golden, "cu_seqlens", cu, 4);
    Batch b = test_batch(ids, cu, 3);

    tape_begin(&m->tape, TAPE_EVAL, &b, 0);
    Tensor *logits =
        op_linear(&m->tape, model_forward(&m->tape, m->model, &b), &m->model->head->value, NULL, OUT_IN, ACT_NONE);
    assert_ok(tape_status(&m->tape));
    float *want = read_f32(golden, "logits", &n), cap = m->model->logit_softcap, *have = logits->data;
    assert_non_null(want);
    assert_int_equal(n, tensor_count(logits));
    for (int64_t i = 0; cap > 0 && i < n; i++) have[i] = cap * tanhf(have[i] / cap);
    assert_close(what, logits->data, want, n, tolerance, 1e-3);
    free(want);

    want = read_f32(golden, "loss", &n);
    tape_begin(&m->tape, TAPE_EVAL, &b, 0);
    assert_true(fabs(golden_loss(m, &b, 0) - (double)want[0]) < 1e-5);
    for (int checkpointing = 0; checkpointing < 2; checkpointing++) {
        m->tape.checkpointing = checkpointing;
        parameters_begin_update(&m->model->params);
        tape_begin(&m->tape, TAPE_TRAIN, &b, 0);
        assert_true(fabs(golden_loss(m, &b, 0) - (double)want[0]) < 1e-5);
        snprintf(first, sizeof first, "grad.%s", m->model->params.list[0]->spec.name);
        if (m->arena || safetensors_find(golden, first)) check_gradients(m, golden, "grad");
    }
    free(want);
    if (safetensors_find(golden, "smoothed.loss")) {
        want = read_f32(golden, "smoothed.loss", &n);
        parameters_begin_update(&m->model->params);
        tape_begin(&m->tape, TAPE_TRAIN, &b, 0);
        assert_true(fabs(golden_loss(m, &b, 0.1f) - (double)want[0]) < 1e-5);
        check_gradients(m, golden, "smoothed.grad");
        free(want);
    }
    test_batch_free(&b);
    safetensors_close(golden);
}

void check_model(const char *dir, const char *golden_dir, const char *config, unsigned isa, double tolerance)
{
    char path[512];
    TestModel m;
    snprintf(path, sizeof path, FIXTURES "/models/%s", dir);
    test_model_open_as(&m, path, config, isa, 2);
    snprintf(path, sizeof path, FIXTURES "/models/%s/golden.safetensors", golden_dir);
    check_opened(&m, path, dir, tolerance);
    test_model_close(&m);
}

void check_adapted(const char *dir, const char *adapter, unsigned isa, double tolerance)
{
    char path[512], adapter_path[512];
    const char *adapters[] = {adapter_path};
    TestModel m;
    snprintf(path, sizeof path, FIXTURES "/models/%s", dir);
    snprintf(adapter_path, sizeof adapter_path, FIXTURES "/adapters/%s", adapter);
    test_model_open_adapted(&m, path, adapters, 1, DTYPE_COUNT, isa, 2);
    snprintf(path, sizeof path, FIXTURES "/adapters/%s/golden.safetensors", adapter);
    check_opened(&m, path, adapter, tolerance);
    test_model_close(&m);
}
