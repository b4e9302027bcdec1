/* The table of fields, and how the layers are laid over each other. transformers 5.23:
 * generation/configuration_utils.py (defaults, checks), generation/utils.py (_prepare_generation_config,
 * _prepare_generated_length), pipelines/base.py (_prepare_generate_kwargs). */
#include "trainer/generate/generation_config.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define MOST 1e15
#define IN(field) offsetof(GenerationConfig, field)
static const GenerationKey keys[] = {
    {"max_new_tokens", GENERATION_INT, IN(max_new_tokens), -1, 1, MOST, false,
     "tokens to generate at most (256 unless max_length is set)"},
    {"max_length", GENERATION_INT, IN(max_length), -1, 1, MOST, false, "the same, the prompt's tokens counted"},
    {"min_new_tokens", GENERATION_INT, IN(min_new_tokens), -1, 0, MOST, false, "no end before so many"},
    {"min_length", GENERATION_INT, IN(min_length), -1, 0, MOST, false, "the same, the prompt's tokens counted"},
    {"do_sample", GENERATION_BOOL, IN(do_sample), 0, 0, 1, false, "draw tokens (true); false: the likeliest each time"},
    {"temperature", GENERATION_REAL, IN(temperature), 1, 0, MOST, false,
     "scores are divided by it before drawing (0.7)"},
    {"top_k", GENERATION_INT, IN(top_k), 0, 0, MOST, false, "draw from the k likeliest (50; 0: from all)"},
    {"top_p", GENERATION_REAL, IN(top_p), 1, 0, 1, false, "draw from the likeliest that make up p together (1)"},
    {"min_p", GENERATION_REAL, IN(min_p), 0, 0, 1, false, "draw from those as likely as min_p times the likeliest (0)"},
    {"repetition_penalty", GENERATION_REAL, IN(repetition_penalty), 1, 0, MOST, true,
     "above 1: tokens that are there already are less likely (1)"},
    {"no_repeat_ngram_size", GENERATION_INT, IN(no_repeat_ngram_size), 0, 0, MOST, false,
     "no n tokens in a row occur twice (0: they may)"},
    {"num_return_sequences", GENERATION_INT, IN(num_return_sequences), 1, 1, 100000, false, "answers to each text (1)"},
    {"eos_token_id", GENERATION_IDS, IN(eos_token_id), 0, 0, INT32_MAX, false,
     "an id, or [id, id]: these end a text (the model's)"},
    {"bos_token_id", GENERATION_INT, IN(bos_token_id), -1, 0, INT32_MAX, false,
     "what an empty text begins with (the model's)"},
    {"pad_token_id", GENERATION_INT, IN(pad_token_id), -1, -1, INT32_MAX, false, "accepted; nothing is padded here"},
    {"seed", GENERATION_INT, IN(seed), 42, -MOST, MOST, false,
     "of the draws (42): the same seed gives the same answers"},
};
enum { KEYS = sizeof keys / sizeof *keys };

/* What hone lacks: `none` is the value besides null that changes nothing. */
static const struct {
    const char *name, *none, *instead;
} refused[] = {
    {"num_beams", "1", "there is no beam search; greedy search is do_sample false"},
    {"num_beam_groups", "1", "there is no beam search"},
    {"penalty_alpha", "0", "there is no contrastive search"},
    {"diversity_penalty", "0", "there is no beam search"},
    {"typical_p", "1", "top_p and min_p are near it"},
    {"epsilon_cutoff", "0", "min_p is near it"},
    {"eta_cutoff", "0", "min_p is near it"},
    {"top_h", NULL, "top_p and min_p are near it"},
    {"encoder_repetition_penalty", "1", "repetition_penalty is near it"},
    {"encoder_no_repeat_ngram_size", "0", "no_repeat_ngram_size is near it"},
    {"bad_words_ids", NULL, "leave it out"},
    {"force_words_ids", NULL, "leave it out"},
    {"constraints", NULL, "leave it out"},
    {"sequence_bias", NULL, "leave it out"},
    {"forced_bos_token_id", NULL, "put its text at the end of the prompt"},
    {"forced_eos_token_id", NULL, "leave it out"},
    {"suppress_tokens", NULL, "leave it out"},
    {"begin_suppress_tokens", NULL, "leave it out"},
    {"exponential_decay_length_penalty", NULL, "max_new_tokens ends a text"},
    {"guidance_scale", "1", "leave it out"},
    {"watermarking_config", NULL, "leave it out"},
    {"stop_strings", NULL, "cut the answer at the text"},
    {"max_time", NULL, "max_new_tokens ends a text"},
    {"token_healing", "false", "leave it out"},
    {"dola_layers", NULL, "leave it out"},
    {"remove_invalid_values", "false", "leave it out"},
};
enum { REFUSED = sizeof refused / sizeof *refused };

