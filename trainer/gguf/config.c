/* See config.h. Keys and what they are called are the model type's (models/gguf_names.h). */
#include "trainer/gguf/config.h"

#include <stdio.h>
#include <string.h>

#include "trainer/base/log.h"

enum { KEY = 192 };

Status json_put(cJSON *object, const char *name, cJSON *value)
{
    if (value && cJSON_AddItemToObject(object, name, value)) return OK;
    cJSON_Delete(value);
    return status_raise(STATUS_MEMORY, "out of memory");
}

static const char *key_of(char key[static KEY], const ModelGguf *names, const char *name)
{
    snprintf(key, KEY, "%s.%s", names->architecture, name);
    return key;
}

bool gguf_is_extra(const char *tensor)
{
    return strcmp(tensor, "rope_freqs.weight") == 0 || strcmp(tensor, "rope_factors_long.weight") == 0 ||
           strcmp(tensor, "rope_factors_short.weight") == 0;
}

Status gguf_model_of(const Gguf *g, Arena *arena, const ModelGguf **names, const ModelType **type)
{
    Status st = OK;
    const char *architecture, *model_type, *list;
    char key[KEY];
    int64_t window;
    TRY(gguf_text(g, "general.architecture", &architecture));
    TRY(gguf_text_or(g, "hone.model_type", "", &model_type));
    snprintf(key, sizeof key, "%.100s.attention.sliding_window", architecture);
    TRY(gguf_int_or(g, key, 0, &window));
    *names = model_gguf_find(architecture, model_type, window > 0, type);
    if (!*names) {
        TRY_MEMORY(list = model_gguf_list(arena));
        RAISE(UNSUPPORTED, "%s: general.architecture is %.100s, which hone does not have; it has: %s", gguf_path(g),
              architecture, list);
    }
done:
    return st;
}

/* Before a model of so many layers is declared. */
static Status check_layers(const Gguf *g, const ModelGguf *names)
{
    char key[KEY];
    int64_t layers;
    Status st = gguf_int(g, key_of(key, names, "block_count"), &layers);
    if (!st && (layers < 1 || (uint64_t)layers > gguf_tensor_count(g)))
        st = status_raise(STATUS_FORMAT, "%s: %s is %lld, and there are %zu tensors", gguf_path(g), key,
                          (long long)layers, gguf_tensor_count(g));
    return st;
}

static Status read_keys(const Gguf *g, const ModelGguf *names, cJSON *config)
{
    Status st = OK;
    char key[KEY];
    for (const GgufKey *k = names->keys; k->config; k++) {
        const char *name = key_of(key, names, k->gguf);
        int64_t n;
        double x;
        if (k->optional && !gguf_find(g, name)) {
            const cJSON *same = k->times || !k->same_as ? NULL
                                                        : cJSON_GetObjectItemCaseSensitive(config, k->same_as);
            if (same) TRY(json_put(config, k->config, cJSON_Duplicate(same, true)));
        } else if (k->type == GGUF_KEY_INT) {
            TRY(gguf_int(g, name, &n));
            TRY(json_put(config, k->config, json_new_int(n)));
        } else {
            TRY(gguf_real(g, name, &x));
            TRY(json_put(config, k->config, json_new_real(x)));
        }
    }
done:
    return st;
}

/* head_dim where no key says it: what is turned, or what is left. */
static Status read_head_dim(const Gguf *g, const ModelGguf *names, cJSON *config, int64_t *out)
{
    Status st = OK;
    char key[KEY];
    const char *where = gguf_path(g);
    int64_t hidden, heads, values;
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(config, "head_dim");
    TRY(config_positive(config, where, "hidden_size", 1, &hidden));
    TRY(config_positive(config, where, "num_attention_heads", 1, &heads));
    if (given) {
        TRY(config_positive(config, where, "head_dim", 1, out));
    } else {
        TRY(gguf_int_or(g, key_of(key, names, "rope.dimension_count"), hidden / heads, out));
        TRY(json_put(config, "head_dim", json_new_int(*out)));
    }
    TRY(gguf_int_or(g, key_of(key, names, "attention.value_length"), *out, &values));
    if (values != *out)
        RAISE(UNSUPPORTED, "%s: heads of %lld values with keys of %lld; hone has equal ones", where, (long long)values,
              (long long)*out);
done:
    return st;
}

