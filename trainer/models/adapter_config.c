/* adapter_config.json, as PEFT 0.21 reads and writes it. */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "trainer/models/adapter.h"

#define CONFIG_FILE "adapter_config.json"

bool adapter_is_at(const char *dir)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/config.json", dir);
    if (path_exists(path)) return false;
    snprintf(path, sizeof path, "%s/" CONFIG_FILE, dir);
    return path_exists(path);
}

static const cJSON *member(const cJSON *config, const char *key)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(config, key);
    return value && !cJSON_IsNull(value) ? value : NULL;
}

static Status add_name(const cJSON *item, const char *where, const char *key, Arena *arena, const char **out)
{
    if (!cJSON_IsString(item) || !item->valuestring[0])
        return status_raise(STATUS_FORMAT, "%s: `%s` must be a list of names", where, key);
    *out = arena_strdup(arena, item->valuestring);
    return *out ? OK : status_raise(STATUS_MEMORY, "%s: out of memory", where);
}

static Status read_names(const cJSON *value, const char *where, const char *key, Arena *arena, LoraNames *out)
{
    Status st = OK;
    const cJSON *item;
    const char **items;
    if (!cJSON_IsArray(value)) RAISE(FORMAT, "%s: `%s` must be a list of names", where, key);
    TRY_NEW(arena, items, cJSON_GetArraySize(value) + 1);
    out->items = items;
    cJSON_ArrayForEach(item, value) TRY(add_name(item, where, key, arena, &items[out->count++]));
done:
    return st;
}

/* A list of names, or one text. */
static Status read_names_or_text(const cJSON *config, const char *where, const char *key, Arena *arena,
                                 LoraNames *names, const char **text)
{
    const cJSON *value = member(config, key);
    *names = (LoraNames){0};
    *text = NULL;
    if (!value) return OK;
    return cJSON_IsString(value) ? add_name(value, where, key, arena, text)
                                 : read_names(value, where, key, arena, names);
}

static Status read_targets(const cJSON *config, const char *where, Arena *arena, LoraConfig *c)
{
    Status st = OK;
    const char *text, *layer;
    TRY(read_names_or_text(config, where, "target_modules", arena, &c->targets, &text));
    c->all_linear = text && strcasecmp(text, "all-linear") == 0;
    c->target_pattern = c->all_linear ? NULL : text;
    TRY(read_names_or_text(config, where, "exclude_modules", arena, &c->excludes, &c->exclude_pattern));
    TRY(read_names_or_text(config, where, "modules_to_save", arena, &c->modules_to_save, &text));
    if (text) RAISE(FORMAT, "%s: `modules_to_save` must be a list of names", where);
    TRY(read_names_or_text(config, where, "layers_pattern", arena, &c->layers_pattern, &layer));
    if (layer) {
        const char **one;
        TRY_NEW(arena, one, 1);
        *one = layer;
        c->layers_pattern = (LoraNames){one, 1};
    }
done:
    return st;
}

static Status read_layers(const cJSON *config, const char *where, Arena *arena, LoraConfig *c)
{
    Status st = OK;
    const cJSON *value = member(config, "layers_to_transform"), *item;
    int64_t *layers;
    if (!value) return OK;
    TRY_NEW(arena, layers, cJSON_IsArray(value) ? cJSON_GetArraySize(value) + 1 : 1);
    if (cJSON_IsNumber(value)) {
        layers[c->num_layers++] = (int64_t)value->valuedouble;
    } else {
        cJSON_ArrayForEach(item, value)
        {
            if (!cJSON_IsNumber(item)) RAISE(FORMAT, "%s: `layers_to_transform` must be numbers of layers", where);
            layers[c->num_layers++] = (int64_t)item->valuedouble;
        }
    }
    c->layers = layers;
    if (c->num_layers && c->target_pattern)
        RAISE(FORMAT, "%s: `layers_to_transform` goes with names in target_modules, not with a pattern", where);
done:
    return st;
}

static Status read_exceptions(const cJSON *config, const char *where, const char *key, Arena *arena,
                              const LoraException **list, int *count)
{
    Status st = OK;
    const cJSON *value = member(config, key), *item;
    LoraException *out;
    if (!value) return OK;
    if (!cJSON_IsObject(value)) RAISE(FORMAT, "%s: `%s` must be an object of pattern: number", where, key);
    TRY_NEW(arena, out, cJSON_GetArraySize(value) + 1);
    cJSON_ArrayForEach(item, value)
    {
        if (!cJSON_IsNumber(item) || !(item->valuedouble > 0) || item->valuedouble > 1e6)
            RAISE(FORMAT, "%s: `%s` of %s must be a number above 0", where, key, item->string);
        out[*count] = (LoraException){arena_strdup(arena, item->string), item->valuedouble};
        TRY_MEMORY(out[(*count)++].pattern);
    }
    *list = out;
done:
    return st;
}

static Status read_start(const cJSON *config, const char *where, LoraConfig *c)
{
    const cJSON *value = member(config, "init_lora_weights");
    if (!value || cJSON_IsTrue(value)) return OK;
    c->random_b = cJSON_IsFalse(value);
    c->gaussian = cJSON_IsString(value) && strcmp(value->valuestring, "gaussian") == 0;
    if (c->random_b || c->gaussian) return OK;
    return status_raise(STATUS_UNSUPPORTED,
        "%s: `init_lora_weights` is %s; hone has true, false and \"gaussian\", which "
                        "leave the model's own weights alone", where,
                        cJSON_IsString(value) ? value->valuestring : "something else");
}

