/* Values of the fields, by their types: from JSON, and from an option's text. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/generate/generation_internal.h"

enum { LIST_MOST = 100000, BIASES_MOST = 4096 };

Status generation_wrong(const GenerationSource *s, const GenerationKey *key, const char *must_be)
{
    return status_raise(s->code, "%s%s%s must be %s", s->where, *s->where ? ": " : "", key->name, must_be);
}

static bool in_range(const GenerationKey *key, double x)
{
    return x <= key->most && (key->above ? x > key->least : x >= key->least);
}

static Status check_number(const GenerationSource *s, const GenerationKey *key, const cJSON *value)
{
    bool integer = key->type != GENERATION_REAL;
    double x = cJSON_IsNumber(value) ? value->valuedouble : NAN;
    const char *kind = integer ? "an integer" : "a number", *where = s->where, *colon = *where ? ": " : "";
    if (x == key->off && key->type == GENERATION_INT) return OK; /* -1: as good as absent */
    if (isfinite(x) && in_range(key, x) && (!integer || x == trunc(x))) return OK;
    if (key->least == 0 && key->above)
        return key->most == 1 ? generation_wrong(s, key, "a number above 0, at most 1")
                              : generation_wrong(s, key, "a number above 0");
    if (key->most >= INT32_MAX)
        return status_raise(s->code, "%s%s%s must be %s, %.0f or more", where, colon, key->name, kind, key->least);
    return status_raise(s->code, "%s%s%s must be %s from %.10g to %.10g", where, colon, key->name, kind, key->least,
                        key->most);
}

static Status list_length(const GenerationSource *s, const GenerationKey *key, const cJSON *list, int most, int *out)
{
    *out = cJSON_IsArray(list) ? cJSON_GetArraySize(list) : 1;
    if (*out <= most) return OK;
    return status_raise(s->code, "%s%s%s has %d entries; %d at most", s->where, *s->where ? ": " : "", key->name, *out,
                        most);
}

/* Ids of a key whose numbers are ids; -1 is none, in some files. */
static Status store_ids(const GenerationSource *s, const GenerationKey *key, const cJSON *value, IdList *out)
{
    Status st = OK;
    int count;
    TRY(list_length(s, key, value, LIST_MOST, &count));
    const cJSON *item = cJSON_IsArray(value) ? value->child : value;
    *out = (IdList){0};
    TRY_NEW(s->arena, out->ids, count + 1);
    for (int i = 0; i < count; i++, item = item->next) {
        if (cJSON_IsNumber(item) && item->valuedouble == -1) continue;
        TRY(check_number(s, key, item));
        out->ids[out->count++] = (int32_t)item->valuedouble;
    }
done:
    return st;
}

/* A list of ids that must not be empty. */
static Status store_sequence(const GenerationSource *s, const GenerationKey *key, const cJSON *value, IdList *out)
{
    Status st = OK;
    if (!cJSON_IsArray(value) || !value->child) return generation_wrong(s, key, "lists of ids: [[3], [7, 12]]");
    TRY(store_ids(s, key, value, out));
    if (out->count != cJSON_GetArraySize(value)) TRY(generation_wrong(s, key, "lists of ids, each 0 or more"));
done:
    return st;
}

static bool same(const IdList *a, const IdList *b)
{
    return a->count == b->count && !memcmp(a->ids, b->ids, (size_t)a->count * sizeof *a->ids);
}

/* transformers 5 writes the biases as pairs; a call of Python's may have a mapping, which JSON has not. Of equal
 * sequences the last counts. */
static Status store_biases(const GenerationSource *s, const GenerationKey *key, const cJSON *value, BiasList *out)
{
    Status st = OK;
    int count;
    bool banned = key->type == GENERATION_SEQUENCES;
    if (!cJSON_IsArray(value))
        return generation_wrong(s, key, banned ? "lists of ids: [[3], [7, 12]]" : "lists: [[[7, 12], -1.5], ...]");
    TRY(list_length(s, key, value, banned ? LIST_MOST : BIASES_MOST, &count));
    *out = (BiasList){0};
    TRY_NEW(s->arena, out->items, count + 1);
    for (const cJSON *item = value->child; item; item = item->next) {
        SequenceBias *b = &out->items[out->count++];
        const cJSON *bias = banned ? NULL : cJSON_GetArrayItem(item, 1);
        if (!banned && (cJSON_GetArraySize(item) != 2 || !cJSON_IsNumber(bias) || isnan(bias->valuedouble)))
            TRY(generation_wrong(s, key, "lists, each of ids and a number: [[[7, 12], -1.5], ...]"));
        b->bias = banned ? -INFINITY : (float)bias->valuedouble;
        TRY(store_sequence(s, key, banned ? item : item->child, &b->sequence));
        for (SequenceBias *old = out->items; !banned && old < b; old++)
            if (same(&old->sequence, &b->sequence)) old->bias = 0;
    }
done:
    return st;
}

