/* An adapter's tensors, by PEFT's names for them. */
#include <stdio.h>
#include <string.h>

#include "trainer/models/adapter.h"

#define PREFIX "base_model.model."

/* Trained whole beside adapter 0, or part of it. */
static bool belongs(const Parameter *p, int which) { return p->spec.adapter ? p->spec.adapter == which + 1 : which ==
    0; }

/* "<module>.lora_A.<adapter>.weight" without the adapter's name. */
const char *adapter_tensor_name(Arena *arena, const Model *m, const Parameter *p)
{
    const char *name = p->spec.name;
    if (!p->spec.adapter) return arena_printf(arena, PREFIX "%s", name);
    const char *end = name + strlen(name) - strlen(".weight");
    size_t adapter = strlen(m->params.adapters->configs[p->spec.adapter - 1].name);
    return arena_printf(arena, PREFIX "%.*s.weight", (int)(end - name - (ptrdiff_t)adapter - 1), name);
}

static Status check(const Model *m, int which, const TensorStore *store, Arena *arena, const char *dir)
{
    Status st = OK;
    const Parameters *ps = &m->params;
    Text text = {0};
    size_t found = 0;
    char want[192], have[192];
    for (size_t i = 0; i < ps->num_trained; i++) {
        const Parameter *p = ps->trained[i];
        if (!belongs(p, which)) continue;
        const char *name = adapter_tensor_name(arena, m, p);
        TRY_MEMORY(name);
        const TensorInfo *info = tensor_store_find(store, name);
        found += info != NULL;
        shape_text(p->spec.shape, p->spec.ndim, want);
        if (!info) text_printf(&text, "\n  missing: %s %s", name, want);
        else if (strcmp(shape_text(info->shape, info->ndim, have), want))
            text_printf(&text, "\n  wrong shape: %s is %s, the configs say %s", name, have, want);
        else if (!convertible(DTYPE_F32, info->dtype))
            text_printf(&text, "\n  wrong type: %s is %s; F32, BF16, F16 and F64 can be read", name, info->type);
    }
    for (size_t i = 0; i < tensor_store_count(store) && found < tensor_store_count(store); i++) {
        const TensorInfo *info = tensor_store_at(store, i);
        bool known = false;
        for (size_t j = 0; j < ps->num_trained && !known; j++)
            known = belongs(ps->trained[j], which) &&
                    strcmp(adapter_tensor_name(arena, m, ps->trained[j]), info->name) == 0;
        if (!known)
            text_printf(&text, "\n  unexpected: %s %s", info->name, shape_text(info->shape, info->ndim, have));
    }
    if (text.size)
        RAISE(FORMAT, "%s: the adapter's weights do not fit its config and this model (%s):%s", dir, m->type->name,
              text.data);
done:
    text_free(&text);
    return st;
}

Status adapter_load(Model *m, int which, const char *dir)
{
    Status st = OK;
    Parameters *ps = &m->params;
    TensorStore *store = NULL;
    Arena *arena = NULL;
    TRY(arena_new(&arena));
    TRY(tensor_store_open_named(dir, "adapter_model", &store));
    TRY(check(m, which, store, arena, dir));
    for (size_t i = 0; i < ps->num_trained; i++) {
        const Parameter *p = ps->trained[i];
        if (!belongs(p, which)) continue;
        const char *name = adapter_tensor_name(arena, m, p);
        TRY_MEMORY(name);
        TRY(tensor_read(tensor_store_find(store, name), 0, p->count, DTYPE_F32, ps->weights + p->offset));
    }
done:
    tensor_store_close(store);
    arena_free(arena);
    return st;
}

void adapter_draw(Model *m, int which, uint64_t seed)
{
    Parameters *ps = &m->params;
    for (size_t i = 0; i < ps->num_trained; i++)
        if (ps->trained[i]->spec.adapter == which + 1)
            parameter_draw(ps->trained[i], seed, ps->weights + ps->trained[i]->offset);
}
