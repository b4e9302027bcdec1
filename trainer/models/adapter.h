/* Adapters in PEFT's files: a directory with adapter_config.json and adapter_model.safetensors. */
#ifndef HONE_MODELS_ADAPTER_H
#define HONE_MODELS_ADAPTER_H

#include "trainer/models/model.h"

/* An adapter as its config describes it; all of it in the arena that it was read into. */
typedef struct Adapter {
    LoraConfig lora;
    const char *base;      /* base_model_name_or_path; NULL: it says none */
    const char *task_type; /* "CAUSAL_LM" */
} Adapter;

/* Whether the directory holds an adapter and no model. */
bool adapter_is_at(const char *dir);
/* adapter_config.json of a directory. What hone lacks is refused by name. */
Status adapter_read(const char *dir, const char *name, Arena *arena, Adapter *out);
/* From members of PEFT's LoraConfig, as keys of a config name them; `where` names it in messages. */
Status adapter_parse(const cJSON *config, const char *where, const char *name, Arena *arena, Adapter *out);
/* Adapters of a model, read from their directories, as model_new_adapted takes them; count 0: *out is NULL. All of them
 * are active. */
Status adapters_read(const char *const *dirs, int count, Arena *arena, LoraSet **out);
/* The same for what a command was given: `dir` is a model's directory, or an adapter's that names its model. *model:
 * the
 * model's directory. */
Status adapters_resolve(const char *dir, const char *const *adapters, int count, Arena *arena, LoraSet **out,
                        const char **model);
/* base: what is written as base_model_name_or_path. Free with cJSON_Delete; NULL: no memory. */
cJSON *adapter_config_out(const Model *m, int which, const char *base, const char *task_type);

/* Adapter `which` (0..) of the model: its parameters from a directory into the flat array, converted to f32; every
 * problem is listed in one error. */
Status adapter_load(Model *m, int which, const char *dir);
void adapter_draw(Model *m, int which, uint64_t seed);
/* Adds the adapters to the frozen weights of their layers, which are f32 from then on, on a stream of the CPU. The
 * model
 * is then to be saved, not to be run: its adapters are still beside its layers. */
Status adapters_merge(Model *m, const Kernels *k, Stream *s);
/* A parameter's name in the file; NULL: no memory. */
const char *adapter_tensor_name(Arena *arena, const Model *m, const Parameter *p);

#endif