static Status read_window(const Gguf *g, const ModelGguf *names, cJSON *config)
{
    Status st = OK;
    char key[KEY];
    int64_t window;
    TRY(gguf_int_or(g, key_of(key, names, "attention.sliding_window"), names->alternates ? 4096 : 0, &window));
    if (names->window) return json_put(config, "sliding_window", window ? json_new_int(window) : cJSON_CreateNull());
    if (window)
        RAISE(UNSUPPORTED, "%s: %s is %lld, and hone has no windows for GGUF's %s", gguf_path(g), key,
              (long long)window, names->architecture);
done:
    return st;
}

static Status read_ids(const Gguf *g, cJSON *config)
{
    static const char *const ids[][2] = {{"tokenizer.ggml.bos_token_id", "bos_token_id"},
                                         {"tokenizer.ggml.eos_token_id", "eos_token_id"},
                                         {"tokenizer.ggml.padding_token_id", "pad_token_id"}};
    Status st = OK;
    for (int i = 0; i < 3; i++) {
        int64_t id;
        TRY(gguf_int_or(g, ids[i][0], -1, &id));
        TRY(json_put(config, ids[i][1], id >= 0 && id < INT32_MAX ? json_new_int(id) : cJSON_CreateNull()));
    }
done:
    return st;
}

/* Keys of the architecture that nothing here has looked at may change what the model computes: they are named. */
static void name_unread(const Gguf *g, const ModelGguf *names)
{
    static const char *const read[] = {"vocab_size", "attention.value_length", "attention.sliding_window",
                                       "rope.",      "tensor_data_layout",     "hone."};
    size_t length = strlen(names->architecture);
    for (size_t i = 0; i < gguf_value_count(g); i++) {
        const char *key = gguf_value_at(g, i)->key, *rest = key + length + 1;
        bool known = strncmp(key, names->architecture, length) || key[length] != '.';
        for (const GgufKey *k = names->keys; k->config && !known; k++) known = strcmp(rest, k->gguf) == 0;
        for (size_t r = 0; r < sizeof read / sizeof *read && !known; r++)
            known = strncmp(rest, read[r], strlen(read[r])) == 0;
        if (!known) log_warning("%s: the key %s is ignored; hone has nothing that it could mean", gguf_path(g), key);
    }
}

Status gguf_config_read(const Gguf *g, Arena *arena, const ModelGguf *names, const ModelType *type, cJSON **out)
{
    Status st = OK;
    const char *where = gguf_path(g);
    const GgufTensor *embedding = gguf_tensor_find(g, "token_embd.weight");
    int64_t head_dim, positions;
    cJSON *config = cJSON_CreateObject(), *classes = cJSON_CreateArray();
    if (!config || !cJSON_AddItemToArray(classes, cJSON_CreateString(type->architecture))) {
        cJSON_Delete(classes);
        RAISE(MEMORY, "out of memory");
    }
    TRY(json_put(config, "architectures", classes));
    TRY(json_put(config, "model_type", cJSON_CreateString(type->name)));
    if (!embedding || embedding->ndim != 2) RAISE(FORMAT, "%s: token_embd.weight is missing or no matrix", where);
    TRY(json_put(config, "vocab_size", json_new_int(embedding->shape[0])));
    TRY(check_layers(g, names));
    TRY(read_keys(g, names, config));
    for (const GgufFixed *f = names->fixed; f && f->config; f++)
        TRY(json_put(config, f->config, cJSON_Parse(f->json)));
    for (const GgufPresence *p = names->presences; p && p->config; p++)
        TRY(json_put(config, p->config, cJSON_CreateBool(gguf_tensor_find(g, p->tensor) != NULL)));
    TRY(json_put(config, "tie_word_embeddings", cJSON_CreateBool(!gguf_tensor_find(g, "output.weight"))));
    if (names->rotary) {
        TRY(read_head_dim(g, names, config, &head_dim));
        TRY(config_positive(config, where, "max_position_embeddings", 1, &positions));
        TRY(gguf_rope_read(g, names->architecture, head_dim, positions, config));
    }
    TRY(read_window(g, names, config));
    if (names->finish) TRY(names->finish(config, where));
    TRY(read_ids(g, config));
    name_unread(g, names);
    (void)arena;
    *out = config;
    return OK;
done:
    cJSON_Delete(config);
    return st;
}

