/* One golden file in the hands of a test: its tensors by name, made on a backend when an op asks for them. */
#ifndef HONE_TESTS_AUTOGRAD_OP_CASE_H
#define HONE_TESTS_AUTOGRAD_OP_CASE_H

#include <stdio.h>

#include "tests/autograd/backends.h"
#include "tests/support/test_model.h"

enum { CASE_INPUTS = 8, CASE_BLOCKS = 32 };

typedef struct Input {
    char name[32];
    Tensor tensor;
    Parameter param; /* tensor.param points here when it is one: its gradient is f32 */
} Input;

typedef struct Case {
    const Backend *b;
    const char *file; /* without directory and .safetensors */
    Safetensors *golden;
    Tape *tape;
    Batch batch;
    Input inputs[CASE_INPUTS];
    int num_inputs;
    void *blocks[CASE_BLOCKS]; /* device memory of the case */
    int num_blocks;
    const char *frozen;        /* the input that needs no gradient, NULL: none */
    bool packed;               /* attention: q, k, v in one tensor */
} Case;

static inline const TensorInfo *case_find(const Case *c, const char *kind, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "%s.%s", kind, name);
    return safetensors_find(c->golden, full);
}

static inline float *case_read(const TensorInfo *info) /* free() it */
{
    float *values = malloc((size_t)info->numel * sizeof *values + 1);
    assert_non_null(values);
    assert_ok(tensor_read(info, 0, info->numel, DTYPE_F32, values));
    return values;
}

static inline void *case_keep(Case *c, void *block)
{
    assert_true(c->num_blocks < CASE_BLOCKS);
    return c->blocks[c->num_blocks++] = block;
}

/* The number attr.NAME, or `otherwise` when the file has none. */
static inline float case_attr(const Case *c, const char *name, float otherwise)
{
    const TensorInfo *info = case_find(c, "attr", name);
    if (!info) return otherwise;
    int32_t integer;
    float real;
    if (info->dtype == DTYPE_I32) {
        assert_ok(tensor_read(info, 0, 1, DTYPE_I32, &integer));
        return (float)integer;
    }
    assert_ok(tensor_read(info, 0, 1, DTYPE_F32, &real));
    return real;
}

/* in.NAME of integers on the device; NULL when the file has none. */
static inline const int32_t *case_ints(Case *c, const char *name)
{
    const TensorInfo *info = case_find(c, "in", name);
    if (!info) return NULL;
    size_t bytes = (size_t)info->numel * sizeof(int32_t);
    int32_t *host = malloc(bytes + 1), *device = case_keep(c, c->b->take(bytes));
    assert_ok(tensor_read(info, 0, info->numel, DTYPE_I32, host));
    c->b->put(device, host, bytes);
    free(host);
    return device;
}

/* An input with these values; a parameter's gradient is f32, and starts as NaN that the first write must overwrite. */
static inline Tensor *case_add(Case *c, const char *name, const float *values, int64_t rows, int64_t cols, bool param)
{
    assert_true(c->num_inputs < CASE_INPUTS);
    Input *in = &c->inputs[c->num_inputs++];
    Dtype dtype = strcmp(name, "logits") == 0 ? DTYPE_F32 : c->b->dtype; /* op_cross_entropy takes f32 alone */
    *in = (Input){.tensor = {.dtype = dtype, .rows = rows, .cols = cols, .slot = -1, .needs_grad = true}};
    snprintf(in->name, sizeof in->name, "%s", name);
    in->tensor.data = case_keep(c, backend_floats(c->b, dtype, values, rows * cols));
    if (c->frozen && strcmp(c->frozen, name) == 0) in->tensor.needs_grad = false;
    if (param) {
        in->tensor.param = &in->param;
        in->tensor.grad = case_keep(c, c->b->take((size_t)(rows * cols) * sizeof(float)));
    }
    return &in->tensor;
}

static inline Tensor *case_input(Case *c, const char *name, bool param)
{
    for (int i = 0; i < c->num_inputs; i++)
        if (strcmp(c->inputs[i].name, name) == 0) return &c->inputs[i].tensor;
    const TensorInfo *info = case_find(c, "in", name);
    if (!info) return NULL;
    int64_t rows = info->ndim > 1 ? info->shape[0] : param ? 1 : info->numel;
    float *values = case_read(info);
    Tensor *x = case_add(c, name, values, rows, rows ? info->numel / rows : 0, param);
    free(values);
    return x;
}
/* An activation [rows, the rest], and a weight or bias; NULL when the file has none. */
static inline Tensor *activation(Case *c, const char *name) { return case_input(c, name, false); }
static inline Tensor *parameter(Case *c, const char *name) { return case_input(c, name, true); }

/* The batch: the file's sequences, or one of all rows. */
static inline void case_batch(Case *c, int64_t rows)
{
    const TensorInfo *cu = case_find(c, "in", "cu_seqlens");
    int32_t host[16] = {0, (int32_t)rows}, sample[16];
    c->batch = (Batch){
        .num_seqs = 1, .rows = rows, .position_ids = case_ints(c, "position_ids"), .labels = case_ints(c, "labels")};
    if (cu) {
        assert_true(cu->numel <= 16);
        assert_ok(tensor_read(cu, 0, cu->numel, DTYPE_I32, host));
        c->batch.num_seqs = (int32_t)cu->numel - 1;
    }
    for (int s = 0; s < c->batch.num_seqs; s++) {
        sample[s] = s;
        if (host[s + 1] - host[s] > c->batch.max_seqlen) c->batch.max_seqlen = host[s + 1] - host[s];
    }
    size_t bytes = (size_t)(c->batch.num_seqs + 1) * sizeof(int32_t);
    c->batch.cu_seqlens = c->b->put(case_keep(c, c->b->take(bytes)), host, bytes);
    c->batch.sample = case_ints(c, "sample");
    if (!c->batch.sample) c->batch.sample = c->b->put(case_keep(c, c->b->take(bytes)), sample, bytes - sizeof(int32_t));
}

static inline void case_open(Case *c, const Backend *b, Tape *tape, const char *file)
{
    char path[512];
    *c = (Case){.b = b, .file = file, .tape = tape};
    snprintf(path, sizeof path, FIXTURES "/ops/%s.safetensors", file);
    assert_ok(safetensors_open(path, &c->golden));
}

/* Forgets inputs and memory, so that the case can run again. */
static inline void case_reset(Case *c)
{
    while (c->num_blocks) c->b->give(c->blocks[--c->num_blocks]);
    c->num_inputs = 0;
}

static inline void case_close(Case *c)
{
    case_reset(c);
    safetensors_close(c->golden);
}

#endif
