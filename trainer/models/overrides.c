/* config_overrides: the config of a model from scratch, "k=v,k=v", by the table of its type's settings. As in
 * transformers' update_from_string a key must be one that the config has, a value of its type (true, 1, y, yes / false,
 * 0, n, no for booleans). Beyond it, what may be null can be set to null or None, and to a number again. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "trainer/base/nearest.h"
#include "trainer/models/model.h"

/* PreTrainedConfig's own, which every type has. */
static const ModelSetting common[] = {
    {.name = "architectures", .type = SETTING_FIXED},
    {.name = "bos_token_id", .type = SETTING_INT_OR_NULL},
    {.name = "chunk_size_feed_forward", .type = SETTING_INT},
    {.name = "dtype", .type = SETTING_FIXED},
    {.name = "eos_token_id", .type = SETTING_INT_OR_NULL},
    {.name = "id2label", .type = SETTING_FIXED},
    {.name = "is_encoder_decoder", .type = SETTING_BOOL},
    {.name = "label2id", .type = SETTING_FIXED},
    {.name = "model_type", .type = SETTING_FIXED},
    {.name = "num_labels", .type = SETTING_FIXED},
    {.name = "output_attentions", .type = SETTING_BOOL},
    {.name = "output_hidden_states", .type = SETTING_BOOL},
    {.name = "pad_token_id", .type = SETTING_INT_OR_NULL},
    {.name = "problem_type", .type = SETTING_TEXT_OR_NULL},
    {.name = "return_dict", .type = SETTING_BOOL},
    {.name = "tie_word_embeddings", .type = SETTING_BOOL},
    {.name = "torch_dtype", .type = SETTING_FIXED},
    {.name = "transformers_version", .type = SETTING_FIXED},
    {.name = NULL},
};

static const ModelSetting *find(const ModelSetting *list, const char *name)
{
    for (const ModelSetting *s = list; s && s->name; s++)
        if (strcmp(s->name, name) == 0) return s;
    return NULL;
}

static Status refuse_unknown(const ModelType *type, const char *name)
{
    Nearest n;
    Text all = {0};
    nearest_start(&n, name);
    for (const ModelSetting *s = type->settings; s && s->name; s++) {
        nearest_try(&n, s->name);
        if (!s->stands_for) text_printf(&all, "%s%s", all.size ? ", " : "", s->name);
    }
    for (const ModelSetting *s = common; s->name; s++) {
        if (s->type == SETTING_FIXED) continue;
        nearest_try(&n, s->name);
        text_printf(&all, ", %s", s->name);
    }
    Status st = n.word ? status_raise(STATUS_USAGE, "config_overrides: %s has no `%s`; did you mean `%s`?", type->name,
                                      name, n.word)
                       : status_raise(STATUS_USAGE, "config_overrides: %s has no `%.100s`; it has %s", type->name, name,
                                      all.data ? all.data : "");
    text_free(&all);
    return st;
}

static int read_bool(const char *text)
{
    static const char *const words[] = {"false", "true", "0", "1", "n", "y", "no", "yes"};
    for (int i = 0; i < 8; i++)
        if (strcasecmp(words[i], text) == 0) return i & 1;
    return -1;
}

/* NULL: not of the setting's type (*what: what it must be), or no memory (*what: NULL). */
static cJSON *typed(const ModelSetting *s, const char *text, const char **what)
{
    static const char *const kinds[] = {"true or false", "an integer", "an integer or null", "a number", "a text",
                                        "a text or null"};
    bool may_be_null = s->type == SETTING_INT_OR_NULL || s->type == SETTING_TEXT_OR_NULL;
    char *end = NULL;
    *what = NULL;
    if (may_be_null && (strcmp(text, "null") == 0 || strcmp(text, "None") == 0)) return cJSON_CreateNull();
    if (s->type == SETTING_BOOL) {
        int truth = read_bool(text);
        if (truth >= 0) return cJSON_CreateBool(truth);
    } else if (s->type == SETTING_INT || s->type == SETTING_INT_OR_NULL) {
        errno = 0;
        long long value = strtoll(text, &end, 10);
        if (*text && !*end && !errno && llabs(value) <= 1LL << 53) return json_new_int(value);
    } else if (s->type == SETTING_REAL) {
        double value = strtod(text, &end);
        if (*text && !*end) return json_new_real(value);
    } else if (*text) {
        return cJSON_CreateString(text);
    }
    *what = kinds[s->type];
    return NULL;
}

static Status set(const ModelType *type, cJSON *config, const char *name, const char *text)
{
    Status st = OK;
    const char *what;
    const ModelSetting *s = find(type->settings, name);
    if (!s && !(s = find(common, name))) TRY(refuse_unknown(type, name));
    if (s->type == SETTING_FIXED)
        RAISE(USAGE, "config_overrides: `%s` cannot be set so; write a config.json that has it, and name its directory "
                     "in config_name", name);
    cJSON *value = typed(s, text, &what);
    if (!value && what)
        RAISE(USAGE, "config_overrides: `%s` is `%.100s`; it must be %s", name, text, what);
    if (s->stands_for) name = s->stands_for;
    cJSON_DeleteItemFromObjectCaseSensitive(config, name);
    if (!value || !cJSON_AddItemToObject(config, name, value)) {
        cJSON_Delete(value);
        RAISE(MEMORY, "out of memory");
    }
done:
    return st;
}

Status model_config_make(const char *model_type, const char *overrides, cJSON **out)
{
    Status st = OK;
    char *text = NULL, *rest;
    const ModelType *type = model_type_find(model_type); /* NULL: model_new tells what there is */
    cJSON *config = cJSON_CreateObject();
    if (!config || !cJSON_AddStringToObject(config, "model_type", model_type) ||
        !(text = strdup(overrides ? overrides : "")))
        RAISE(MEMORY, "out of memory");
    for (char *pair = strtok_r(text, ",", &rest); pair && type; pair = strtok_r(NULL, ",", &rest)) {
        while (*pair == ' ') pair++;
        char *equals = strchr(pair, '=');
        if (!equals || equals == pair) RAISE(USAGE, "config_overrides: `%s` is not key=value", pair);
        *equals = '\0';
        if (pair[strspn(pair, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")])
            RAISE(USAGE, "config_overrides: `%s` is not the name of a key; it has letters, digits and _ only", pair);
        TRY(set(type, config, pair, equals + 1));
    }
    *out = config;
    config = NULL;
done:
    cJSON_Delete(config);
    free(text);
    return st;
}
