/* Adapters into the weights: W + scale B A, in f32. */
#include <stdlib.h>

#include "trainer/models/adapter.h"
#include "trainer/models/frozen.h"

/* scale * B^T [r, out]: what linear_backward_weight takes for the other factor. */
static Status transposed(const Lora *lora, float **out)
{
    const Tensor *b = &lora->b->value;
    const float *from = b->data;
    float *to = malloc((size_t)tensor_count(b) * sizeof *to + 1);
    if (!to) return status_raise(STATUS_MEMORY, "out of memory: an adapter");
    for (int64_t i = 0; i < b->rows; i++)
        for (int64_t j = 0; j < b->cols; j++) to[j * b->rows + i] = lora->scale * from[i * b->cols + j];
    *out = to;
    return OK;
}

static Status merge_layer(Model *m, const Kernels *k, Stream *s, const LoraModule *layer)
{
    Status st = OK;
    Tensor *weight = &layer->weight->value;
    int64_t count = tensor_count(weight);
    void *merged;
    float *b = NULL;
    TRY(model_frozen_memory(m, (size_t)count * sizeof(float), &merged));
    convert_elements(DTYPE_F32, merged, weight->dtype, weight->data, count);
    for (int i = 0; i < layer->count; i++) {
        const Tensor *a = &layer->loras[i].a->value;
        int64_t out = layer->loras[i].b->value.rows;
        TRY(transposed(&layer->loras[i], &b));
        k->linear_backward_weight(s, DTYPE_F32, merged, NULL, a->data, b, a->rows, a->cols, out, layer->layout, true);
        stream_sync(s);
        free(b);
        b = NULL;
    }
    weight->data = merged;
    weight->dtype = DTYPE_F32;
done:
    free(b);
    return st;
}

Status adapters_merge(Model *m, const Kernels *k, Stream *s)
{
    Status st = OK;
    const LoraSet *set = m->params.adapters;
    for (size_t i = 0; set && i < set->num_modules; i++)
        if (set->modules[i].count) TRY(merge_layer(m, k, s, &set->modules[i]));
done:
    return st;
}
