/* How the layers of settings are laid over each other. transformers 5.23: generation/utils.py
 * (_prepare_generation_config, _prepare_generated_length), pipelines/base.py (_prepare_generate_kwargs). */
#include <stdlib.h>
#include <string.h>

#include "trainer/generate/generation_internal.h"

static bool has(const cJSON *settings, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(settings, name);
    return value && !cJSON_IsNull(value);
}

static bool changes_nothing(const GenerationRefused *r, const cJSON *value)
{
    if (!value || cJSON_IsNull(value) || cJSON_IsFalse(value)) return true;
    if (cJSON_IsArray(value)) return !value->child;
    return r->none && cJSON_IsNumber(value) && value->valuedouble == strtod(r->none, NULL);
}

static Status refuse(const cJSON *call, const cJSON *model, const char *where)
{
    int count;
    const GenerationRefused *all = generation_refused_all(&count);
    for (int i = 0; i < count; i++) {
        const char *name = all[i].name;
        const cJSON *mine = cJSON_GetObjectItemCaseSensitive(call, name),
                    *its = cJSON_GetObjectItemCaseSensitive(model, name);
        if (mine && !changes_nothing(&all[i], mine))
            return status_raise(STATUS_USAGE, "%s is not something hone has; %s", name, all[i].instead);
        if (!mine && !changes_nothing(&all[i], its))
            return status_raise(STATUS_UNSUPPORTED,
                                "%s: %s is not something hone has; %s. To generate without it, give --%s %s", where,
                                name, all[i].instead, name, all[i].none ? all[i].none : "null");
    }
    return OK;
}

/* 0 is fine where nothing is drawn. */
static Status check_temperature(const cJSON *call, const char *where, const GenerationConfig *c)
{
    bool mine = has(call, "temperature");
    if (!c->do_sample || c->temperature > 0) return OK;
    return generation_wrong(&(GenerationSource){mine ? STATUS_USAGE : STATUS_FORMAT, mine ? "" : where, NULL},
                            generation_key_find("temperature"),
                            "above 0; for the likeliest token each time set do_sample to false");
}

Status generation_config_resolve(const cJSON *call, const cJSON *model, const char *where, GenerationDefaults defaults,
                                 Arena *arena, GenerationConfig *out)
{
    Status st = OK;
    int count;
    const GenerationKey *keys = generation_keys(&count);
    const GenerationSource mine = {STATUS_USAGE, "", arena}, its = {STATUS_FORMAT, where, arena};
    *out = (GenerationConfig){0};
    for (int i = 0; i < count; i++) generation_switch_off(&keys[i], out);
    out->top_k = 50;
    if (defaults != DEFAULTS_LIBRARY) out->do_sample = true, out->temperature = 0.7;
    TRY(refuse(call, model, where));
    for (int i = 0; i < count; i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(call, keys[i].name);
        if (value && cJSON_IsNull(value)) generation_switch_off(&keys[i], out);
        else if (value) TRY(generation_store(&mine, &keys[i], value, out));
        else if (has(model, keys[i].name))
            TRY(generation_store(&its, &keys[i], cJSON_GetObjectItemCaseSensitive(model, keys[i].name), out));
    }
    TRY(check_temperature(call, where, out));
    if (defaults != DEFAULTS_LIBRARY && out->max_new_tokens < 0 && out->max_length < 0)
        out->max_new_tokens = defaults == DEFAULTS_CHAT ? 1024 : 256;
    if (!out->do_sample && out->num_return_sequences > 1)
        RAISE(USAGE, "num_return_sequences %lld needs do_sample true: greedy search finds one answer",
              (long long)out->num_return_sequences);
done:
    return st;
}
