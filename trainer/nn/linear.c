/* Linear layers, alone and beside one another, with their adapters. */
#include <stdio.h>

#include "trainer/nn/layers.h"

static Parameter *declare(Parameters *ps, const char *name, const char *part, ParameterSpec spec)
{
    char full[512];
    snprintf(full, sizeof full, "%s.%s", name, part);
    spec.name = full;
    spec.trains = lora_saves(ps->adapters, name);
    return parameter_declare(ps, spec);
}

static ParameterSpec matrix(int64_t rows, int64_t cols, float std)
{
    return (ParameterSpec){.ndim = 2, .shape = {rows, cols}, .init = {.kind = INIT_NORMAL, .std = std}, .decay = true};
}

Linear linear_declare(Parameters *ps, const char *name, int64_t in, int64_t out, bool bias, WeightLayout layout,
                      float std)
{
    Linear l = {.layout = layout};
    l.weight = declare(ps, name, "weight", layout == OUT_IN ? matrix(out, in, std) : matrix(in, out, std));
    if (bias) l.bias = declare(ps, name, "bias", (ParameterSpec){.ndim = 1, .shape = {out}});
    lora_declare(ps, name, l.weight, layout, &l.loras, &l.num_loras);
    return l;
}

Parameter *head_declare(Parameters *ps, const char *name, int64_t hidden, int64_t vocab, float std, const char *source)
{
    ParameterSpec spec = matrix(vocab, hidden, std);
    spec.source = source;
    lora_refuse(ps, name, "it is the model's head; name it in lora_modules_to_save to train it whole");
    return declare(ps, name, "weight", spec);
}

static Tensor *view(Parameter *p) { return p ? &p->value : NULL; }

static Tensor *product(Tape *t, const Linear *l, Tensor *x, Activation act)
{
    return op_linear(t, x, view(l->weight), view(l->bias), l->layout, act);
}

/* The adapters' part, which is added to y; u: what A makes of x where that is done already, in these columns. */
static Tensor *adapt(Tape *t, const Lora *lora, Tensor *y, Tensor *x, Tensor *u, int64_t col)
{
    if (!u) {
        Tensor *input = lora->dropout > 0 ? op_dropout(t, x, lora->dropout) : x;
        u = op_lora_down(t, input, &lora->a->value, NULL, 0);
    }
    return op_lora_up(t, y, u, col, view(lora->b), lora->scale);
}

static Tensor *adapt_all(Tape *t, const Linear *l, Tensor *y, Tensor *x)
{
    for (int i = 0; i < l->num_loras; i++) y = adapt(t, &l->loras[i], y, x, NULL, 0);
    return y;
}

Tensor *linear_act(Tape *t, const Linear *l, Tensor *x, Activation act)
{
    if (!l->num_loras) return product(t, l, x, act);
    Tensor *y = adapt_all(t, l, product(t, l, x, ACT_NONE), x);
    return act == ACT_NONE ? y : op_activation(t, y, act);
}

Tensor *linear(Tape *t, const Linear *l, Tensor *x) { return linear_act(t, l, x, ACT_NONE); }

/* One adapter each at most where it is anywhere, whose A are one matrix: without gaps, reading the same input. */
static int joined(const Linear *const layers[], int count, Tensor *as[MOST_BESIDE])
{
    int n = 0;
    for (int i = 0; i < count; i++) {
        const Linear *l = layers[i];
        if (l->num_loras > 1 || (l->num_loras && l->loras->dropout > 0)) return 0;
        if (l->num_loras) as[n++] = view(l->loras->a);
    }
    for (int i = 1; i < n; i++) {
        size_t bytes = tensor_bytes(as[i - 1]);
        if ((char *)as[i - 1]->data + bytes != (char *)as[i]->data || as[i]->dtype != as[0]->dtype) return 0;
    }
    return n;
}

void linears_join(const Linear *const layers[], int count)
{
    const Linear *before = NULL;
    for (int i = 0; i < count; i++) {
        if (!layers[i]->num_loras) continue;
        if (before) parameter_join(before->loras->a, layers[i]->loras->a);
        before = layers[i];
    }
}

void linears(Tape *t, const Linear *const layers[], int count, Tensor *x, Tensor *out[])
{
    Tensor *as[MOST_BESIDE], *u = NULL;
    int n = joined(layers, count, as);
    for (int i = 0; i < count; i++) out[i] = product(t, layers[i], x, ACT_NONE);
    if (n > 1) u = op_lora_down(t, x, as[0], as + 1, n - 1);
    for (int64_t i = 0, col = 0; i < count; i++) {
        const Linear *l = layers[i];
        out[i] = n > 1 && l->num_loras ? adapt(t, l->loras, out[i], x, u, col) : adapt_all(t, l, out[i], x);
        if (l->num_loras && n > 1) col += l->loras->a->value.rows;
    }
}
