/* Rotary positions as config.json has them (transformers' RotaryEmbeddingConfigMixin): since 5 in one object
 * rope_parameters, before that rope_theta beside rope_scaling. */
#include <string.h>

#include "trainer/models/decoder_config.h"

static const char *const types[] = {"default", "linear", "dynamic", "yarn", "longrope", "llama3"};

static Status read_type(const cJSON *scaling, const char *where, RopeType *out)
{
    Status st = OK;
    const char *name, *old;
    TRY(json_string_or(scaling, where, "type", "default", &old));
    TRY(json_string_or(scaling, where, "rope_type", old, &name));
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i], name) == 0) {
            *out = (RopeType)i;
            return OK;
        }
    RAISE(UNSUPPORTED, "%s: rope_type `%s` is not one that hone has: default, linear, dynamic, yarn, longrope, llama3",
          where, name);
done:
    return st;
}

static Status positive(const cJSON *scaling, const char *where, const char *key, double fallback, double *out)
{
    Status st = json_real_or(scaling, where, key, fallback, out);
    if (!st && !(*out > 0 && *out < 1e18))
        st = status_raise(STATUS_FORMAT, "%s: rotary positions need a positive `%s`", where, key);
    return st;
}

static Status read_factors(Model *m, const cJSON *scaling, const char *where, const char *key, int32_t count,
                           const float **out)
{
    Status st = OK;
    float *factors;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(scaling, key), *item;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != count)
        RAISE(FORMAT, "%s: longrope needs a list of %d numbers in `%s`", where, count, key);
    TRY_NEW(m->arena, factors, count);
    int i = 0;
    cJSON_ArrayForEach(item, list)
    {
        if (!cJSON_IsNumber(item) || !(item->valuedouble > 0))
            RAISE(FORMAT, "%s: `%s` must hold positive numbers", where, key);
        factors[i++] = (float)item->valuedouble;
    }
    *out = factors;
done:
    return st;
}

static Status read_yarn(const cJSON *scaling, const char *where, RopeSpec *r)
{
    Status st = OK;
    bool truncate;
    TRY(positive(scaling, where, "beta_fast", 32, &r->beta_fast));
    TRY(positive(scaling, where, "beta_slow", 1, &r->beta_slow));
    TRY(json_real_or(scaling, where, "mscale", 0, &r->mscale));
    TRY(json_real_or(scaling, where, "mscale_all_dim", 0, &r->mscale_all_dim));
    TRY(json_bool_or(scaling, where, "truncate", true, &truncate));
    r->no_truncation = !truncate;
done:
    return st;
}

/* What each type takes beside theta. */
static Status read_scaling(Model *m, const cJSON *scaling, const char *where, RopeSpec *r)
{
    Status st = OK;
    bool stretches = r->type == ROPE_YARN || r->type == ROPE_LONGROPE;
    double length;
    TRY(json_real_or(scaling, where, "original_max_position_embeddings", (double)r->max_positions, &length));
    TRY(positive(m->config, where, "original_max_position_embeddings", length, &r->original_max_positions));
    TRY(positive(scaling, where, "factor", stretches ? (double)r->max_positions / r->original_max_positions : -1,
                 &r->factor));
    if (stretches) TRY(json_real_or(scaling, where, "attention_factor", 0, &r->attention_factor));
    if (r->type == ROPE_YARN) TRY(read_yarn(scaling, where, r));
    if (r->type == ROPE_LLAMA3) {
        TRY(positive(scaling, where, "low_freq_factor", -1, &r->low_freq_factor));
        TRY(positive(scaling, where, "high_freq_factor", -1, &r->high_freq_factor));
        if (r->high_freq_factor <= r->low_freq_factor)
            RAISE(FORMAT, "%s: high_freq_factor must be greater than low_freq_factor", where);
    }
    if (r->type == ROPE_LONGROPE) {
        TRY(read_factors(m, scaling, where, "short_factor", r->dim / 2, &r->short_factor));
        TRY(read_factors(m, scaling, where, "long_factor", r->dim / 2, &r->long_factor));
    }
    if (r->type == ROPE_DYNAMIC && r->dim <= 2)
        RAISE(UNSUPPORTED, "%s: dynamic rotary positions of heads of 2 values", where);
done:
    return st;
}

Status rope_config_read(Model *m, const char *where, int64_t head_dim, RopeSpec *out)
{
    Status st = OK;
    const cJSON *object = cJSON_GetObjectItemCaseSensitive(m->config, "rope_scaling");
    double theta, partial;
    cJSON *empty = cJSON_CreateObject();
    if (!empty) RAISE(MEMORY, "out of memory");
    if (!object || cJSON_IsNull(object)) object = cJSON_GetObjectItemCaseSensitive(m->config, "rope_parameters");
    if (!object || cJSON_IsNull(object)) object = empty;
    if (!cJSON_IsObject(object)) RAISE(FORMAT, "%s: rope_parameters must be an object", where);
    if (cJSON_GetObjectItemCaseSensitive(object, "full_attention") ||
        cJSON_GetObjectItemCaseSensitive(object, "sliding_attention"))
        RAISE(UNSUPPORTED, "%s: rotary positions that differ by layer type are not something that %s has here", where,
              m->type->name);
    *out = (RopeSpec){.dim = (int32_t)head_dim, .max_positions = m->max_positions};
    TRY(read_type(object, where, &out->type));
    TRY(positive(m->config, where, "rope_theta", 10000, &theta));
    TRY(positive(object, where, "rope_theta", theta, &out->theta));
    TRY(json_real_or(m->config, where, "partial_rotary_factor", 1, &partial));
    TRY(json_real_or(object, where, "partial_rotary_factor", partial, &partial));
    if (partial != 1)
        RAISE(UNSUPPORTED, "%s: partial_rotary_factor is %g; %s rotates whole heads", where, partial, m->type->name);
    if (out->type != ROPE_DEFAULT) TRY(read_scaling(m, object, where, out));
done:
    cJSON_Delete(empty);
    return st;
}
