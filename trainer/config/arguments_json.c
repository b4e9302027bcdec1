/* TrainingArguments as JSON: training_args.json, and the text by which ranks find out that they run the same. Tokens
 * for the Hub have no field yet; when they get one, training_args.json must show "<HUB_TOKEN>" instead (R15). */
#include <math.h>
#include <string.h>

#include "trainer/config/keys.h"
#include "trainer/config/settings.h"

static cJSON *list_to_json(const TextList *list)
{
    cJSON *array = cJSON_CreateArray();
    for (int i = 0; i < list->count && array; i++) cJSON_AddItemToArray(array, cJSON_CreateString(list->items[i]));
    return array;
}

static cJSON *choice_to_json(const Key *key, int64_t position)
{
    char word[64] = "";
    const char *at = key->choices;
    while (position-- > 0 && strchr(at, ',')) at = strchr(at, ',') + 1;
    size_t n = strcspn(at, ",");
    memcpy(word, at, n < sizeof word ? n : sizeof word - 1);
    return cJSON_CreateString(word);
}

static cJSON *value_to_json(const Key *key, const Value *v)
{
    switch (key->type) {
    case TYPE_BOOL: return cJSON_CreateBool(v->integer != 0);
    case TYPE_TRI: return v->integer < 0 ? cJSON_CreateNull() : cJSON_CreateBool(v->integer != 0);
    case TYPE_INT: return v->integer == ARG_UNSET ? cJSON_CreateNull() : json_new_int(v->integer);
    case TYPE_STEPS:
        if (fabs(v->real) < 9007199254740992.0 && v->real == trunc(v->real)) return json_new_int((int64_t)v->real);
        /* fall through */
    case TYPE_REAL: return isnan(v->real) ? cJSON_CreateNull() : json_new_real(v->real);
    case TYPE_DURATION: return v->real == 0 ? cJSON_CreateNull() : json_new_real(v->real);
    case TYPE_CHOICE: return choice_to_json(key, v->integer);
    case TYPE_LIST:
    case TYPE_PATHS: return list_to_json(&v->list);
    case TYPE_MAPPING: return v->mapping ? cJSON_Duplicate(v->mapping, true) : cJSON_CreateNull();
    default: return v->text ? cJSON_CreateString(v->text) : cJSON_CreateNull();
    }
}

static cJSON *member(const TrainingArguments *a, const Key *key)
{
    Value value;
    value_load(key, a, &value);
    return value_to_json(key, &value);
}

cJSON *arguments_to_json(const TrainingArguments *a)
{
    cJSON *object = cJSON_CreateObject();
    const Key *key;
    for (int i = 0; object && (key = key_at(i)); i++) {
        if (key->offset < 0) continue; /* at its default, or without effect */
        cJSON *item = member(a, key);
        if (!item || !cJSON_AddItemToObject(object, key->name, item)) {
            cJSON_Delete(item);
            cJSON_Delete(object);
            return NULL;
        }
    }
    return object;
}

void arguments_fingerprint(const TrainingArguments *a, Text *text)
{
    /* What may differ between ranks: what it says to people, and what belongs to a host. */
    static const char local[] =
        "num_threads,log_level,disable_tqdm,logging_dir,cache_dir,overwrite_cache,preprocessing_num_workers";
    const Key *key;
    for (int i = 0; (key = key_at(i)); i++) {
        if (key->offset < 0 || choice_find(local, key->name, strlen(key->name)) >= 0) continue;
        cJSON *item = member(a, key);
        if (!item) text->failed = true;
        text_printf(text, "%s=", key->name);
        if (item) json_add(text, item, 0, true);
        text_add(text, "\n", 1);
        cJSON_Delete(item);
    }
}
