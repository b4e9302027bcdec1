/* Loading a tokenizer and asking about its tokens. */
#include "trainer/tokenizer/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/tokenizer/internal.h"

static Status check_version(const cJSON *root, const char *name)
{
    const char *version;
    Status st = json_string_or(root, name, "version", "1.0", &version);
    if (!st && strcmp(version, "1.0"))
        st = status_raise(STATUS_UNSUPPORTED, "%s: version \"%.20s\" is not supported, 1.0 is", name, version);
    return st;
}

static Status check_joins(const Tokenizer *t, const char *name)
{
    size_t joins = 0;
    for (size_t i = 0; i < t->post_processors.count; i++)
        joins += ((const PostProcessorType *)t->post_processors.items[i].type)->join != NULL;
    if (joins < 2) return OK;
    return status_raise(STATUS_UNSUPPORTED, "%s: post_processor: more than one template is not supported", name);
}

/* What encoding must keep for them: see struct Tokenizer. Text that no normalizer or other pre-tokenizer has written
 * anew knows its place by itself. */
static void note_needs(Tokenizer *t)
{
    for (size_t i = 0; i < t->pre_tokenizers.count; i++) {
        const Component *c = &t->pre_tokenizers.items[i];
        bool rewritten = t->normalizers.count || i;
        if (c->type == &pre_tokenizer_metaspace.head && rewritten) t->needs_origin |= metaspace_asks_origin(c->data);
    }
    for (size_t i = 0; i < t->post_processors.count; i++)
        t->trims |= ((const PostProcessorType *)t->post_processors.items[i].type)->trim != NULL;
}

static Status load_parts(const cJSON *root, const char *name, Tokenizer *t)
{
    Status st = OK;
    if (!cJSON_IsObject(root)) RAISE(FORMAT, "%s: should be a JSON object", name);
    TRY(check_version(root, name));
    TRY(components_load(&kind_model, root, name, t->arena, &t->models));
    if (!t->models.count) RAISE(FORMAT, "%s: \"model\" is missing; is this a tokenizer.json?", name);
    t->model = (const ModelType *)t->models.items[0].type;
    t->model_data = t->models.items[0].data;
    TRY(components_load(&kind_normalizer, root, name, t->arena, &t->normalizers));
    TRY(components_load(&kind_pre_tokenizer, root, name, t->arena, &t->pre_tokenizers));
    TRY(components_load(&kind_post_processor, root, name, t->arena, &t->post_processors));
    TRY(components_load(&kind_decoder, root, name, t->arena, &t->decoders));
    TRY(check_joins(t, name));
    note_needs(t);
    TRY(added_tokens_load(root, name, t->arena, &t->normalizers, t->model, t->model_data, &t->added));
done:
    return st;
}

static Status tokenizer_new(Tokenizer **out)
{
    static const char *none[1] = {NULL};
    Status st = OK;
    Arena *arena = NULL;
    Tokenizer *t;
    TRY(arena_new(&arena));
    t = arena_alloc(arena, sizeof *t);
    if (!t) {
        arena_free(arena);
        return STATUS_MEMORY;
    }
    t->arena = arena;
    t->files = none;
    t->config = (TokenizerConfig){-1, -1, -1, -1, -1, -1, -1, INT64_MAX, false, false};
    *out = t;
done:
    return st;
}

Status tokenizer_parse(const char *json, size_t size, const char *name, Tokenizer **out)
{
    Status st = OK;
    cJSON *root = NULL;
    Tokenizer *t = NULL;
    *out = NULL;
    TRY(tokenizer_new(&t));
    TRY(json_parse(json, size, name, &root));
    TRY(load_parts(root, name, t));
    *out = t;
    t = NULL;
done:
    cJSON_Delete(root);
    tokenizer_free(t);
    return st;
}

/* Says what kind of tokenizer a directory without tokenizer.json has. */
static Status missing(const char *dir, Arena *arena)
{
    static const char *const others[] = {"vocab.json", "tokenizer.model", "vocab.txt", "spiece.model",
                                         "sentencepiece.bpe.model"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const char *path = path_join(arena, dir, others[i]);
        if (path && path_exists(path))
            return status_raise(STATUS_MISSING,
                                "%s: there is %s but no tokenizer.json; make one with transformers:"
                                " AutoTokenizer.from_pretrained(…).save_pretrained(…)",
                                dir, others[i]);
    }
    return status_raise(STATUS_MISSING, "%s: there is no tokenizer.json", dir);
}

Status tokenizer_load(const char *path, Tokenizer **out)
{
    Status st = OK;
    cJSON *root = NULL;
    Tokenizer *t = NULL;
    bool is_dir = path_is_dir(path);
    const char *file = path;
    *out = NULL;
    TRY(tokenizer_new(&t));
    if (is_dir) {
        file = path_join(t->arena, path, "tokenizer.json");
        TRY_MEMORY(file);
        if (!path_exists(file)) {
            st = missing(path, t->arena);
            goto done;
        }
    }
    TRY(json_read_file(file, &root));
    TRY(load_parts(root, file, t));
    if (is_dir) TRY(tokenizer_config_load(path, t));
    *out = t;
    t = NULL;
done:
    cJSON_Delete(root);
    tokenizer_free(t);
    return st;
}

void tokenizer_free(Tokenizer *t)
{
    if (!t) return;
    components_unload(&t->normalizers);
    components_unload(&t->pre_tokenizers);
    components_unload(&t->models);
    components_unload(&t->post_processors);
    components_unload(&t->decoders);
    arena_free(t->arena);
}

int32_t tokenizer_vocab_size(const Tokenizer *t)
{
    int32_t size = t->model->count(t->model_data);
    for (size_t i = 0; i < t->added.count; i++)
        size += t->model->find(t->model_data, t->added.tokens[i].content, t->added.tokens[i].content_size) < 0;
    return size;
}

int32_t tokenizer_id_limit(const Tokenizer *t) { return t->added.id_limit; }

int32_t tokenizer_token_to_id(const Tokenizer *t, const char *token)
{
    size_t size = strlen(token);
    int32_t place = string_map_find(&t->added.by_content, token, size);
    return place >= 0 ? t->added.tokens[place].id : t->model->find(t->model_data, token, size);
}

const char *tokenizer_token(const Tokenizer *t, int32_t id, size_t *size)
{
    const AddedToken *added = added_tokens_find(&t->added, id);
    if (!added) return t->model->token(t->model_data, id, size);
    *size = added->pattern_size;
    return added->pattern;
}

const char *tokenizer_id_to_token(const Tokenizer *t, int32_t id)
{
    size_t size;
    return tokenizer_token(t, id, &size);
}

bool tokenizer_is_special(const Tokenizer *t, int32_t id)
{
    size_t size;
    const char *token = tokenizer_token(t, id, &size);
    return token && string_map_find(&t->added.specials, token, size) >= 0;
}

const TokenizerConfig *tokenizer_config(const Tokenizer *t) { return &t->config; }
const char *const *tokenizer_files(const Tokenizer *t) { return t->files; }

int64_t tokenizer_added_count(const Tokenizer *t, bool pair)
{
    int64_t count = 0;
    for (size_t i = 0; i < t->post_processors.count; i++) {
        const PostProcessorType *type = (const PostProcessorType *)t->post_processors.items[i].type;
        if (type->added) count += type->added(t->post_processors.items[i].data, pair);
    }
    return count;
}
