/* Keys of a GGUF file from tokenizer.json and its configs: byte-level BPE whose way of splitting has a name there, and
 * BPE with bytes to fall back on, whose merges become scores. */
#include <stdio.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/gguf/tokenizer.h"
#include "trainer/tokenizer/string_map.h"

typedef struct Tokens {
    GgufString *texts;
    int32_t *types;
    float *scores;
    size_t count; /* rows of the embedding */
    StringMap ids;
} Tokens;

typedef struct Source {
    Arena *arena;
    const char *where; /* tokenizer.json */
    cJSON *json, *config, *generation; /* tokenizer.json; tokenizer_config.json and generation_config.json or NULL */
    const cJSON *model;
    bool sentencepiece;
} Source;

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}
static bool is_called(const cJSON *component, const char *type)
{
    const cJSON *t = member(component, "type");
    return cJSON_IsString(t) && strcmp(t->valuestring, type) == 0;
}

static Status put_token(const Source *s, Tokens *t, const char *text, const cJSON *id, int32_t type)
{
    Status st = OK;
    bool is_new;
    if (!cJSON_IsNumber(id) || id->valuedouble < 0 || id->valuedouble != (double)(int64_t)id->valuedouble)
        RAISE(FORMAT, "%s: the id of `%.60s` is no number", s->where, text);
    if (id->valuedouble >= (double)t->count)
        RAISE(FORMAT, "%s: `%.60s` has id %.0f, and the model %zu rows for tokens", s->where, text, id->valuedouble,
              t->count);
    size_t i = (size_t)id->valuedouble;
    if (t->texts[i].data && strcmp(t->texts[i].data, text))
        RAISE(FORMAT, "%s: id %zu is `%.60s` and `%.60s`", s->where, i, t->texts[i].data, text);
    t->texts[i] = (GgufString){text, strlen(text)}, t->types[i] = type;
    string_map_put(&t->ids, text, strlen(text), (int32_t)i, &is_new);
    if (!is_new && string_map_find(&t->ids, text, strlen(text)) != (int32_t)i)
        RAISE(FORMAT, "%s: `%.60s` has two ids", s->where, text);
done:
    return st;
}

static bool is_byte(const char *text)
{
    return strlen(text) == 6 && strncmp(text, "<0x", 3) == 0 && text[5] == '>' &&
           strspn(text + 3, "0123456789ABCDEF") == 2;
}

static Status take_added(const Source *s, Tokens *t)
{
    static const char *const flags[] = {"lstrip", "rstrip", "single_word", "normalized"};
    Status st = OK;
    const cJSON *added = member(s->json, "added_tokens"), *item;
    const cJSON *normalizer = member(s->json, "normalizer");
    bool warned = false;
    int kinds = normalizer && !cJSON_IsNull(normalizer) && !s->sentencepiece ? 4 : 3;
    cJSON_ArrayForEach(item, added)
    {
        const char *text;
        TRY(json_string(item, s->where, "content", &text));
        TRY(put_token(s, t, text, member(item, "id"),
                      cJSON_IsTrue(member(item, "special")) ? GGUF_CONTROL : GGUF_USER_DEFINED));
        for (int i = 0; i < kinds && !warned; i++)
            if (cJSON_IsTrue(member(item, flags[i]))) {
                log_warning("%s: GGUF has no place for `%s` of the added token `%.60s`", s->where, flags[i], text);
                warned = true;
            }
    }
done:
    return st;
}

