/* ByteLevel, which trims offsets, and TemplateProcessing, which puts special tokens around the sequences. */
#include <string.h>

#include "trainer/tokenizer/internal.h"

typedef struct ByteLevel {
    bool add_prefix_space, trim_offsets;
} ByteLevel;

static Status load_byte_level(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    ByteLevel *b;
    TRY_NEW(arena, b, 1);
    TRY(json_bool_or(json, where, "add_prefix_space", true, &b->add_prefix_space));
    TRY(json_bool_or(json, where, "trim_offsets", true, &b->trim_offsets));
    *data = b;
done:
    return st;
}

/* White space, or a space in the byte-level alphabet (U+0120). */
static bool is_space(const char *at)
{
    unsigned length;
    uint32_t c = utf8_decode(at, &length);
    if (c > 32 && c < 127) return false;
    return c == 0x120 || unicode_find(c)->flags & UNICODE_RUST_SPACE;
}

static int64_t leading_spaces(const char *text, size_t size)
{
    int64_t n = 0;
    for (const char *at = text; at < text + size && is_space(at); at += utf8_length((unsigned char)*at)) n++;
    return n;
}

static int64_t trailing_spaces(const char *text, size_t size)
{
    int64_t n = 0;
    for (const char *at = text + size; at > text && is_space(utf8_previous(at)); at = utf8_previous(at)) n++;
    return n;
}

/* The library's process_offsets: a first token's only space is left in when the pre-tokenizer may have put it there. */
static void trim_byte_level(const void *data, const Tokenizer *t, const Work *w, Encoding *part)
{
    const ByteLevel *b = data;
    for (int64_t i = 0; i < part->count && b->trim_offsets; i++) {
        size_t size = w->spans[i].end - w->spans[i].start;
        const char *text =
            w->text + w->spans[i].start; /* what an added token matched, white space around it included */
        if (!added_tokens_find(&t->added, part->ids[i])) text = tokenizer_token(t, part->ids[i], &size);
        int64_t leading = leading_spaces(text, size), trailing = trailing_spaces(text, size), *o = part->offsets[i];
        if (leading == 1 && b->add_prefix_space && (i == 0 || o[0] == 0)) leading = 0;
        o[0] = o[0] + leading < o[1] ? o[0] + leading : o[1];
        if (trailing && o[1] >= trailing) o[1] = o[1] - trailing > o[0] ? o[1] - trailing : o[0];
    }
}

const PostProcessorType post_processor_byte_level = {.head = {"ByteLevel", load_byte_level, NULL},
                                                     .trim = trim_byte_level};

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

static Status join_template(const void *data, const Encoding *parts, int count, unsigned flags, Encoding *out)
{
    Status st = OK;
    const Template *t = data;
    for (size_t i = 0; i < t->counts[count - 1]; i++) {
        const TemplatePiece *p = &t->pieces[count - 1][i];
        if (p->sequence >= 0) {
            TRY(encoding_append(out, &parts[p->sequence], p->type_id, flags));
            continue;
        }
        if (!(flags & ENCODE_SPECIAL)) continue;
        TRY(encoding_reserve(out, (int64_t)p->count, flags));
        for (size_t k = 0; k < p->count; k++, out->count++) {
            out->ids[out->count] = p->ids[k];
            if (flags & ENCODE_OFFSETS) out->offsets[out->count][0] = out->offsets[out->count][1] = 0;
            if (flags & ENCODE_TYPE_IDS) out->type_ids[out->count] = p->type_id;
        }
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

const PostProcessorType post_processor_template_processing = {
    .head = {"TemplateProcessing", load_template, NULL}, .join = join_template, .added = added_template};
