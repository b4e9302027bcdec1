/* TemplateProcessing, which puts special tokens around the sequences. */
#include <string.h>

#include "trainer/tokenizer/internal.h"

/* A piece of a template: a sequence (0 or 1), or special tokens. */
typedef struct TemplatePiece {
    int sequence; /* -1: special tokens */
    int32_t type_id;
    const int32_t *ids;
    size_t count;
} TemplatePiece;

typedef struct Template {
    TemplatePiece *pieces[2]; /* for one sequence, for two */
    size_t counts[2];
} Template;

static Status load_special(const cJSON *root, const char *where, const char *name, Arena *arena, TemplatePiece *piece)
{
    Status st = OK;
    const cJSON *specials = cJSON_GetObjectItemCaseSensitive(root, "special_tokens"), *id;
    const cJSON *ids = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(specials, name), "ids");
    int32_t *numbers;
    if (!cJSON_IsArray(ids)) RAISE(FORMAT, "%s: special_tokens has no ids for \"%.60s\"", where, name);
    TRY_NEW(arena, numbers, cJSON_GetArraySize(ids) + 1);
    cJSON_ArrayForEach (id, ids) {
        if (!cJSON_IsNumber(id) || !(id->valuedouble >= 0 && id->valuedouble <= INT32_MAX) ||
            id->valuedouble != (double)(int32_t)id->valuedouble)
            RAISE(FORMAT, "%s: special_tokens: an id of \"%.60s\" is not one", where, name);
        numbers[piece->count++] = (int32_t)id->valuedouble;
    }
    piece->ids = numbers;
done:
    return st;
}

static Status load_piece(const cJSON *root, const cJSON *json, const char *where, bool pair, Arena *arena,
                         TemplatePiece *piece)
{
    Status st = OK;
    const cJSON *special = cJSON_GetObjectItemCaseSensitive(json, "SpecialToken");
    const cJSON *sequence = cJSON_GetObjectItemCaseSensitive(json, "Sequence");
    const cJSON *body = special ? special : sequence;
    const char *id;
    int64_t type_id;
    if (!cJSON_IsObject(body)) RAISE(FORMAT, "%s: should be {\"SpecialToken\": {…}} or {\"Sequence\": {…}}", where);
    TRY(json_string(body, where, "id", &id));
    TRY(json_int_or(body, where, "type_id", 0, &type_id));
    if (type_id < 0 || type_id > INT32_MAX) RAISE(FORMAT, "%s: type_id is out of range", where);
    *piece = (TemplatePiece){.sequence = -1, .type_id = (int32_t)type_id};
    if (special) {
        TRY(load_special(root, where, id, arena, piece));
    } else {
        piece->sequence = !strcmp(id, "A") ? 0 : !strcmp(id, "B") ? 1 : -1;
        if (piece->sequence < 0 || piece->sequence > pair)
            RAISE(FORMAT, "%s: there is no sequence \"%.20s\"", where, id);
    }
done:
    return st;
}

static Status load_template(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Template *t;
    TRY_NEW(arena, t, 1);
    for (int pair = 0; pair < 2; pair++) {
        const char *key = pair ? "pair" : "single";
        const cJSON *list = cJSON_GetObjectItemCaseSensitive(json, key), *item;
        if (!cJSON_IsArray(list)) RAISE(FORMAT, "%s.%s: should be a list", where, key);
        TRY_NEW(arena, t->pieces[pair], cJSON_GetArraySize(list) + 1);
        cJSON_ArrayForEach (item, list) {
            const char *place = arena_printf(arena, "%s.%s[%zu]", where, key, t->counts[pair]);
            TRY_MEMORY(place);
            TRY(load_piece(json, item, place, pair, arena, &t->pieces[pair][t->counts[pair]]));
            t->counts[pair]++;
        }
    }
    *data = t;
done:
    return st;
}

static Status join_template(const void *data, const Segment *segments, int count, unsigned flags, Encoding *out)
{
    Status st = OK;
    const Template *t = data;
    for (size_t i = 0; i < t->counts[count - 1]; i++) {
        const TemplatePiece *p = &t->pieces[count - 1][i];
        if (p->sequence >= 0)
            TRY(encoding_append(out, &segments[p->sequence], p->type_id, flags));
        else if (flags & ENCODE_SPECIAL)
            TRY(encoding_append_special(out, p->ids, p->count, p->type_id, flags));
    }
done:
    return st;
}

static int64_t added_template(const void *data, bool pair)
{
    const Template *t = data;
    int64_t n = 0;
    for (size_t i = 0; i < t->counts[pair]; i++) n += (int64_t)t->pieces[pair][i].count;
    return n;
}

static int order_template(const void *data, bool pair, int sequences[2], int uses[2])
{
    const Template *t = data;
    int count = 0;
    uses[0] = uses[1] = 0;
    for (size_t i = 0; i < t->counts[pair]; i++) {
        int sequence = t->pieces[pair][i].sequence;
        if (sequence >= 0 && !uses[sequence]++) sequences[count++] = sequence;
    }
    return count;
}

const PostProcessorType post_processor_template_processing = {.head = {"TemplateProcessing", load_template, NULL},
                                                              .join = join_template,
                                                              .added = added_template,
                                                              .order = order_template};
