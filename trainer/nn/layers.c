/* The layers' declarations and calls: names, initial values and decay as in the reference (trainer_semantics 5: biases
 * and norms do not decay). */
#include "trainer/nn/layers.h"

#include <stdio.h>
#include <string.h>

#include "trainer/nn/kv_cache.h"

static Parameter *declare(Parameters *ps, const char *name, const char *part, ParameterSpec spec)
{
    char full[512];
    snprintf(full, sizeof full, "%s.%s", name, part);
    spec.name = full;
    spec.trains = lora_saves(ps->adapters, name);
    return parameter_declare(ps, spec);
}

static Tensor *view(Parameter *p) { return p ? &p->value : NULL; }

LayerNorm layer_norm_declare(Parameters *ps, const char *name, int64_t hidden, float eps)
{
    return (LayerNorm){
        .eps = eps,
        .weight =
            declare(ps, name, "weight", (ParameterSpec){.ndim = 1, .shape = {hidden}, .init = {.kind = INIT_ONE}}),
        .bias = declare(ps, name, "bias", (ParameterSpec){.ndim = 1, .shape = {hidden}})};
}

Tensor *layer_norm(Tape *t, const LayerNorm *l, Tensor *x)
{
    return op_layer_norm(t, x, view(l->weight), view(l->bias), l->eps);
}

RmsNorm rms_norm_declare(Parameters *ps, const char *name, int64_t hidden, float eps, float offset)
{
    Init init = {.kind = offset > 0 ? INIT_ZERO : INIT_ONE};
    return (RmsNorm){.eps = eps,
                     .offset = offset,
                     .weight =
                         declare(ps, name, "weight", (ParameterSpec){.ndim = 1, .shape = {hidden}, .init = init})};
}

Tensor *rms_norm(Tape *t, const RmsNorm *l, Tensor *x) { return op_rms_norm(t, x, view(l->weight), l->eps, l->offset); }

Embedding embedding_declare(Parameters *ps, const char *name, int64_t vocab, int64_t width, float std,
                            int64_t padding)
{
    ParameterSpec weight = {.ndim = 2, .shape = {vocab, width}, .init = {INIT_NORMAL, std, padding + 1},
                            .decay = true, .embedding = true};
    lora_refuse(ps, name, "it is an embedding; name it in lora_modules_to_save to train it whole");
    return (Embedding){declare(ps, name, "weight", weight), padding};
}

Tensor *embedding(Tape *t, const Embedding *l, Tensor *onto, const int32_t *ids, int64_t rows)
{
    return op_embedding(t, onto, view(l->weight), ids, rows, l->padding);
}

Tensor *attention(Tape *t, const Attention *a, Tensor *q, Tensor *k, Tensor *v)
{
    return t->cache ? kv_cache_attention(t, t->cache, a->layer, q, k, v, &a->spec) : op_attention(t, q, k, v, &a->spec);
}

Tensor *attention_packed(Tape *t, const Attention *a, Tensor *qkv) { return attention(t, a, qkv, qkv, qkv); }

Tensor *dropout_add(Tape *t, Tensor *x, Tensor *residual, float p) { return op_dropout_add(t, x, residual, p); }

Status activation_find(const char *name, const char *where, Activation *out)
{
    static const struct { const char *name; Activation act; } table[] = {
        {"gelu", ACT_GELU},           {"gelu_new", ACT_GELU_TANH}, {"gelu_pytorch_tanh", ACT_GELU_TANH},
        {"gelu_fast", ACT_GELU_TANH}, {"relu", ACT_RELU},          {"silu", ACT_SILU},
        {"swish", ACT_SILU},          {"tanh", ACT_TANH},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].name, name) == 0) {
            *out = table[i].act;
            return OK;
        }
    return status_raise(
        STATUS_UNSUPPORTED,
        "%s: activation `%s` is not one of gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, relu, silu, swish, tanh",
        where, name);
}
