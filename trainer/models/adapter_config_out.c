/* Writing adapter_config.json: the members that PEFT 0.21 writes, in its order (sorted). */
#include <string.h>

#include "trainer/models/adapter.h"
#include "trainer/nn/lora_match.h"

static cJSON *names_out(LoraNames names)
{
    if (!names.count) return cJSON_CreateNull();
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < names.count; i++) cJSON_AddItemToArray(list, cJSON_CreateString(names.items[i]));
    return list;
}

static cJSON *text_or_names(const char *text, LoraNames names)
{
    return text ? cJSON_CreateString(text) : names_out(names);
}

static cJSON *exceptions_out(const LoraException *list, int count, bool integers)
{
    cJSON *o = cJSON_CreateObject();
    for (int i = 0; i < count; i++)
        cJSON_AddItemToObject(o, list[i].pattern, integers ? json_new_int((int64_t)list[i].value)
                                                           : json_new_real(list[i].value));
    return o;
}

/* An integer where it is one, as LoraConfig's own type is int. */
static cJSON *number_out(double value)
{
    return value == (double)(int64_t)value ? json_new_int((int64_t)value) : json_new_real(value);
}

/* How the modules end that have it: what PEFT makes of "all-linear". */
static cJSON *all_linear_out(const LoraSet *set, const LoraConfig *c)
{
    cJSON *list = cJSON_CreateArray();
    for (size_t i = 0; i < set->num_modules; i++) {
        const char *module = set->modules[i].name, *dot = strrchr(module, '.'), *name = dot ? dot + 1 : module;
        const cJSON *item;
        Status st = OK;
        bool seen = !lora_targets(c, (LoraNames){0}, module, NULL, &st);
        cJSON_ArrayForEach(item, list) seen = seen || strcmp(item->valuestring, name) == 0;
        if (!seen) cJSON_AddItemToArray(list, cJSON_CreateString(name));
    }
    return list;
}

static cJSON *targets_out(const LoraSet *set, const LoraConfig *c)
{
    if (c->all_linear) return all_linear_out(set, c);
    if (c->target_pattern) return cJSON_CreateString(c->target_pattern);
    return names_out(c->targets.count ? c->targets : set->usual);
}

static cJSON *layers_out(const LoraConfig *c)
{
    if (!c->num_layers) return cJSON_CreateNull();
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < c->num_layers; i++) cJSON_AddItemToArray(list, json_new_int(c->layers[i]));
    return list;
}

static cJSON *start_out(const LoraConfig *c)
{
    return c->gaussian ? cJSON_CreateString("gaussian") : cJSON_CreateBool(!c->random_b);
}

/* Of the layers that have an adapter: what torch's Linear keeps as [out, in] lies the other way. */
static bool stores_transposed(const LoraSet *set)
{
    for (size_t i = 0; i < set->num_modules; i++)
        if (set->modules[i].count && set->modules[i].layout == IN_OUT) return true;
    return false;
}

cJSON *adapter_config_out(const Model *m, int which, const char *base, const char *task_type)
{
    const LoraSet *set = m->params.adapters;
    const LoraConfig *c = &set->configs[which];
    static const char *const nulls[] = {"alora_invocation_tokens", "arrow_config", "auto_mapping", "corda_config",
                                        "eva_config", "kasa_config", "layer_replication", "lora_ga_config",
                                        "megatron_config", "monteclora_config", "revision", "target_parameters",
                                        "trainable_token_indices", "use_bdlora", "velora_config"};
    cJSON *o = cJSON_CreateObject();
    for (size_t i = 0; i < sizeof nulls / sizeof *nulls; i++) cJSON_AddItemToObject(o, nulls[i], cJSON_CreateNull());
    cJSON_AddItemToObject(o, "alpha_pattern", exceptions_out(c->alphas, c->num_alphas, false));
    cJSON_AddItemToObject(o, "base_model_name_or_path", base ? cJSON_CreateString(base) : cJSON_CreateNull());
    cJSON_AddItemToObject(o, "bias", cJSON_CreateString("none"));
    cJSON_AddItemToObject(o, "ensure_weight_tying", cJSON_CreateBool(false));
    cJSON_AddItemToObject(o, "exclude_modules", text_or_names(c->exclude_pattern, c->excludes));
    cJSON_AddItemToObject(o, "fan_in_fan_out", cJSON_CreateBool(stores_transposed(set)));
    cJSON_AddItemToObject(o, "inference_mode", cJSON_CreateBool(true));
    cJSON_AddItemToObject(o, "init_lora_weights", start_out(c));
    cJSON_AddItemToObject(o, "layers_pattern", names_out(c->layers_pattern));
    cJSON_AddItemToObject(o, "layers_to_transform", layers_out(c));
    cJSON_AddItemToObject(o, "loftq_config", cJSON_CreateObject());
    cJSON_AddItemToObject(o, "lora_alpha", number_out(c->alpha));
    cJSON_AddItemToObject(o, "lora_bias", cJSON_CreateBool(false));
    cJSON_AddItemToObject(o, "lora_dropout", json_new_real(c->dropout));
    cJSON_AddItemToObject(o, "megatron_core", cJSON_CreateString("megatron.core"));
    cJSON_AddItemToObject(o, "modules_to_save", names_out(c->modules_to_save));
    cJSON_AddItemToObject(o, "peft_type", cJSON_CreateString("LORA"));
    cJSON_AddItemToObject(o, "qalora_group_size", json_new_int(16));
    cJSON_AddItemToObject(o, "r", json_new_int(c->r));
    cJSON_AddItemToObject(o, "rank_pattern", exceptions_out(c->ranks, c->num_ranks, true));
    cJSON_AddItemToObject(o, "target_modules", targets_out(set, c));
    cJSON_AddItemToObject(o, "task_type", cJSON_CreateString(task_type));
    cJSON_AddItemToObject(o, "use_dora", cJSON_CreateBool(false));
    cJSON_AddItemToObject(o, "use_qalora", cJSON_CreateBool(false));
    cJSON_AddItemToObject(o, "use_rslora", cJSON_CreateBool(c->rank_stabilized));
    return o;
}
