/* Reading the parts of a tokenizer.json by the lists of component.h. */
#include "trainer/tokenizer/component.h"

#include <string.h>

#define NORMALIZER_HEAD(name) &normalizer_##name.head,
#define PRE_TOKENIZER_HEAD(name) &pre_tokenizer_##name.head,
#define MODEL_HEAD(name) &tokenizer_model_##name.head,
#define POST_PROCESSOR_HEAD(name) &post_processor_##name.head,
#define DECODER_HEAD(name) &decoder_##name.head,
static const ComponentType *const normalizers[] = {NORMALIZERS(NORMALIZER_HEAD) NULL};
static const ComponentType *const pre_tokenizers[] = {PRE_TOKENIZERS(PRE_TOKENIZER_HEAD) NULL};
static const ComponentType *const models[] = {TOKENIZER_MODELS(MODEL_HEAD) NULL};
static const ComponentType *const post_processors[] = {POST_PROCESSORS(POST_PROCESSOR_HEAD) NULL};
static const ComponentType *const decoders[] = {DECODERS(DECODER_HEAD) NULL};

const ComponentKind kind_normalizer = {"normalizer", "normalizer", "normalizers", normalizers};
const ComponentKind kind_pre_tokenizer = {"pre-tokenizer", "pre_tokenizer", "pretokenizers", pre_tokenizers};
const ComponentKind kind_model = {"model", "model", NULL, models};
const ComponentKind kind_post_processor = {"post-processor", "post_processor", "processors", post_processors};
const ComponentKind kind_decoder = {"decoder", "decoder", "decoders", decoders};

enum { SEQUENCE_DEPTH = 16 };

static Status refuse(const ComponentKind *kind, const char *where, const char *name)
{
    char known[512] = "";
    for (size_t i = 0; kind->types[i]; i++) {
        strncat(known, i ? ", " : "", sizeof known - strlen(known) - 1);
        strncat(known, kind->types[i]->name, sizeof known - strlen(known) - 1);
    }
    return status_raise(STATUS_UNSUPPORTED, "%s: %s \"%.60s\" is not supported (there are: %s%s)", where, kind->name,
                        name, kind->members ? "Sequence, " : "", known);
}

/* The type's name; a model may lack it in very old files. */
static Status type_of(const ComponentKind *kind, const cJSON *json, const char *where, const char **name)
{
    const char *fallback = NULL;
    if (kind == &kind_model && cJSON_GetObjectItemCaseSensitive(json, "continuing_subword_prefix"))
        fallback = "WordPiece";
    if (kind == &kind_model && cJSON_GetObjectItemCaseSensitive(json, "merges")) fallback = "BPE";
    if (!cJSON_IsObject(json)) return status_raise(STATUS_FORMAT, "%s: should be an object with a \"type\"", where);
    Status st = json_string_or(json, where, "type", fallback, name);
    if (!st && !*name) st = status_raise(STATUS_FORMAT, "%s: \"type\" is missing", where);
    return st;
}

static Status load_one(const ComponentKind *kind, const cJSON *json, const char *where, int depth, Arena *arena,
                       ComponentList *list)
{
    Status st = OK;
    const char *name;
    TRY(type_of(kind, json, where, &name));
    if (kind->members && !strcmp(name, "Sequence")) {
        const cJSON *members = cJSON_GetObjectItemCaseSensitive(json, kind->members), *member;
        if (!cJSON_IsArray(members)) RAISE(FORMAT, "%s.%s: should be a list", where, kind->members);
        if (depth == SEQUENCE_DEPTH) RAISE(FORMAT, "%s: sequences nested more than %d deep", where, SEQUENCE_DEPTH);
        int i = 0;
        cJSON_ArrayForEach (member, members) {
            const char *inner = arena_printf(arena, "%s.%s[%d]", where, kind->members, i++);
            TRY_MEMORY(inner);
            TRY(load_one(kind, member, inner, depth + 1, arena, list));
        }
        goto done;
    }
    const ComponentType *type = NULL;
    for (size_t i = 0; kind->types[i] && !type; i++)
        if (!strcmp(kind->types[i]->name, name)) type = kind->types[i];
    if (!type) {
        st = refuse(kind, where, name);
        goto done;
    }
    if (list->count == list->capacity) {
        list->items = arena_grow(arena, list->items, &list->capacity, list->count + 1, sizeof *list->items);
        TRY_MEMORY(list->items);
    }
    void *data = NULL;
    TRY(type->load(json, where, arena, &data));
    list->items[list->count++] = (Component){type, data};
done:
    return st;
}

Status components_load(const ComponentKind *kind, const cJSON *root, const char *file, Arena *arena,
                       ComponentList *list)
{
    Status st = OK;
    const cJSON *json = cJSON_GetObjectItemCaseSensitive(root, kind->key);
    if (!json || cJSON_IsNull(json)) return OK;
    const char *where = arena_printf(arena, "%s: %s", file, kind->key);
    TRY_MEMORY(where);
    TRY(load_one(kind, json, where, 0, arena, list));
done:
    return st;
}

void components_unload(ComponentList *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].type->unload) list->items[i].type->unload(list->items[i].data);
    list->count = 0;
}