static Status take_tokens(const Source *s, Tokens *t)
{
    Status st = OK;
    const cJSON *vocab = member(s->model, "vocab"), *item, *unknown = member(s->model, "unk_token");
    if (!cJSON_IsObject(vocab)) RAISE(FORMAT, "%s: model.vocab is missing", s->where);
    TRY_NEW(s->arena, t->texts, t->count);
    TRY_NEW(s->arena, t->types, t->count);
    TRY_NEW(s->arena, t->scores, t->count);
    TRY(string_map_new(s->arena, 2 * t->count + 1, &t->ids)); /* an id may be there twice until that is found */
    cJSON_ArrayForEach(item, vocab)
        TRY(put_token(s, t, item->string, item,
                      s->sentencepiece && is_byte(item->string) ? GGUF_BYTE : GGUF_NORMAL));
    TRY(take_added(s, t));
    if (cJSON_IsString(unknown) && s->sentencepiece) {
        int32_t id = string_map_find(&t->ids, unknown->valuestring, strlen(unknown->valuestring));
        if (id >= 0) t->types[id] = GGUF_UNKNOWN;
    }
    for (size_t i = 0; i < t->count; i++) {
        if (t->texts[i].data) continue;
        char *text = arena_printf(s->arena, "[PAD%zu]", i); /* rows that no text reaches, as llama.cpp names them */
        TRY_MEMORY(text);
        t->texts[i] = (GgufString){text, strlen(text)}, t->types[i] = GGUF_UNUSED;
    }
done:
    return st;
}

/* Both spellings, as "left right"; and each token's score is the place of the first merge that makes it. */
static Status take_merges(const Source *s, Tokens *t, GgufString **out, size_t *count)
{
    Status st = OK;
    const cJSON *list = member(s->model, "merges"), *item;
    size_t n = 0;
    if (!cJSON_IsArray(list)) RAISE(FORMAT, "%s: model.merges is missing", s->where);
    size_t most = (size_t)cJSON_GetArraySize(list); /* which counts them */
    TRY_NEW(s->arena, *out, most + 1);
    for (size_t i = 0; i < t->count; i++)
        t->scores[i] = t->types[i] == GGUF_NORMAL ? -(float)most - (float)i : 0;
    cJSON_ArrayForEach(item, list)
    {
        const cJSON *a = item->child, *b = a ? a->next : NULL;
        const char *text = cJSON_IsString(item) ? item->valuestring : NULL;
        if (cJSON_IsString(a) && cJSON_IsString(b))
            TRY_MEMORY(text = arena_printf(s->arena, "%s %s", a->valuestring, b->valuestring));
        const char *space = text && *text ? strchr(text + 1, ' ') : NULL;
        if (!space || !space[1] || strchr(space + 1, ' '))
            RAISE(UNSUPPORTED, "%s: merge %zu is not of two parts without spaces, which is all that GGUF can hold",
                  s->where, n);
        size_t left = (size_t)(space - text), right = strlen(space + 1);
        char *joined = arena_printf(s->arena, "%.*s%s", (int)left, text, space + 1);
        TRY_MEMORY(joined);
        int32_t id = string_map_find(&t->ids, joined, left + right);
        if (id < 0) RAISE(FORMAT, "%s: merge %zu makes `%.60s`, which is no token", s->where, n, joined);
        if (t->scores[id] < -(float)n) t->scores[id] = -(float)n;
        (*out)[n++] = (GgufString){text, left + right + 1};
    }
    *count = n;
done:
    return st;
}

/* Which tokens stand before and after every text; NULL: none. */
static void find_added(const cJSON *post, const cJSON **bos, const cJSON **eos)
{
    const cJSON *item, *single = member(post, "single");
    if (is_called(post, "Sequence")) {
        cJSON_ArrayForEach(item, member(post, "processors")) find_added(item, bos, eos);
    } else if (is_called(post, "TemplateProcessing") && cJSON_GetArraySize(single) > 0) {
        *bos = member(member(single->child, "SpecialToken"), "id");
        *eos = member(member(cJSON_GetArrayItem(single, cJSON_GetArraySize(single) - 1), "SpecialToken"), "id");
    }
}

/* "x", or {"content": "x"}; or the id that config.json has. */
static int64_t id_of(const Source *s, const Tokens *t, const cJSON *config, const char *token, const char *id)
{
    const cJSON *value = member(s->config, token);
    if (cJSON_IsObject(value)) value = member(value, "content");
    if (cJSON_IsString(value)) return string_map_find(&t->ids, value->valuestring, strlen(value->valuestring));
    value = id ? member(config, id) : NULL;
    if (cJSON_IsArray(value)) value = value->child;
    return cJSON_IsNumber(value) && value->valuedouble >= 0 && value->valuedouble < (double)t->count
               ? (int64_t)value->valuedouble : -1;
}

