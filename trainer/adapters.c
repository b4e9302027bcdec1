/* The run's adapter: from its keys, or from a directory. */
#include "trainer/adapters.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/base/log.h"

static Status add_names(cJSON *o, const char *key, TextList list)
{
    if (!list.count) return OK;
    cJSON *names = cJSON_AddArrayToObject(o, key);
    for (int i = 0; names && i < list.count; i++) cJSON_AddItemToArray(names, cJSON_CreateString(list.items[i]));
    return names ? OK : status_raise(STATUS_MEMORY, "out of memory");
}

/* One item may be all-linear, or a pattern for whole names: something that no name has. */
static bool is_pattern(TextList list)
{
    return list.count == 1 && (strcasecmp(list.items[0], "all-linear") == 0 || strpbrk(list.items[0],
        "*+?[](){}|^$\\"));
}

/* Members of peft_config that are keys of their own. */
static Status add_members(cJSON *o, const cJSON *members)
{
    Status st = OK;
    static const struct { const char *member, *key; } keys[] = {
        {"r", "lora_r"}, {"lora_alpha", "lora_alpha"}, {"lora_dropout", "lora_dropout"}, {"use_rslora", "use_rslora"},
        {"target_modules", "lora_target_modules"}, {"modules_to_save", "lora_modules_to_save"},
        {"task_type", "lora_task_type"}, {"base_model_name_or_path", "model_name_or_path"}};
    for (const cJSON *m = members ? members->child : NULL; m; m = m->next) {
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            if (strcmp(m->string, keys[i].member) == 0)
                RAISE(USAGE, "peft_config: `%s` is the key %s; write that", m->string, keys[i].key);
        cJSON *copy = cJSON_Duplicate(m, true);
        if (!copy || !cJSON_AddItemToObject(o, m->string, copy)) RAISE(MEMORY, "out of memory");
    }
done:
    return st;
}

static Status parse_keys(const TrainingArguments *a, Arena *arena, Adapter *out)
{
    Status st = OK;
    cJSON *o = cJSON_CreateObject();
    TextList targets = a->lora_target_modules;
    cJSON_AddItemToObject(o, "r", json_new_int(a->lora_r));
    cJSON_AddItemToObject(o, "lora_alpha", json_new_int(a->lora_alpha));
    cJSON_AddItemToObject(o, "lora_dropout", json_new_real(a->lora_dropout));
    cJSON_AddItemToObject(o, "use_rslora", cJSON_CreateBool(a->use_rslora));
    cJSON_AddItemToObject(o, "task_type", cJSON_CreateString(a->lora_task_type));
    if (is_pattern(targets)) cJSON_AddItemToObject(o, "target_modules", cJSON_CreateString(targets.items[0]));
    else TRY(add_names(o, "target_modules", targets));
    TRY(add_names(o, "modules_to_save", a->lora_modules_to_save));
    TRY(add_members(o, a->peft_config));
    st = adapter_parse(o, "the adapter's keys (lora_*, peft_config)", "default", arena, out);
    if (st == STATUS_FORMAT) st = STATUS_USAGE;
done:
    cJSON_Delete(o);
    return st;
}

Status adapters_open(Trainer *tr, bool training)
{
    Status st = OK;
    const TrainingArguments *a = tr->args;
    const char *model = a->model_name_or_path, *dir = a->adapter_name_or_path;
    tr->model_dir = model;
    if (model && adapter_is_at(model)) { /* an adapter names its model */
        if (dir) RAISE(USAGE, "model_name_or_path: %s is an adapter, and adapter_name_or_path names another", model);
        dir = model;
        tr->model_dir = NULL;
    }
    if (!dir && (!a->use_peft || !training)) return OK;
    if (dir) TRY(adapter_read(dir, "default", tr->arena, &tr->adapter));
    else TRY(parse_keys(a, tr->arena, &tr->adapter));
    if (!tr->model_dir) tr->model_dir = tr->adapter.base;
    if (!tr->model_dir || !path_is_dir(tr->model_dir))
        RAISE(USAGE,
            "the adapter in %s says that its model is %s, which is no directory here; set model_name_or_path to "
                     "the model's, and adapter_name_or_path to the adapter's", dir,
              tr->model_dir ? tr->model_dir : "not known");
    TRY_NEW(tr->arena, tr->adapters, 1);
    TRY(lora_set_init(tr->adapters, tr->arena, &tr->adapter.lora, 1));
    tr->adapters->seed = (uint64_t)a->seed;
done:
    return st;
}

Status adapters_place(Trainer *tr)
{
    const char *dtype = tr->args->dtype;
    Dtype as = dtype && strcmp(dtype, "bfloat16") == 0  ? DTYPE_BF16
               : dtype && strcmp(dtype, "float16") == 0 ? DTYPE_F16
                                                        : DTYPE_COUNT;
    return model_freeze(tr->model, tr->machine.k, tr->machine.stream, tr->model_dir, as);
}

Status adapters_read_weights(Trainer *tr, const char *checkpoint)
{
    Status st = OK;
    if (!tr->adapters) {
        const char *from = checkpoint ? checkpoint : tr->model_dir;
        if (from) return model_load(tr->model, from);
        model_draw(tr->model, (uint64_t)tr->args->seed);
        return OK;
    }
    TRY(model_load(tr->model, tr->model_dir));
    if (checkpoint) TRY(adapter_load(tr->model, 0, checkpoint));
done:
    return st;
}

Status adapters_read_checkpoint(Trainer *tr, const char *checkpoint)
{
    return tr->adapters ? adapter_load(tr->model, 0, checkpoint) : model_load(tr->model, checkpoint);
}

const char *adapters_file(const Trainer *tr) { return tr->adapters ? "adapter_model" : "model"; }
