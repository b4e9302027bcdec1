/* Rotary positions between config.json's rope_parameters and a GGUF file. There, llama3's and longrope's factors are
 * tensors, one number for each frequency; llama3's four numbers are written beside it under keys of hone's own, and
 * known from the factors where these keys are missing. Source: llama.cpp, conversion of Llama and of Phi-3. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "trainer/gguf/config.h"

enum { KEY = 192, MOST_FACTORS = 1 << 16 };

static const char *key_of(char key[static KEY], const char *architecture, const char *name)
{
    snprintf(key, KEY, "%.100s.%s", architecture, name);
    return key;
}

/* A small f32 tensor; NULL: not there. */
static Status read_factors(const Gguf *g, const char *name, int64_t count, Arena *arena, float **out)
{
    Status st = OK;
    const GgufTensor *t = gguf_tensor_find(g, name);
    *out = NULL;
    if (!t) return OK;
    if (t->type->dtype != DTYPE_F32 || t->numel != count || count > MOST_FACTORS)
        RAISE(FORMAT, "%s: %s is %s of %lld numbers; it should be F32 of %lld, half the width of a head", gguf_path(g),
              name, t->type->name, (long long)t->numel, (long long)count);
    TRY_NEW(arena, *out, count);
    TRY(gguf_read_blocks(g, t, 0, count, (unsigned char *)*out));
    for (int64_t i = 0; i < count; i++)
        if (!((*out)[i] > 0 && (*out)[i] < 1e9f))
            RAISE(FORMAT, "%s: %s holds %g; factors are positive", gguf_path(g), name, (double)(*out)[i]);
done:
    return st;
}

typedef struct Llama3 {
    double factor, low, high, original;
} Llama3;

/* What llama3's rotary positions divide the frequency i by. */
static double llama3_factor(const Llama3 *l, double theta, int64_t i, int64_t head_dim)
{
    double wavelength = 2 * 3.14159265358979323846 * pow(theta, (double)(2 * i) / (double)head_dim);
    if (wavelength < l->original / l->high) return 1;
    if (wavelength > l->original / l->low) return l->factor;
    double smooth = (l->original / wavelength - l->low) / (l->high - l->low);
    return 1 / ((1 - smooth) / l->factor + smooth);
}

static Status put_list(cJSON *object, const char *name, const float *x, int64_t n)
{
    Status st = OK;
    cJSON *list = cJSON_CreateArray();
    TRY(json_put(object, name, list));
    for (int64_t i = 0; i < n; i++) {
        cJSON *item = json_new_real(gguf_shortest(x[i]));
        if (!item || !cJSON_AddItemToArray(list, item)) RAISE(MEMORY, "out of memory");
    }
done:
    return st;
}

static Status put_longrope(cJSON *rope, const float *shorter, const float *longer, int64_t n, double original,
                           int64_t max_positions, double attention)
{
    Status st = OK;
    TRY(json_put(rope, "rope_type", cJSON_CreateString("longrope")));
    TRY(put_list(rope, "short_factor", shorter, n));
    TRY(put_list(rope, "long_factor", longer, n));
    TRY(json_put(rope, "original_max_position_embeddings", json_new_int((int64_t)original)));
    TRY(json_put(rope, "factor", json_new_real((double)max_positions / original)));
    TRY(json_put(rope, "attention_factor", json_new_real(attention)));
done:
    return st;
}

/* rope_freqs is what llama3's scaling makes, or else any division of frequencies, which longrope says exactly. */
static Status put_divided(const Gguf *g, const char *architecture, cJSON *rope, const float *factors, int64_t n,
                          double theta, int64_t max_positions)
{
    Status st = OK;
    char key[KEY];
    Llama3 l = {factors[n - 1], 1, 4, 8192};
    TRY(gguf_real_or(g, key_of(key, architecture, "hone.rope.factor"), gguf_shortest(factors[n - 1]), &l.factor));
    TRY(gguf_real_or(g, key_of(key, architecture, "hone.rope.low_freq_factor"), 1, &l.low));
    TRY(gguf_real_or(g, key_of(key, architecture, "hone.rope.high_freq_factor"), 4, &l.high));
    TRY(gguf_real_or(g, key_of(key, architecture, "hone.rope.original_context_length"), 8192, &l.original));
    bool same = l.low > 0 && l.high > l.low && l.factor > 0 && l.original > 0;
    for (int64_t i = 0; i < n && same; i++)
        same = fabs(llama3_factor(&l, theta, i, 2 * n) - (double)factors[i]) <= 1e-5 * (double)factors[i];
    if (!same)
        return put_longrope(rope, factors, factors, n, (double)max_positions, max_positions, 1);
    TRY(json_put(rope, "rope_type", cJSON_CreateString("llama3")));
    TRY(json_put(rope, "factor", json_new_real(l.factor)));
    TRY(json_put(rope, "low_freq_factor", json_new_real(l.low)));
    TRY(json_put(rope, "high_freq_factor", json_new_real(l.high)));
    TRY(json_put(rope, "original_max_position_embeddings", json_new_int((int64_t)l.original)));
done:
    return st;
}