static void put_ids(const Source *s, const Tokens *t, const cJSON *config, GgufWriter *w)
{
    static const char *const names[][3] = {
        {"bos_token", "bos_token_id", "tokenizer.ggml.bos_token_id"},
        {"eos_token", "eos_token_id", "tokenizer.ggml.eos_token_id"},
        {"unk_token", NULL, "tokenizer.ggml.unknown_token_id"},
        {"pad_token", "pad_token_id", "tokenizer.ggml.padding_token_id"},
        {"sep_token", NULL, "tokenizer.ggml.seperator_token_id"},
        {"mask_token", NULL, "tokenizer.ggml.mask_token_id"},
    };
    static const char *const ends[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"};
    int64_t eos = -1;
    int more = 0;
    const cJSON *added[2] = {NULL, NULL};
    find_added(member(s->json, "post_processor"), &added[0], &added[1]);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        int64_t id = id_of(s, t, config, names[i][0], names[i][1]);
        if (i < 2 && cJSON_IsString(added[i])) /* what is added in fact wins over what a config calls it */
            id = string_map_find(&t->ids, added[i]->valuestring, strlen(added[i]->valuestring));
        if (i == 1) eos = id;
        if (id >= 0) gguf_put_int(w, names[i][2], id);
    }
    const cJSON *item, *list = member(s->generation, "eos_token_id");
    if (cJSON_IsArray(list))
        cJSON_ArrayForEach(item, list)
            if (cJSON_IsNumber(item) && item->valuedouble >= 0 && (int64_t)item->valuedouble != eos && more < 2)
                gguf_put_int(w, ends[more++], (int64_t)item->valuedouble);
    gguf_put_bool(w, "tokenizer.ggml.add_bos_token", cJSON_IsString(added[0]));
    gguf_put_bool(w, "tokenizer.ggml.add_eos_token", cJSON_IsString(added[1]));
}

static Status put_templates(const Source *s, const char *dir, GgufWriter *w)
{
    enum { MOST = 4 << 20 };
    Status st = OK;
    char *file, key[200];
    GgufString names[32];
    size_t count = 0;
    const cJSON *given = member(s->config, "chat_template"), *item;
    const char *path = path_join(s->arena, dir, "chat_template.jinja"), *name, *text;
    TRY_MEMORY(path);
    if (path_exists(path)) {
        TRY(file_read_all(path, s->arena, MOST, &file, NULL));
        gguf_put_text(w, "tokenizer.chat_template", file);
    } else if (cJSON_IsString(given)) {
        gguf_put_text(w, "tokenizer.chat_template", given->valuestring);
    } else if (cJSON_IsArray(given)) {
        cJSON_ArrayForEach(item, given)
        {
            TRY(json_string(item, s->where, "name", &name));
            TRY(json_string(item, s->where, "template", &text));
            bool plain = strcmp(name, "default") == 0;
            snprintf(key, sizeof key, plain ? "tokenizer.chat_template" : "tokenizer.chat_template.%.100s", name);
            gguf_put_text(w, key, text);
            if (!plain && count < 32) names[count++] = (GgufString){name, strlen(name)};
        }
        if (count) gguf_put_texts(w, "tokenizer.chat_templates", names, count);
    }
done:
    return st;
}

static bool adds_prefix(const cJSON *component)
{
    const cJSON *item, *scheme = member(component, "prepend_scheme");
    bool adds = is_called(component, "Prepend") ||
                (is_called(component, "Metaspace") &&
                 !(cJSON_IsString(scheme) && strcmp(scheme->valuestring, "never") == 0));
    const cJSON *inner = member(component, "normalizers");
    if (!inner) inner = member(component, "pretokenizers");
    cJSON_ArrayForEach(item, inner) adds |= adds_prefix(item);
    return adds;
}