const GenerationKey *generation_keys(int *count)
{
    *count = KEYS;
    return keys;
}

const char *const *generation_refused(int *count)
{
    static const char *names[REFUSED]; /* every caller writes the same */
    for (int i = 0; i < REFUSED; i++) names[i] = refused[i].name;
    *count = REFUSED;
    return names;
}

static const GenerationKey *key_find(const char *name)
{
    for (int i = 0; i < KEYS; i++)
        if (strcmp(keys[i].name, name) == 0) return &keys[i];
    return NULL;
}

static int refused_find(const char *name)
{
    for (int i = 0; i < REFUSED; i++)
        if (strcmp(refused[i].name, name) == 0) return i;
    return -1;
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

/* `code`: whose fault a wrong value is. */
static Status wrong(Status code, const char *where, const GenerationKey *key, const char *what)
{
    return status_raise(code, "%s%s%s must be %s", where, *where ? ": " : "", key->name, what);
}

static bool in_range(const GenerationKey *key, double x)
{
    return x <= key->most && (key->above ? x > key->least : x >= key->least);
}

static Status check_number(Status code, const char *where, const GenerationKey *key, const cJSON *value)
{
    bool integer = key->type != GENERATION_REAL;
    double x = cJSON_IsNumber(value) ? value->valuedouble : NAN;
    const char *kind = integer ? "an integer" : "a number";
    if (x == key->off && key->type == GENERATION_INT) return OK; /* -1: as good as absent */
    if (isfinite(x) && in_range(key, x) && (!integer || x == trunc(x))) return OK;
    if (key->least == 0 && key->above) return wrong(code, where, key, "a number above 0");
    if (key->most >= INT32_MAX)
        return status_raise(code, "%s%s%s must be %s, %.0f or more", where, *where ? ": " : "", key->name, kind,
                            key->least);
    return status_raise(code, "%s%s%s must be %s from %.10g to %.10g", where, *where ? ": " : "", key->name, kind,
                        key->least, key->most);
}

static Status store_ids(Status code, const char *where, const GenerationKey *key, const cJSON *value,
                        GenerationConfig *out)
{
    Status st = OK;
    out->eos_count = 0;
    int many = cJSON_IsArray(value) ? cJSON_GetArraySize(value) : 1;
    const cJSON *item = cJSON_IsArray(value) ? value->child : value;
    if (many > GENERATION_EOS_MOST)
        return status_raise(code, "%s%s%s has %d ids; %d at most", where, *where ? ": " : "", key->name, many,
                            GENERATION_EOS_MOST);
    for (int i = 0; i < many; i++, item = item->next) {
        if (cJSON_IsNumber(item) && item->valuedouble == -1) continue; /* none, in some files */
        TRY(check_number(code, where, key, item));
        out->eos_token_id[out->eos_count++] = (int32_t)item->valuedouble;
    }
done:
    return st;
}

static Status store(Status code, const char *where, const GenerationKey *key, const cJSON *value, GenerationConfig *out)
{
    Status st = OK;
    char *at = (char *)out + key->offset;
    if (key->type == GENERATION_IDS) return store_ids(code, where, key, value, out);
    if (key->type == GENERATION_BOOL) {
        if (!cJSON_IsBool(value)) return wrong(code, where, key, "true or false");
        *(bool *)at = cJSON_IsTrue(value);
        return OK;
    }
    TRY(check_number(code, where, key, value));
    if (key->type == GENERATION_REAL)
        *(double *)at = value->valuedouble;
    else
        *(int64_t *)at = (int64_t)value->valuedouble;
done:
    return st;
}

static void switch_off(const GenerationKey *key, GenerationConfig *out)
{
    char *at = (char *)out + key->offset;
    if (key->type == GENERATION_IDS)
        out->eos_count = 0;
    else if (key->type == GENERATION_BOOL)
        *(bool *)at = false;
    else if (key->type == GENERATION_REAL)
        *(double *)at = key->off;
    else
        *(int64_t *)at = (int64_t)key->off;
}

Status generation_settings_put(cJSON *settings, const char *name, const char *text)
{
    Status st = OK;
    const GenerationKey *key = key_find(name);
    cJSON *value = NULL;
    GenerationConfig scratch;
    char *end;
    if (!key && refused_find(name) < 0) RAISE(USAGE, "no generation parameter `%.100s`", name);
    double number = strtod(text, &end);
    if (!strcasecmp(text, "null") || !strcasecmp(text, "none"))
        value = cJSON_CreateNull();
    else if (!strcasecmp(text, "true") ||
             (key && key->type == GENERATION_BOOL && (!strcasecmp(text, "yes") || !strcmp(text, "1"))))
        value = cJSON_CreateTrue();
    else if (!strcasecmp(text, "false") ||
             (key && key->type == GENERATION_BOOL && (!strcasecmp(text, "no") || !strcmp(text, "0"))))
        value = cJSON_CreateFalse();
    else if (*text && !*end)
        value = cJSON_CreateNumber(number);
    else if (*text == '[' || *text == '{')
        TRY(json_parse(text, strlen(text), name, &value));
    else
        value = cJSON_CreateString(text);
    if (!value) RAISE(MEMORY, "out of memory");
    if (key && !cJSON_IsNull(value)) TRY(store(STATUS_USAGE, "", key, value, &scratch));
    cJSON_DeleteItemFromObjectCaseSensitive(settings, name);
    if (!cJSON_AddItemToObject(settings, name, value)) RAISE(MEMORY, "out of memory");
    value = NULL;
done:
    cJSON_Delete(value);
    return st;
}

/* ---- layers ------------------------------------------------------------------------------------------------------ */

static bool has(const cJSON *settings, const char *name)
{
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(settings, name);
    return value && !cJSON_IsNull(value);
}

static bool changes_nothing(int which, const cJSON *value)
{
    const char *none = refused[which].none;
    if (!value || cJSON_IsNull(value) || cJSON_IsFalse(value)) return true;
    if (cJSON_IsArray(value)) return !value->child;
    return none && cJSON_IsNumber(value) && value->valuedouble == strtod(none, NULL);
}

static Status refuse(const cJSON *call, const cJSON *model, const char *where)
{
    for (int i = 0; i < REFUSED; i++) {
        const char *name = refused[i].name, *none = refused[i].none ? refused[i].none : "null";
        const cJSON *mine = cJSON_GetObjectItemCaseSensitive(call, name),
                    *its = cJSON_GetObjectItemCaseSensitive(model, name);
        if (mine && !changes_nothing(i, mine))
            return status_raise(STATUS_USAGE, "%s is not something hone has; %s", name, refused[i].instead);
        if (!mine && !changes_nothing(i, its))
            return status_raise(STATUS_UNSUPPORTED,
                                "%s: %s is not something hone has; %s. To generate without it, give --%s %s", where,
                                name, refused[i].instead, name, none);
    }
    return OK;
}

/* 0 is fine where nothing is drawn. */
static Status check_temperature(const cJSON *call, const char *where, const GenerationConfig *c)
{
    bool mine = has(call, "temperature");
    if (!c->do_sample || c->temperature > 0) return OK;
    return wrong(mine ? STATUS_USAGE : STATUS_FORMAT, mine ? "" : where, key_find("temperature"),
                 "above 0; for the likeliest token each time set do_sample to false");
}

Status generation_config_resolve(const cJSON *call, const cJSON *model, const char *where, bool pipeline,
                                 GenerationConfig *out)
{
    Status st = OK;
    for (int i = 0; i < KEYS; i++) switch_off(&keys[i], out);
    out->top_k = 50;
    if (pipeline) out->do_sample = true, out->temperature = 0.7;
    TRY(refuse(call, model, where));
    for (int i = 0; i < KEYS; i++) {
        const cJSON *value = cJSON_GetObjectItemCaseSensitive(call, keys[i].name);
        if (value && cJSON_IsNull(value))
            switch_off(&keys[i], out);
        else if (value)
            TRY(store(STATUS_USAGE, "", &keys[i], value, out));
        else if (has(model, keys[i].name))
            TRY(store(STATUS_FORMAT, where, &keys[i], cJSON_GetObjectItemCaseSensitive(model, keys[i].name), out));
    }
    TRY(check_temperature(call, where, out));
    if (pipeline && out->max_new_tokens < 0 && out->max_length < 0) out->max_new_tokens = 256;
    if (!out->do_sample && out->num_return_sequences > 1)
        RAISE(USAGE, "num_return_sequences %lld needs do_sample true: greedy search finds one answer",
              (long long)out->num_return_sequences);
done:
    return st;
}