static Status put_yarn(const Gguf *g, const char *architecture, cJSON *rope, double factor, double original,
                       double attention)
{
    Status st = OK;
    char key[KEY];
    double fast, slow, log_multiplier;
    TRY(gguf_real_or(g, key_of(key, architecture, "rope.scaling.yarn_beta_fast"), 32, &fast));
    TRY(gguf_real_or(g, key_of(key, architecture, "rope.scaling.yarn_beta_slow"), 1, &slow));
    TRY(gguf_real_or(g, key_of(key, architecture, "rope.scaling.yarn_log_multiplier"), 0, &log_multiplier));
    if (log_multiplier != 0) RAISE(UNSUPPORTED, "%s: %s is not something hone can convert", gguf_path(g), key);
    TRY(json_put(rope, "rope_type", cJSON_CreateString("yarn")));
    TRY(json_put(rope, "factor", json_new_real(factor)));
    TRY(json_put(rope, "original_max_position_embeddings", json_new_int((int64_t)original)));
    if (fast != 32) TRY(json_put(rope, "beta_fast", json_new_real(fast)));
    if (slow != 1) TRY(json_put(rope, "beta_slow", json_new_real(slow)));
    if (attention != 1)
        TRY(json_put(rope, "attention_factor",
                     json_new_real(gguf_shortest((float)(attention * (0.1 * log(factor) + 1))))));
done:
    return st;
}

static Status read_scaling(const Gguf *g, const char *architecture, cJSON *rope, double theta, int64_t n,
                           int64_t max_positions, Arena *arena)
{
    Status st = OK;
    char key[KEY];
    const char *type;
    double factor, original, attention, old;
    float *divided, *shorter, *longer;
    TRY(gguf_text_or(g, key_of(key, architecture, "rope.scaling.type"), "none", &type));
    TRY(gguf_real_or(g, key_of(key, architecture, "rope.scale_linear"), 1, &old));
    TRY(gguf_real_or(g, key_of(key, architecture, "rope.scaling.factor"), old, &factor));
    TRY(gguf_real_or(g, key_of(key, architecture, "rope.scaling.original_context_length"), (double)max_positions,
                     &original));
    TRY(gguf_real_or(g, key_of(key, architecture, "rope.scaling.attn_factor"), 1, &attention));
    if (factor == 0) factor = 1;
    if (!(factor > 0) || !(original > 0) || !(attention > 0))
        RAISE(FORMAT, "%s: the numbers of %s.rope.scaling must be positive", gguf_path(g), architecture);
    TRY(read_factors(g, "rope_freqs.weight", n, arena, &divided));
    TRY(read_factors(g, "rope_factors_short.weight", n, arena, &shorter));
    TRY(read_factors(g, "rope_factors_long.weight", n, arena, &longer));
    if (shorter && longer) return put_longrope(rope, shorter, longer, n, original, max_positions, attention);
    if (shorter || longer || (divided && strcmp(type, "none")))
        RAISE(UNSUPPORTED, "%s: rope factors of which one kind is missing, or that come on top of %s scaling",
              gguf_path(g), type);
    if (divided) return put_divided(g, architecture, rope, divided, n, theta, max_positions);
    if (strcmp(type, "none") == 0 || (strcmp(type, "linear") == 0 && factor == 1))
        return json_put(rope, "rope_type", cJSON_CreateString("default"));
    if (strcmp(type, "yarn") == 0) return put_yarn(g, architecture, rope, factor, original, attention);
    if (strcmp(type, "linear"))
        RAISE(UNSUPPORTED, "%s: rope.scaling.type is %s; hone reads none, linear, yarn, longrope and rope_freqs",
              gguf_path(g), type);
    TRY(json_put(rope, "rope_type", cJSON_CreateString("linear")));
    TRY(json_put(rope, "factor", json_new_real(factor)));
done:
    return st;
}