static Status put_kind(const Source *s, const char *pre, GgufWriter *w)
{
    Status st = OK;
    const cJSON *normalizer = member(s->json, "normalizer"), *splitter = member(s->json, "pre_tokenizer");
    const char *name = pre;
    gguf_put_text(w, "tokenizer.ggml.model", s->sentencepiece ? GGUF_SENTENCEPIECE : GGUF_BYTE_LEVEL);
    if (s->sentencepiece) {
        if (is_called(splitter, "Metaspace"))
            log_warning("%s: GGUF does not tell Metaspace from a space put before each piece of text; ids may differ "
                        "after special tokens", s->where);
        gguf_put_text(w, "tokenizer.ggml.pre", "default");
        gguf_put_bool(w, "tokenizer.ggml.add_space_prefix", adds_prefix(normalizer) || adds_prefix(splitter));
        goto done;
    }
    if (pre && !gguf_pre_find(pre)) RAISE(USAGE, "--pre is %.60s; it can be " GGUF_PRES, pre);
    if (!name)
        name = gguf_pre_name(s->arena, normalizer, splitter, cJSON_IsTrue(member(s->model, "ignore_merges")));
    if (!name)
        RAISE(UNSUPPORTED, "%s: its normalizer and pre_tokenizer are none that hone knows a name for in GGUF files: "
              GGUF_PRES "; --pre NAME says which is meant", s->where);
    gguf_put_text(w, "tokenizer.ggml.pre", name);
done:
    return st;
}

static Status check_model(Source *s)
{
    static const char *const absent[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    Status st = OK;
    s->model = member(s->json, "model");
    if (!is_called(s->model, "BPE"))
        RAISE(UNSUPPORTED, "%s: its model is not BPE, which is what hone can write into a GGUF file", s->where);
    for (int i = 0; i < 2; i++) {
        const cJSON *affix = member(s->model, absent[i]);
        if (cJSON_IsString(affix) && *affix->valuestring)
            RAISE(UNSUPPORTED, "%s: GGUF has no place for %s", s->where, absent[i]);
    }
    s->sentencepiece = cJSON_IsTrue(member(s->model, "byte_fallback"));
done:
    return st;
}

static Status read_beside(Source *s, const char *dir, const char *name, cJSON **out)
{
    const char *path = path_join(s->arena, dir, name);
    return !path ? STATUS_MEMORY : path_exists(path) ? json_read_file(path, out) : OK;
}

Status gguf_tokenizer_write(const char *dir, const cJSON *config, const char *pre, int64_t rows, Arena *arena,
                            GgufWriter *w)
{
    Status st = OK;
    Source s = {.arena = arena};
    Tokens t = {.count = (size_t)rows};
    GgufString *merges = NULL;
    size_t count = 0;
    TRY_MEMORY(s.where = path_join(arena, dir, "tokenizer.json"));
    if (!path_exists(s.where)) {
        log_warning("%s: there is none, so the GGUF file has no tokenizer", s.where);
        gguf_put_text(w, "tokenizer.ggml.model", "none");
        goto done;
    }
    TRY(json_read_file(s.where, &s.json));
    TRY(read_beside(&s, dir, "tokenizer_config.json", &s.config));
    TRY(read_beside(&s, dir, "generation_config.json", &s.generation));
    TRY(check_model(&s));
    TRY(put_kind(&s, pre, w));
    TRY(take_tokens(&s, &t));
    TRY(take_merges(&s, &t, &merges, &count));
    gguf_put_texts(w, "tokenizer.ggml.tokens", t.texts, t.count);
    if (s.sentencepiece) gguf_put_reals(w, "tokenizer.ggml.scores", t.scores, t.count);
    gguf_put_ints(w, "tokenizer.ggml.token_type", t.types, t.count);
    gguf_put_texts(w, "tokenizer.ggml.merges", merges, count);
    put_ids(&s, &t, config, w);
    TRY(put_templates(&s, dir, w));
done:
    cJSON_Delete(s.json);
    cJSON_Delete(s.config);
    cJSON_Delete(s.generation);
    return st;
}
