/* How each golden file of tests/fixtures/ops goes through the ops of trainer/autograd/ops.h: one line of `entries` an
 * op and file pattern. A new op is its line and its function. */
#ifndef HONE_TESTS_AUTOGRAD_GOLDEN_OPS_H
#define HONE_TESTS_AUTOGRAD_GOLDEN_OPS_H

#include "tests/autograd/op_case.h"

static Activation activation_of(const char *file)
{
    static const struct { const char *end; Activation act;
    } table[] = {
        {"_gelu_new", ACT_GELU_TANH}, {"_gelu", ACT_GELU}, {"_relu", ACT_RELU},
        {"_silu", ACT_SILU},          {"_tanh", ACT_TANH},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        size_t n = strlen(file), e = strlen(table[i].end);
        if (n > e && strcmp(file + n - e, table[i].end) == 0) return table[i].act;
    }
    return ACT_NONE;
}

static Tensor *run_linear(Case *c)
{
    WeightLayout layout = strstr(c->file, "in_out") ? IN_OUT : OUT_IN;
    return op_linear(c->tape, activation(c, "x"), parameter(c, "weight"), parameter(c, "bias"), layout,
                     activation_of(c->file));
}

/* An activation alone is a linear op by the identity, which is exact. */
static Tensor *run_activation(Case *c)
{
    Tensor *x = activation(c, "x"), *identity = NULL;
    for (int i = 0; i < c->num_inputs; i++)
        if (strcmp(c->inputs[i].name, "identity") == 0) identity = &c->inputs[i].tensor;
    if (!identity) {
        float *values = calloc((size_t)(x->cols * x->cols), sizeof *values);
        for (int64_t i = 0; i < x->cols; i++) values[i * (x->cols + 1)] = 1;
        identity = case_add(c, "identity", values, x->cols, x->cols, true);
        identity->needs_grad = false;
        free(values);
    }
    return op_linear(c->tape, x, identity, NULL, OUT_IN, activation_of(c->file));
}

static Tensor *run_gated(Case *c)
{
    return op_gated(c->tape, activation(c, "a"), activation(c, "b"), activation_of(c->file));
}

static Tensor *run_layer_norm(Case *c)
{
    return op_layer_norm(c->tape, activation(c, "x"), parameter(c, "weight"), parameter(c, "bias"),
                         case_attr(c, "eps", 0));
}

/* h = x + residual is used by its norm, and by others that give it the gradient in.dh. */
static Tensor *run_add_layer_norm(Case *c)
{
    Tensor *h = op_dropout_add(c->tape, activation(c, "x"), activation(c, "residual"), 0);
    Tensor *y = op_layer_norm(c->tape, h, parameter(c, "weight"), parameter(c, "bias"), case_attr(c, "eps", 0));
    if (!y || !h->needs_grad || !c->tape->record) return y;
    float *dh = case_read(case_find(c, "in", "dh"));
    void *device = case_keep(c, backend_floats(c->b, h->dtype, dh, tensor_count(h)));
    h->grad = tape_scratch(c->tape, tensor_bytes(h));
    c->tape->k->copy(c->tape->stream, h->grad, device, tensor_bytes(h));
    free(dh);
    return y;
}

static Tensor *run_rms_norm(Case *c)
{
    return op_rms_norm(c->tape, activation(c, "x"), parameter(c, "weight"), case_attr(c, "eps", 0),
                       case_attr(c, "plus_one", 0));
}

static Tensor *run_lora(Case *c)
{
    Tensor *u = op_lora_down(c->tape, activation(c, "x"), parameter(c, "a"), NULL, 0);
    return op_lora_up(c->tape, activation(c, "onto"), u, 0, parameter(c, "b"), case_attr(c, "scale", 0));
}

static Tensor *run_scale(Case *c) { return op_scale(c->tape, activation(c, "x"), case_attr(c, "factor", 0)); }

static Tensor *run_embedding(Case *c)
{
    int64_t rows = case_find(c, "in", "ids")->numel;
    Tensor *y = op_embedding(c->tape, NULL, parameter(c, "weight"), case_ints(c, "ids"), rows,
                             (int64_t)case_attr(c, "padding", -1));
    Tensor *positions = parameter(c, "position_weight");
    return positions ? op_embedding(c->tape, y, positions, case_ints(c, "position_ids"), rows, -1) : y;
}

static Tensor *run_dropout(Case *c)
{
    c->tape->op = (uint32_t)case_attr(c, "op", 0);
    return op_dropout_add(c->tape, activation(c, "x"), activation(c, "residual"), case_attr(c, "p", 0));
}

static Tensor *run_activation_alone(Case *c) { return op_activation(c->tape, activation(c, "x"),
    activation_of(c->file)); }

static Tensor *run_dropout_alone(Case *c)
{
    c->tape->op = (uint32_t)case_attr(c, "op", 0);
    return op_dropout(c->tape, activation(c, "x"), case_attr(c, "p", 0));
}

