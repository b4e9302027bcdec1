/* generation_config.json of a model directory; without it, what config.json says of generation, as transformers does
 * (GenerationConfig.from_model_config). Token ids that are still missing come from config.json and at last from the
 * tokenizer, where transformers has none: a model trained from scratch may name none, and its texts end all the
 * same. */
#include <stdio.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/generate/generation_config.h"

static const char *const token_ids[] = {"eos_token_id", "bos_token_id", "pad_token_id"};
enum { TOKEN_IDS = sizeof token_ids / sizeof *token_ids };

static bool named(const cJSON *settings, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(settings, name);
    return value && !cJSON_IsNull(value);
}

static Status put(cJSON *settings, const char *name, cJSON *value)
{
    cJSON_DeleteItemFromObjectCaseSensitive(settings, name);
    if (value && cJSON_AddItemToObject(settings, name, value)) return OK;
    cJSON_Delete(value);
    return status_raise(STATUS_MEMORY, "out of memory");
}

static Status read_object(Arena *arena, const char *dir, const char *name, cJSON **out)
{
    Status st = OK;
    *out = NULL;
    char *path = path_join(arena, dir, name);
    TRY_MEMORY(path);
    if (!path_exists(path)) goto done;
    TRY(json_read_file(path, out));
    if (!cJSON_IsObject(*out)) RAISE(FORMAT, "%s: an object is expected", path);
done:
    return st;
}

/* Fields of generation that stand in a config.json, as files of transformers 4 have them. */
static Status take_from_config(cJSON *settings, const cJSON *config)
{
    Status st = OK;
    int num_keys, num_refused;
    const GenerationKey *keys = generation_keys(&num_keys);
    const char *const *refused = generation_refused(&num_refused);
    for (int i = 0; i < num_keys + num_refused; i++) {
        const char *name = i < num_keys ? keys[i].name : refused[i - num_keys];
        if (named(config, name))
            TRY(put(settings, name, cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(config, name), true)));
    }
done:
    return st;
}

Status generation_settings_read(const char *dir, const Tokenizer *tokenizer, cJSON **out)
{
    Status st = OK;
    Arena *arena = NULL;
    cJSON *settings = NULL, *config = NULL;
    TRY(arena_new(&arena));
    TRY(read_object(arena, dir, "generation_config.json", &settings));
    TRY(read_object(arena, dir, "config.json", &config));
    bool alone = !settings;
    if (alone && !(settings = cJSON_CreateObject())) RAISE(MEMORY, "out of memory");
    if (alone) TRY(take_from_config(settings, config));
    const TokenizerConfig *words = tokenizer ? tokenizer_config(tokenizer) : NULL;
    const int32_t own[TOKEN_IDS] = {words ? words->eos_id : -1, words ? words->bos_id : -1, words ? words->pad_id : -1};
    for (int i = 0; i < TOKEN_IDS; i++) {
        if (named(settings, token_ids[i])) continue;
        if (named(config, token_ids[i]))
            TRY(put(settings, token_ids[i],
                    cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(config, token_ids[i]), true)));
        else if (own[i] >= 0)
            TRY(put(settings, token_ids[i], json_new_int(own[i])));
    }
    *out = settings;
    settings = NULL;
done:
    cJSON_Delete(settings);
    cJSON_Delete(config);
    arena_free(arena);
    return st;
}