static Status write_keys(const cJSON *config, const char *where, const ModelGguf *names, GgufWriter *w)
{
    Status st = OK;
    char key[KEY];
    for (const GgufKey *k = names->keys; k->config; k++) {
        const char *from = k->config;
        const cJSON *given = cJSON_GetObjectItemCaseSensitive(config, from);
        int64_t n, times = 1;
        double x;
        if ((!given || cJSON_IsNull(given)) && k->same_as) from = k->same_as, times = k->times ? k->times : 1;
        else if ((!given || cJSON_IsNull(given)) && k->optional) continue;
        if (k->type == GGUF_KEY_INT) {
            TRY(json_int(config, where, from, &n));
            if (n < 0 || n > UINT32_MAX / times) RAISE(FORMAT, "%s: `%s` is %lld", where, from, (long long)n);
            gguf_put_int(w, key_of(key, names, k->gguf), n * times);
        } else {
            if (!cJSON_IsNumber(given)) RAISE(MISSING, "%s: `%s` is missing; a GGUF file needs it", where, from);
            TRY(json_real_or(config, where, from, 0, &x));
            gguf_put_real(w, key_of(key, names, k->gguf), x);
        }
    }
done:
    return st;
}

static Status check_fixed(const cJSON *config, const char *where, const ModelGguf *names)
{
    Status st = OK;
    for (const GgufFixed *f = names->fixed; f && f->config; f++) {
        const cJSON *given = cJSON_GetObjectItemCaseSensitive(config, f->config);
        if ((!given || cJSON_IsNull(given)) && f->may_lack) continue;
        cJSON *want = cJSON_Parse(f->json);
        bool same = want && cJSON_Compare(given, want, true);
        cJSON_Delete(want);
        if (!same)
            RAISE(UNSUPPORTED, "%s: `%s` is not %s, and GGUF's %s has no key for it; the model stays a directory",
                  where, f->config, f->json, names->architecture);
    }
done:
    return st;
}

static Status write_window(const cJSON *config, const char *where, const ModelGguf *names, GgufWriter *w)
{
    Status st = OK;
    char key[KEY];
    int64_t window, layer = 0;
    const cJSON *types = cJSON_GetObjectItemCaseSensitive(config, "layer_types"), *type;
    TRY(json_int_or(config, where, "sliding_window", names->alternates ? 4096 : 0, &window));
    if (names->window && window) gguf_put_int(w, key_of(key, names, "attention.sliding_window"), window);
    if (names->window && window && !names->alternates)
        log_warning("%s: llama.cpp has no sliding window for this architecture: its answers differ beyond %lld tokens",
                    where, (long long)window);
    if (!cJSON_IsArray(types)) goto done;
    cJSON_ArrayForEach(type, types)
    {
        bool slides = cJSON_IsString(type) && strcmp(type->valuestring, "sliding_attention") == 0;
        if (names->window ? names->alternates && slides != (layer % 2 == 0) : slides)
            RAISE(UNSUPPORTED, "%s: `layer_types` has a window where GGUF's %s has none, or none where it has one",
                  where, names->architecture);
        layer++;
    }
done:
    return st;
}

Status gguf_config_write(const cJSON *config, const char *where, const ModelGguf *names, Arena *arena, GgufWriter *w,
                         GgufExtras *extras)
{
    Status st = OK;
    char key[KEY];
    int64_t hidden, heads, head_dim;
    TRY(check_fixed(config, where, names));
    TRY(write_keys(config, where, names, w));
    if (names->rotary) {
        TRY(json_int(config, where, "hidden_size", &hidden));
        TRY(json_int(config, where, "num_attention_heads", &heads));
        if (heads < 1) RAISE(FORMAT, "%s: num_attention_heads must be positive", where);
        TRY(json_int_or(config, where, "head_dim", hidden / heads, &head_dim));
        const cJSON *given = cJSON_GetObjectItemCaseSensitive(config, "head_dim");
        if (cJSON_IsNumber(given)) gguf_put_int(w, key_of(key, names, "attention.value_length"), head_dim);
        TRY(gguf_rope_write(config, where, names->architecture, head_dim, arena, w, extras));
    }
    TRY(write_window(config, where, names, w));
done:
    return st;
}