/* q, k and v side by side in one tensor, with columns between that nobody reads. */
static Tensor *pack(Case *c, AttentionSpec *spec, int64_t rows)
{
    int64_t width = (int64_t)spec->heads * spec->head_dim, kv = (int64_t)spec->kv_heads * spec->head_dim,
            cols = width + 2 * kv + 5;
    spec->q_col = kv + 3, spec->k_col = 1, spec->v_col = kv + width + 4;
    for (int i = 0; i < c->num_inputs; i++)
        if (strcmp(c->inputs[i].name, "qkv") == 0) return &c->inputs[i].tensor;
    float *all = malloc((size_t)(rows * cols) * sizeof *all);
    for (int64_t i = 0; i < rows * cols; i++) all[i] = NAN; /* not to be read */
    static const char *const names[] = {"q", "k", "v"};
    int64_t at[] = {spec->q_col, spec->k_col, spec->v_col};
    for (int part = 0; part < 3; part++) {
        float *values = case_read(case_find(c, "in", names[part]));
        int64_t n = part ? kv : width;
        for (int64_t r = 0; r < rows; r++) memcpy(all + r * cols + at[part], values + r * n, (size_t)n * sizeof *all);
        free(values);
    }
    Tensor *qkv = case_add(c, "qkv", all, rows, cols, false);
    free(all);
    return qkv;
}

static Tensor *run_attention(Case *c)
{
    const TensorInfo *q = case_find(c, "in", "q"), *k = case_find(c, "in", "k");
    AttentionSpec spec = {.heads = (int32_t)q->shape[1],
                          .kv_heads = (int32_t)k->shape[1],
                          .head_dim = (int32_t)q->shape[2],
                          .scale = case_attr(c, "scale", 0),
                          .causal = case_attr(c, "causal", 0) != 0,
                          .window = (int32_t)case_attr(c, "window", 0),
                          .softcap = case_attr(c, "softcap", 0),
                          .dropout = case_attr(c, "p", 0)};
    c->tape->op = (uint32_t)case_attr(c, "op", 0);
    if (c->packed) {
        Tensor *qkv = pack(c, &spec, q->shape[0]);
        return op_attention(c->tape, qkv, qkv, qkv, &spec);
    }
    return op_attention(c->tape, activation(c, "q"), activation(c, "k"), activation(c, "v"), &spec);
}

static Tensor *run_packed_attention(Case *c)
{
    c->packed = true;
    return run_attention(c);
}

static Tensor *run_rope(Case *c)
{
    const TensorInfo *info = case_find(c, "in", "x");
    int32_t heads = (int32_t)info->shape[1], head_dim = (int32_t)info->shape[2],
            rotary = (int32_t)case_attr(c, "rotary_dim", 0);
    enum { POSITIONS = 2048 };
    float *tables[2];
    for (int part = 0; part < 2; part++) {
        tables[part] = malloc(POSITIONS * (size_t)rotary / 2 * sizeof(float));
        for (int i = 0; i < POSITIONS * rotary / 2; i++) {
            double angle = i / (rotary / 2) * pow((double)case_attr(c, "theta", 0), -2.0 * (i % (rotary / 2)) / rotary);
            tables[part][i] = (float)(part ? sin(angle) : cos(angle));
        }
    }
    size_t bytes = POSITIONS * (size_t)rotary / 2 * sizeof(float);
    const float *cosines = c->b->put(case_keep(c, c->b->take(bytes)), tables[0], bytes);
    const float *sines = c->b->put(case_keep(c, c->b->take(bytes)), tables[1], bytes);
    free(tables[0]), free(tables[1]);
    return op_rope(c->tape, activation(c, "x"), cosines, sines, heads, head_dim, rotary);
}

static LossSpec loss_spec(Case *c)
{
    return (LossSpec){.scale = case_attr(c, "scale", 0),
                      .smoothing = case_attr(c, "smoothing", 0),
                      .softcap = case_attr(c, "softcap", 0),
                      .z_loss = case_attr(c, "z_loss", 0)};
}

static Tensor *run_linear_cross_entropy(Case *c)
{
    LossSpec spec = loss_spec(c);
    return op_linear_cross_entropy(c->tape, activation(c, "x"), parameter(c, "weight"), c->batch.labels, &spec);
}

static Tensor *run_cross_entropy(Case *c)
{
    LossSpec spec = loss_spec(c);
    return op_cross_entropy(c->tape, activation(c, "logits"), c->batch.labels, &spec);
}

typedef struct Entry {
    const char *op;    /* as ops.h calls it, without op_ */
    const char *files; /* shell pattern */
    Tensor *(*run)(Case *c);
} Entry;

static const Entry entries[] = {
    {"activation", "activation_*", run_activation_alone},
    {"attention", "attention_*", run_attention},
    {"attention", "attention_*", run_packed_attention},
    {"cross_entropy", "cross_entropy_*", run_cross_entropy},
    {"dropout", "dropout_alone", run_dropout_alone},
    {"dropout_add", "dropout_*", run_dropout},
    {"dropout_add", "add_layer_norm", run_add_layer_norm},
    {"embedding", "embedding*", run_embedding},
    {"gated", "gated_*", run_gated},
    {"layer_norm", "layer_norm*", run_layer_norm},
    {"linear", "linear_in_out_*", run_linear},
    {"linear", "linear_out_in_*", run_linear},
    {"linear", "activation_*", run_activation},
    {"linear_cross_entropy", "linear_cross_entropy_*", run_linear_cross_entropy},
    {"lora_down", "lora", run_lora},
    {"lora_up", "lora", run_lora},
    {"rms_norm", "rms_norm*", run_rms_norm},
    {"rope", "rope*", run_rope},
    {"scale", "scale", run_scale},
};

/* Goldens of other rooms, and where they are walked (the test looks for their names there). */
static const struct { const char *files, *test; } elsewhere[] = {
    {"adamw*", "tests/optim/test_golden.c"},
    {"sgd*", "tests/optim/test_golden.c"},
    {"clip_*", "tests/optim/test_golden.c"},
};

#endif