Status gguf_rope_read(const Gguf *g, const char *architecture, int64_t head_dim, int64_t max_positions, cJSON *config)
{
    Status st = OK;
    char key[KEY];
    Arena *arena = NULL;
    int64_t turned;
    double theta;
    cJSON *rope = cJSON_CreateObject();
    TRY(json_put(config, "rope_parameters", rope));
    TRY(arena_new(&arena));
    TRY(gguf_int_or(g, key_of(key, architecture, "rope.dimension_count"), head_dim, &turned));
    if (turned != head_dim || head_dim < 2 || head_dim % 2)
        RAISE(UNSUPPORTED, "%s: %s is %lld of heads of %lld; hone turns whole heads of an even width", gguf_path(g),
              key, (long long)turned, (long long)head_dim);
    TRY(gguf_real_or(g, key_of(key, architecture, "rope.freq_base"), 10000, &theta));
    if (!(theta > 0)) RAISE(FORMAT, "%s: %s must be positive", gguf_path(g), key);
    TRY(json_put(rope, "rope_theta", json_new_real(theta)));
    TRY(read_scaling(g, architecture, rope, theta, head_dim / 2, max_positions, arena));
done:
    arena_free(arena);
    return st;
}

static Status list_of(const cJSON *rope, const char *where, const char *name, int64_t n, Arena *arena,
                      const float **out)
{
    Status st = OK;
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(rope, name), *item;
    float *x;
    int64_t i = 0;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != n)
        RAISE(FORMAT, "%s: longrope needs a list of %lld numbers in `%s`", where, (long long)n, name);
    TRY_NEW(arena, x, n);
    cJSON_ArrayForEach(item, list) x[i++] = (float)item->valuedouble;
    *out = x;
done:
    return st;
}

static Status write_longrope(const cJSON *rope, const char *where, const char *architecture, double original,
                             int64_t max_positions, int64_t n, Arena *arena, GgufWriter *w, GgufExtras *extras)
{
    Status st = OK;
    char key[KEY];
    const float *longer = NULL, *shorter = NULL;
    double factor, attention;
    TRY(list_of(rope, where, "long_factor", n, arena, &longer));
    TRY(list_of(rope, where, "short_factor", n, arena, &shorter));
    TRY(json_real_or(rope, where, "factor", (double)max_positions / original, &factor));
    TRY(json_real_or(rope, where, "attention_factor", factor <= 1 ? 1 : sqrt(1 + log(factor) / log(original)),
                     &attention));
    gguf_put_text(w, key_of(key, architecture, "rope.scaling.type"), "longrope");
    gguf_put_real(w, key_of(key, architecture, "rope.scaling.attn_factor"), attention);
    gguf_put_int(w, key_of(key, architecture, "rope.scaling.original_context_length"), (int64_t)original);
    extras->items[extras->count++] = (GgufExtra){"rope_factors_long.weight", n, longer};
    extras->items[extras->count++] = (GgufExtra){"rope_factors_short.weight", n, shorter};
done:
    return st;
}

static Status write_llama3(const cJSON *rope, const char *where, const char *architecture, double factor,
                           double original, double theta, int64_t n, Arena *arena, GgufWriter *w, GgufExtras *extras)
{
    Status st = OK;
    char key[KEY];
    Llama3 l = {factor, 0, 0, original};
    float *factors;
    TRY(json_real_or(rope, where, "low_freq_factor", 1, &l.low));
    TRY(json_real_or(rope, where, "high_freq_factor", 4, &l.high));
    TRY_NEW(arena, factors, n);
    for (int64_t i = 0; i < n; i++) factors[i] = (float)llama3_factor(&l, theta, i, 2 * n);
    gguf_put_real(w, key_of(key, architecture, "hone.rope.factor"), l.factor);
    gguf_put_real(w, key_of(key, architecture, "hone.rope.low_freq_factor"), l.low);
    gguf_put_real(w, key_of(key, architecture, "hone.rope.high_freq_factor"), l.high);
    gguf_put_real(w, key_of(key, architecture, "hone.rope.original_context_length"), l.original);
    extras->items[extras->count++] = (GgufExtra){"rope_freqs.weight", n, factors};
done:
    return st;
}