/* Members that change nothing here, or nothing at their default; all others must be null, false or empty. */
static bool is_known(const cJSON *m)
{
    static const char *const known[] = {
        "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules", "exclude_modules", "modules_to_save",
        "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern", "init_lora_weights", "peft_type",
        "task_type", "base_model_name_or_path", "fan_in_fan_out", "inference_mode", "revision", "peft_version",
        "auto_mapping", "megatron_core", "qalora_group_size", "ensure_weight_tying"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(m->string, known[i]) == 0) return true;
    return strcmp(m->string, "bias") == 0 && cJSON_IsString(m) && strcmp(m->valuestring, "none") == 0;
}

static Status refuse_others(const cJSON *config, const char *where)
{
    const cJSON *m;
    cJSON_ArrayForEach(m, config)
    {
        bool empty = (cJSON_IsObject(m) || cJSON_IsArray(m)) && !m->child;
        if (is_known(m) || cJSON_IsNull(m) || cJSON_IsFalse(m) || empty) continue;
        return status_raise(STATUS_UNSUPPORTED,
                    "%s: `%s` is not something hone has; it has LoRA and rank-stabilized LoRA on linear layers, "
                            "bias \"none\", and modules trained whole (modules_to_save)", where, m->string);
    }
    return OK;
}

Status adapter_parse(const cJSON *config, const char *where, const char *name, Arena *arena, Adapter *out)
{
    Status st = OK;
    LoraConfig *c = &out->lora;
    const char *type, *base, *task;
    *out = (Adapter){.lora = {.name = arena_strdup(arena, name)}};
    TRY_MEMORY(c->name);
    if (!cJSON_IsObject(config)) RAISE(FORMAT, "%s: must be an object", where);
    TRY(json_string_or(config, where, "peft_type", "LORA", &type));
    if (strcmp(type, "LORA")) RAISE(UNSUPPORTED, "%s: peft_type `%.40s` is not one that hone has: LORA", where, type);
    TRY(refuse_others(config, where));
    TRY(json_int_or(config, where, "r", 8, &c->r));
    TRY(json_real_or(config, where, "lora_alpha", 8, &c->alpha));
    TRY(json_real_or(config, where, "lora_dropout", 0, &c->dropout));
    TRY(json_bool_or(config, where, "use_rslora", false, &c->rank_stabilized));
    if (c->r < 1 || c->r > 65536 || !(c->alpha > 0 && isfinite(c->alpha)) || !(c->dropout >= 0 && c->dropout < 1))
        RAISE(FORMAT,
            "%s: r is %lld, lora_alpha %g and lora_dropout %g; they must be 1 to 65536, above 0, and at least "
                      "0 and below 1", where, (long long)c->r, c->alpha, c->dropout);
    TRY(read_targets(config, where, arena, c));
    TRY(read_layers(config, where, arena, c));
    TRY(read_exceptions(config, where, "rank_pattern", arena, &c->ranks, &c->num_ranks));
    TRY(read_exceptions(config, where, "alpha_pattern", arena, &c->alphas, &c->num_alphas));
    TRY(read_start(config, where, c));
    TRY(json_string_or(config, where, "base_model_name_or_path", NULL, &base));
    TRY(json_string_or(config, where, "task_type", "CAUSAL_LM", &task));
    if (base) TRY_MEMORY(out->base = arena_strdup(arena, base));
    TRY_MEMORY(out->task_type = arena_strdup(arena, task));
done:
    return st;
}

Status adapter_read(const char *dir, const char *name, Arena *arena, Adapter *out)
{
    Status st = OK;
    cJSON *config = NULL;
    char *path = path_join(arena, dir, CONFIG_FILE);
    TRY_MEMORY(path);
    if (!path_exists(path))
        RAISE(MISSING, "%s: has no " CONFIG_FILE "; an adapter is a directory with it and adapter_model.safetensors",
              dir);
    TRY(json_read_file(path, &config));
    TRY(adapter_parse(config, path, name, arena, out));
    TRY_MEMORY(out->lora.dir = arena_strdup(arena, dir));
    out->lora.lenient = true;
done:
    cJSON_Delete(config);
    return st;
}

Status adapters_read(const char *const *dirs, int count, Arena *arena, LoraSet **out)
{
    Status st = OK;
    LoraConfig *configs;
    LoraSet *set;
    *out = NULL;
    if (!count) return OK;
    TRY_NEW(arena, configs, count);
    TRY_NEW(arena, set, 1);
    for (int i = 0; i < count; i++) {
        Adapter adapter;
        char name[32] = "default";
        if (i) snprintf(name, sizeof name, "adapter_%d", i + 1);
        TRY(adapter_read(dirs[i], name, arena, &adapter));
        configs[i] = adapter.lora;
        if (count > 1 && configs[i].modules_to_save.count)
            RAISE(UNSUPPORTED, "%s: trains %s whole (modules_to_save), so it cannot be used with another adapter",
                  dirs[i], configs[i].modules_to_save.items[0]);
    }
    TRY(lora_set_init(set, arena, configs, count));
    *out = set;
done:
    return st;
}

Status adapters_resolve(const char *dir, const char *const *adapters, int count, Arena *arena, LoraSet **out,
                        const char **model)
{
    Status st = OK;
    Adapter first;
    const char **all;
    *model = dir;
    if (!adapter_is_at(dir)) return adapters_read(adapters, count, arena, out);
    TRY(adapter_read(dir, "default", arena, &first));
    if (!first.base || !path_is_dir(first.base))
        RAISE(MISSING,
            "%s: is an adapter whose model is %s, which is no directory here; give the model's directory, and "
                       "this one as the adapter", dir, first.base ? first.base : "not named");
    TRY_NEW(arena, all, count + 1);
    all[0] = dir;
    for (int i = 0; i < count; i++) all[i + 1] = adapters[i];
    TRY(adapters_read(all, count + 1, arena, out));
    *model = first.base;
done:
    return st;
}
