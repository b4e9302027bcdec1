/* links: test_support */
/* What other programs can compare hone with. As a test (no arguments) it proves itself on a fixture. Else
 *     test_interop_logits logits MODEL TOKENS OUT     hone's logits of TOKENS (safetensors: input_ids, cu_seqlens) to
 * OUT test_interop_logits save MODEL OUT_DIR BYTES    MODEL again, in shards of at most BYTES, as hone saves it */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/support/test_model.h"
#include "trainer/checkpoint/checkpoint.h"
#include "trainer/checkpoint/safetensors_write.h"

static int32_t *ids_of(const Safetensors *s, const char *name, int64_t *n)
{
    const TensorInfo *info = safetensors_find(s, name);
    if (!info) fail_msg("%s has no %s", safetensors_path(s), name);
    int32_t *ids = malloc((size_t)info->numel * sizeof *ids + 1);
    assert_ok(tensor_read(info, 0, info->numel, DTYPE_I32, ids));
    *n = info->numel;
    return ids;
}

static void write_logits(const char *model, const char *tokens, const char *out)
{
    TestModel m;
    Safetensors *s;
    SafetensorsWriter *w;
    int64_t n, seqs;
    uint64_t size, hash;
    assert_ok(safetensors_open(tokens, &s));
    int32_t *ids = ids_of(s, "input_ids", &n), *cu = ids_of(s, "cu_seqlens", &seqs);
    test_model_open(&m, model, isa_detect(), 2);
    Batch b = test_batch(ids, cu, (int)seqs - 1);
    tape_begin(&m.tape, TAPE_EVAL, &b, 0);
    Tensor *hidden = model_forward(&m.tape, m.model, &b);
    Tensor *logits = op_linear(&m.tape, hidden, &m.model->head->value, NULL, OUT_IN, ACT_NONE);
    assert_ok(tape_status(&m.tape));
    stream_sync(m.stream);
    TensorSpec spec = {.name = "logits", .dtype = DTYPE_F32, .ndim = 2, .shape = {logits->rows, logits->cols}};
    assert_ok(safetensors_create(out, &spec, 1, NULL, 0, &w));
    assert_ok(safetensors_write(w, DTYPE_F32, logits->data, tensor_count(logits)));
    assert_ok(safetensors_finish(w, &size, &hash));
    safetensors_writer_free(w);
    test_batch_free(&b);
    test_model_close(&m);
    safetensors_close(s);
    free(ids), free(cu);
}

static void save_in_shards(const char *model, const char *out_dir, uint64_t bytes)
{
    TestModel m;
    CheckpointStore *store;
    CheckpointOptions options = {.output_dir = out_dir, .max_shard_bytes = bytes};
    test_model_open(&m, model, isa_detect(), 1);
    NamedTensor *tensors = calloc(m.model->params.count, sizeof *tensors);
    for (size_t i = 0; i < m.model->params.count; i++) {
        const Parameter *p = m.model->params.list[i];
        tensors[i] = (NamedTensor){.name = p->spec.name, .ndim = p->spec.ndim, .data = p->value.data};
        for (int d = 0; d < p->spec.ndim; d++) tensors[i].shape[d] = p->spec.shape[d];
    }
    assert_ok(checkpoint_store_open(&options, &store));
    assert_ok(checkpoint_save_model(store, "model", tensors, m.model->params.count, NULL, 0));
    checkpoint_store_close(store);
    free(tensors);
    test_model_close(&m);
}

static void a_fixtures_logits_are_written_and_survive_shards(void **state)
{
    (void)state;
    char dir[] = "/tmp/hone-interop-XXXXXX", path[256], command[512];
    assert_non_null(mkdtemp(dir));
    save_in_shards(FIXTURES "/models/gpt2_tiny", dir, 20000);
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", dir);
    assert_int_equal(access(path, R_OK), 0);
    snprintf(command, sizeof command, "cp " FIXTURES "/models/gpt2_tiny/config.json %s", dir);
    assert_int_equal(system(command), 0);
    snprintf(path, sizeof path, "%s/logits.safetensors", dir);
    write_logits(dir, FIXTURES "/models/gpt2_tiny/golden.safetensors", path);
    Safetensors *have, *want;
    assert_ok(safetensors_open(path, &have));
    assert_ok(safetensors_open(FIXTURES "/models/gpt2_tiny/golden.safetensors", &want));
    const TensorInfo *a = safetensors_find(have, "logits"), *b = safetensors_find(want, "logits");
    assert_int_equal(a->numel, b->numel);
    float *x = malloc((size_t)a->numel * sizeof *x), *y = malloc((size_t)a->numel * sizeof *y);
    assert_ok(tensor_read(a, 0, a->numel, DTYPE_F32, x));
    assert_ok(tensor_read(b, 0, b->numel, DTYPE_F32, y));
    assert_close("logits", x, y, a->numel, 1e-5, 1e-3);
    free(x), free(y);
    safetensors_close(have), safetensors_close(want);
    assert_ok(dir_remove(dir));
}

static char **arguments;

static void as_asked(void **state)
{
    (void)state;
    if (strcmp(arguments[1], "logits") == 0) write_logits(arguments[2], arguments[3], arguments[4]);
    else save_in_shards(arguments[2], arguments[3], strtoull(arguments[4], NULL, 10));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_fixtures_logits_are_written_and_survive_shards)};
    const struct CMUnitTest asked[] = {cmocka_unit_test(as_asked)};
    arguments = argv;
    return argc == 5 ? cmocka_run_group_tests(asked, NULL, NULL) : cmocka_run_group_tests(tests, NULL, NULL);
}