static Status write_yarn(const cJSON *rope, const char *where, const char *architecture, double factor,
                         double original, GgufWriter *w)
{
    Status st = OK;
    char key[KEY];
    bool truncate;
    double fast, slow, mscale, attention;
    TRY(json_bool_or(rope, where, "truncate", true, &truncate));
    TRY(json_real_or(rope, where, "mscale", 0, &mscale));
    if (!truncate || mscale != 0)
        RAISE(UNSUPPORTED, "%s: GGUF has no key for yarn's mscale and truncate: false; the model stays a directory",
              where);
    TRY(json_real_or(rope, where, "beta_fast", 32, &fast));
    TRY(json_real_or(rope, where, "beta_slow", 1, &slow));
    TRY(json_real_or(rope, where, "attention_factor", 0, &attention));
    gguf_put_text(w, key_of(key, architecture, "rope.scaling.type"), "yarn");
    gguf_put_real(w, key_of(key, architecture, "rope.scaling.factor"), factor);
    gguf_put_int(w, key_of(key, architecture, "rope.scaling.original_context_length"), (int64_t)original);
    if (fast != 32) gguf_put_real(w, key_of(key, architecture, "rope.scaling.yarn_beta_fast"), fast);
    if (slow != 1) gguf_put_real(w, key_of(key, architecture, "rope.scaling.yarn_beta_slow"), slow);
    if (attention > 0) /* llama.cpp multiplies with what yarn's own factor is */
        gguf_put_real(w, key_of(key, architecture, "rope.scaling.attn_factor"), attention / (0.1 * log(factor) + 1));
done:
    return st;
}

Status gguf_rope_write(const cJSON *config, const char *where, const char *architecture, int64_t head_dim,
                       Arena *arena, GgufWriter *w, GgufExtras *extras)
{
    Status st = OK;
    char key[KEY];
    const cJSON *rope = cJSON_GetObjectItemCaseSensitive(config, "rope_scaling");
    const char *type = "default", *old;
    double theta, factor, original;
    int64_t positions;
    if (!cJSON_IsObject(rope)) rope = cJSON_GetObjectItemCaseSensitive(config, "rope_parameters");
    if (!cJSON_IsObject(rope)) rope = config; /* which has no rope_type */
    TRY(json_real_or(config, where, "rope_theta", 10000, &theta));
    TRY(json_real_or(rope, where, "rope_theta", theta, &theta));
    if (rope != config) {
        TRY(json_string_or(rope, where, "type", type, &old));
        TRY(json_string_or(rope, where, "rope_type", old, &type));
    }
    TRY(json_int(config, where, "max_position_embeddings", &positions));
    TRY(json_real_or(rope, where, "original_max_position_embeddings", (double)positions, &original));
    TRY(json_real_or(config, where, "original_max_position_embeddings", original, &original));
    TRY(json_real_or(rope, where, "factor", (double)positions / original, &factor));
    gguf_put_int(w, key_of(key, architecture, "rope.dimension_count"), head_dim);
    gguf_put_real(w, key_of(key, architecture, "rope.freq_base"), theta);
    if (strcmp(type, "default") == 0) return OK;
    if (strcmp(type, "longrope") == 0)
        return write_longrope(rope, where, architecture, original, positions, head_dim / 2, arena, w, extras);
    if (strcmp(type, "llama3") == 0)
        return write_llama3(rope, where, architecture, factor, original, theta, head_dim / 2, arena, w, extras);
    if (strcmp(type, "yarn") == 0) return write_yarn(rope, where, architecture, factor, original, w);
    if (strcmp(type, "linear"))
        RAISE(UNSUPPORTED, "%s: GGUF has no rotary positions of type %s; it has default, linear, yarn, longrope and "
              "llama3", where, type);
    gguf_put_text(w, key_of(key, architecture, "rope.scaling.type"), "linear");
    gguf_put_real(w, key_of(key, architecture, "rope.scaling.factor"), factor);
done:
    return st;
}
