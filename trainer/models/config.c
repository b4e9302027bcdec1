/* config.json: read, and written again. */
#include <string.h>

#include "trainer/models/model.h"

/* It is copied beside what is saved: what is wrong with it is better known now than at the first checkpoint. */
static Status check_generation_config(Arena *arena, const char *dir)
{
    Status st = OK;
    cJSON *generation = NULL;
    char *path = path_join(arena, dir, "generation_config.json");
    TRY_MEMORY(path);
    if (!path_exists(path)) goto done;
    TRY(json_read_file(path, &generation));
    if (!cJSON_IsObject(generation)) RAISE(FORMAT, "%s: must hold a JSON object; get it again, or remove it", path);
done:
    cJSON_Delete(generation);
    return st;
}

Status model_config_read(const char *dir, cJSON **out)
{
    Status st = OK;
    Arena *arena = NULL;
    *out = NULL;
    TRY(arena_new(&arena));
    if (!path_exists(dir))
        RAISE(MISSING,
              "%s: no such directory; model_name_or_path wants a directory in the Hugging Face format (config.json, "
              "model.safetensors, tokenizer.json)",
              dir);
    char *path = path_join(arena, dir, "config.json");
    TRY_MEMORY(path);
    if (!path_exists(path)) RAISE(MISSING, "%s: there is no config.json in it; is this a model directory?", dir);
    TRY(json_read_file(path, out));
    if (!cJSON_IsObject(*out)) RAISE(FORMAT, "%s: must hold a JSON object; get it again", path);
    TRY(check_generation_config(arena, dir));
done:
    if (st) {
        cJSON_Delete(*out);
        *out = NULL;
    }
    arena_free(arena);
    return st;
}

static void replace(cJSON *object, const char *key, cJSON *value)
{
    if (cJSON_GetObjectItemCaseSensitive(object, key)) cJSON_ReplaceItemInObjectCaseSensitive(object, key, value);
    else cJSON_AddItemToObject(object, key, value);
}

cJSON *model_config_out(const Model *m)
{
    cJSON *config = cJSON_Duplicate(m->config, true), *classes = cJSON_CreateArray();
    if (!config || !classes) {
        cJSON_Delete(config);
        cJSON_Delete(classes);
        return NULL;
    }
    cJSON_AddItemToArray(classes, cJSON_CreateString(m->type->architecture));
    replace(config, "architectures", classes);
    cJSON_DeleteItemFromObjectCaseSensitive(config, "torch_dtype"); /* the old name of dtype */
    replace(config, "dtype", cJSON_CreateString("float32"));
    return config;
}

Status config_activation(const cJSON *config, const char *where, const char *key, const char *fallback, Activation *out)
{
    const char *name;
    Status st = json_string_or(config, where, key, fallback, &name);
    return st ? st : activation_find(name, where, out);
}

Status config_positive(const cJSON *config, const char *where, const char *key, int64_t fallback, int64_t *out)
{
    Status st = json_int_or(config, where, key, fallback, out);
    if (!st && (*out < 1 || *out > INT32_MAX))
        st = status_raise(STATUS_FORMAT, "%s: `%s` is %lld; it must be between 1 and 2147483647", where, key,
                          (long long)*out);
    return st;
}