static Status store_strings(const GenerationSource *s, const GenerationKey *key, const cJSON *value, StringList *out)
{
    Status st = OK;
    int count;
    TRY(list_length(s, key, value, LIST_MOST, &count));
    const cJSON *item = cJSON_IsArray(value) ? value->child : value;
    *out = (StringList){0};
    TRY_NEW(s->arena, out->strings, count + 1);
    for (int i = 0; i < count; i++, item = item->next) {
        if (!cJSON_IsString(item) || !*item->valuestring)
            TRY(generation_wrong(s, key, "a text or a list of texts, none of them empty"));
        TRY_MEMORY(out->strings[out->count++] = arena_strdup(s->arena, item->valuestring));
    }
done:
    return st;
}

static Status store_decay(const GenerationSource *s, const GenerationKey *key, const cJSON *value,
                          GenerationConfig *out)
{
    const cJSON *start = cJSON_GetArrayItem(value, 0), *factor = cJSON_GetArrayItem(value, 1);
    if (!cJSON_IsArray(value) || cJSON_GetArraySize(value) != 2 || !cJSON_IsNumber(start) || !cJSON_IsNumber(factor) ||
        start->valuedouble != trunc(start->valuedouble) || !in_range(key, start->valuedouble) ||
        !isfinite(factor->valuedouble))
        return generation_wrong(s, key, "[START, FACTOR]: an integer, 0 or more, and a number");
    out->decay_start = (int64_t)start->valuedouble;
    out->decay_factor = factor->valuedouble;
    return OK;
}

Status generation_store(const GenerationSource *s, const GenerationKey *key, const cJSON *value, GenerationConfig *out)
{
    Status st = OK;
    void *at = (char *)out + key->offset;
    switch (key->type) {
    case GENERATION_IDS: return store_ids(s, key, value, at);
    case GENERATION_SEQUENCES:
    case GENERATION_BIASES: return store_biases(s, key, value, at);
    case GENERATION_STRINGS: return store_strings(s, key, value, at);
    case GENERATION_DECAY: return store_decay(s, key, value, out);
    case GENERATION_BOOL:
        if (!cJSON_IsBool(value)) return generation_wrong(s, key, "true or false");
        *(bool *)at = cJSON_IsTrue(value);
        return OK;
    case GENERATION_INT:
        TRY(check_number(s, key, value));
        *(int64_t *)at = (int64_t)value->valuedouble;
        return OK;
    case GENERATION_REAL:
        TRY(check_number(s, key, value));
        *(double *)at = value->valuedouble;
        return OK;
    }
done:
    return st;
}

void generation_switch_off(const GenerationKey *key, GenerationConfig *out)
{
    void *at = (char *)out + key->offset;
    switch (key->type) {
    case GENERATION_IDS: *(IdList *)at = (IdList){0}; break;
    case GENERATION_SEQUENCES:
    case GENERATION_BIASES: *(BiasList *)at = (BiasList){0}; break;
    case GENERATION_STRINGS: *(StringList *)at = (StringList){0}; break;
    case GENERATION_BOOL: *(bool *)at = false; break;
    case GENERATION_REAL: *(double *)at = key->off; break;
    case GENERATION_INT:
    case GENERATION_DECAY: *(int64_t *)at = (int64_t)key->off; break;
    }
}

/* ---- options ----------------------------------------------------------------------------------------------------- */

/* Where the key takes texts, a text is itself unless it begins as a list of them does. */
static Status value_of(const GenerationKey *key, const char *name, const char *text, cJSON **out)
{
    bool truth = key && key->type == GENERATION_BOOL, texts = key && key->type == GENERATION_STRINGS;
    char *end;
    double number = strtod(text, &end);
    *out = NULL;
    if (!strcasecmp(text, "null") || !strcasecmp(text, "none")) *out = cJSON_CreateNull();
    else if (texts ? !strncmp(text, "[\"", 2) : *text == '[' || *text == '{')
        return json_parse(text, strlen(text), name, out);
    else if (texts) *out = cJSON_CreateString(text);
    else if (!strcasecmp(text, "true") || (truth && (!strcasecmp(text, "yes") || !strcmp(text, "1"))))
        *out = cJSON_CreateTrue();
    else if (!strcasecmp(text, "false") || (truth && (!strcasecmp(text, "no") || !strcmp(text, "0"))))
        *out = cJSON_CreateFalse();
    else if (*text && !*end) *out = cJSON_CreateNumber(number);
    else *out = cJSON_CreateString(text);
    return *out ? OK : status_raise(STATUS_MEMORY, "out of memory");
}

Status generation_settings_put(cJSON *settings, const char *name, const char *text)
{
    Status st = OK;
    const GenerationKey *key = generation_key_find(name);
    cJSON *value = NULL;
    Arena *arena = NULL;
    GenerationConfig scratch;
    if (!key && !generation_refused_find(name)) RAISE(USAGE, "no generation parameter `%.100s`", name);
    TRY(value_of(key, name, text, &value));
    TRY(arena_new(&arena));
    if (key && !cJSON_IsNull(value))
        TRY(generation_store(&(GenerationSource){STATUS_USAGE, "", arena}, key, value, &scratch));
    cJSON_DeleteItemFromObjectCaseSensitive(settings, name);
    if (!cJSON_AddItemToObject(settings, name, value)) RAISE(MEMORY, "out of memory");
    value = NULL;
done:
    cJSON_Delete(value);
    arena_free(arena);
    return st;
}
