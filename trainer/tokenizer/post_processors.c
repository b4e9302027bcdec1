/* ByteLevel, which trims offsets; BertProcessing and RobertaProcessing, the templates of old files: [CLS] A [SEP] B
 * [SEP] and <s> A </s> </s> B </s>. RobertaProcessing trims too. */
#include "trainer/tokenizer/internal.h"

typedef struct Trim {
    bool add_prefix_space, trim_offsets;
} Trim;

typedef struct Around {
    Trim trim; /* of Roberta */
    int32_t cls, sep;
} Around;

static Status read_trim(const cJSON *json, const char *where, Trim *t)
{
    Status st = OK;
    TRY(json_bool_or(json, where, "add_prefix_space", true, &t->add_prefix_space));
    TRY(json_bool_or(json, where, "trim_offsets", true, &t->trim_offsets));
done:
    return st;
}

static Status load_byte_level(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Trim *t;
    TRY_NEW(arena, t, 1);
    TRY(read_trim(json, where, t));
    *data = t;
done:
    return st;
}

/* ["</s>", 2] */
static Status read_token(const cJSON *json, const char *where, const char *key, int32_t *id)
{
    const cJSON *pair = cJSON_GetObjectItemCaseSensitive(json, key), *text = cJSON_IsArray(pair) ? pair->child : NULL;
    const cJSON *number = text ? text->next : NULL;
    if (!cJSON_IsString(text) || !cJSON_IsNumber(number) || number->next ||
        !(number->valuedouble >= 0 && number->valuedouble <= INT32_MAX) ||
        number->valuedouble != (double)(int32_t)number->valuedouble)
        return status_raise(STATUS_FORMAT, "%s: %s should be a token and its id, as [\"%s\", 2]", where, key, key);
    *id = (int32_t)number->valuedouble;
    return OK;
}

static Status load_around(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Around *a;
    TRY_NEW(arena, a, 1);
    TRY(read_trim(json, where, &a->trim));
    TRY(read_token(json, where, "cls", &a->cls));
    TRY(read_token(json, where, "sep", &a->sep));
    *data = a;
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

Span spaces_around(const char *text, size_t size)
{
    Span n = {0, 0};
    for (const char *at = text; at < text + size && is_space(at); at += utf8_length((unsigned char)*at)) n.start++;
    for (const char *at = text + size; at > text && is_space(utf8_previous(at)); at = utf8_previous(at)) n.end++;
    return n;
}

/* The library's process_offsets: a first token's only space is left in when the pre-tokenizer may have put it there. */
static void trim(const void *data, const Span *spaces, int64_t lead, Encoding *tokens)
{
    const Trim *t = data;
    for (int64_t i = 0; i < tokens->count && t->trim_offsets; i++) {
        int64_t leading = spaces[i].start, trailing = spaces[i].end, *o = tokens->offsets[i];
        if (leading == 1 && t->add_prefix_space && (i + lead == 0 || o[0] == 0)) leading = 0;
        o[0] = o[0] + leading < o[1] ? o[0] + leading : o[1];
        if (trailing && o[1] >= trailing) o[1] = o[1] - trailing > o[0] ? o[1] - trailing : o[0];
    }
}

static Status join_bert(const void *data, const Segment *segments, int count, unsigned flags, Encoding *out)
{
    Status st = OK;
    const Around *a = data;
    for (int i = 0; i < count; i++) {
        if (i == 0 && flags & ENCODE_SPECIAL) TRY(encoding_append_special(out, &a->cls, 1, 0, flags));
        TRY(encoding_append(out, &segments[i], i, flags));
        if (flags & ENCODE_SPECIAL) TRY(encoding_append_special(out, &a->sep, 1, i, flags));
    }
done:
    return st;
}

/* All type ids are 0; without special tokens not those of later windows. */
static Status join_roberta(const void *data, const Segment *segments, int count, unsigned flags, Encoding *out)
{
    Status st = OK;
    const Around *a = data;
    for (int i = 0; i < count; i++) {
        Segment s = segments[i];
        if (flags & ENCODE_SPECIAL) {
            s.is_first = true;
            TRY(encoding_append_special(out, i ? &a->sep : &a->cls, 1, 0, flags));
        }
        TRY(encoding_append(out, &s, 0, flags));
        if (flags & ENCODE_SPECIAL) TRY(encoding_append_special(out, &a->sep, 1, 0, flags));
    }
done:
    return st;
}

static int64_t added_bert(const void *data, bool pair) { return (void)data, pair ? 3 : 2; }
static int64_t added_roberta(const void *data, bool pair) { return (void)data, pair ? 4 : 2; }
static int64_t lead_bert(const void *data, int sequence) { return (void)data, sequence == 0; }
static int64_t lead_roberta(const void *data, int sequence) { return (void)data, (void)sequence, 1; }

const PostProcessorType post_processor_byte_level = {.head = {"ByteLevel", load_byte_level, NULL}, .trim = trim};
const PostProcessorType post_processor_bert_processing = {
    .head = {"BertProcessing", load_around, NULL}, .join = join_bert, .added = added_bert, .lead = lead_bert};
const PostProcessorType post_processor_roberta_processing = {.head = {"RobertaProcessing", load_around, NULL},
                                                             .trim = trim, /* Around begins with Trim */
                                                             .join = join_roberta,
                                                             .added = added_roberta,
                                                             .lead = lead_roberta};
