/* What all models share: configs, loading by name, drawing. */
#include "trainer/models/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/models/frozen.h"
#include "trainer/models/registry.h"

static Status unknown_type(const char *name, const char *where)
{
#define NAME(type) " " #type
    return status_raise(STATUS_UNSUPPORTED, "%s: model_type `%s` is not one that hone has:" MODELS(NAME), where, name);
}

/* A key's other name is the key, and wins over it, as in transformers' PreTrainedConfig. */
static Status name_settings(const ModelType *type, cJSON *config)
{
    for (const ModelSetting *s = type->settings; s && s->name; s++) {
        cJSON *value = s->stands_for ? cJSON_DetachItemFromObjectCaseSensitive(config, s->name) : NULL;
        if (!value) continue;
        cJSON_DeleteItemFromObjectCaseSensitive(config, s->stands_for);
        if (cJSON_AddItemToObject(config, s->stands_for, value)) continue;
        cJSON_Delete(value);
        return status_raise(STATUS_MEMORY, "out of memory");
    }
    return OK;
}

static LoraNames usual_targets(const ModelType *type)
{
    LoraNames names = {.items = type->lora_targets};
    while (names.items && names.items[names.count]) names.count++;
    return names;
}

Status model_new(cJSON *config, const char *where, Model **out) { return model_new_adapted(config, where, NULL, out); }

Status model_new_adapted(cJSON *config, const char *where, LoraSet *adapters, Model **out)
{
    Status st = OK;
    Arena *arena = NULL;
    const char *name;
    TRY(json_string(config, where, "model_type", &name));
    const ModelType *type = model_type_find(name);
    if (!type) TRY(unknown_type(name, where));
    TRY(name_settings(type, config));
    TRY(arena_new(&arena));
    Model *m = arena_alloc(arena, type->bytes);
    TRY_MEMORY(m);
    m->type = type;
    m->arena = arena;
    m->config = config;
    parameters_init(&m->params, arena);
    m->params.adapters = adapters;
    if (adapters) adapters->usual = usual_targets(type);
    TRY(type->declare(m, where));
    TRY(lora_check(adapters, where));
    if ((st = parameters_layout(&m->params)) != OK) TRY(status_prefix(st, "%s", where));
    *out = m;
    return OK;
done:
    cJSON_Delete(config);
    arena_free(arena);
    return st;
}

void model_free(Model *m)
{
    if (!m) return;
    if (m->type->close) m->type->close(m);
    model_thaw(m);
    cJSON_Delete(m->config);
    arena_free(m->arena);
}

void model_draw(Model *m, uint64_t seed)
{
    const Parameters *ps = &m->params;
    for (size_t i = 0; i < ps->num_trained; i++)
        parameter_draw(ps->trained[i], seed, ps->weights + ps->trained[i]->offset);
}

/* The name of what has a weight: "lm_head". */
static void module_of(const Parameter *p, char *out, size_t size)
{
    const char *dot = strrchr(p->spec.name, '.');
    snprintf(out, size, "%.*s", (int)(dot - p->spec.name), p->spec.name);
}

/* One tensor of the file may become two parameters: an adapter that trains the one whole leaves the other as it is. */
void model_declare_head(Model *m, const Embedding *embedding, bool tied, float std)
{
    char module[512] = "";
    if (embedding->weight) module_of(embedding->weight, module, sizeof module);
    m->untied = tied && (lora_saves(m->params.adapters, module) || lora_saves(m->params.adapters, "lm_head"));
    const char *source = m->untied && embedding->weight ? embedding->weight->spec.name : NULL;
    if (tied && !m->untied) {
        m->head = embedding->weight;
        lora_refuse(&m->params, "lm_head", "the model's head is its embedding");
    } else {
        m->head = head_declare(&m->params, "lm_head", m->hidden_size, m->vocab_size, std, source);
    }
}

Tensor *model_forward(Tape *t, const Model *m, const Batch *batch) { return m->type->forward(t, m, batch); }

int64_t model_most_positions(const Model *m) { return m->type->positions_end ? m->max_positions : INT32_MAX; }

/* What PEFT trains whole is a copy beside the original; a head made of the embedding's tensor is that tensor. */
int64_t model_flos_parameters(const Model *m)
{
    int64_t count = 0;
    for (size_t i = 0; i < m->params.count; i++) {
        const Parameter *p = m->params.list[i];
        bool copied = m->params.adapters && !p->frozen && !p->spec.adapter && !p->spec.source;
        if (p->spec.embedding || (p->frozen && p->spec.source)) continue;
        count += copied ? 2 * p->count : p->count;
    }
    return count;
}
