/* Text to ids: the way of a text through added tokens, normalizers, pre-tokenizers, model and post-processors, and
 * its offsets. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/tokenizer/internal.h"

struct EncodeScratch {
    Work *work;
    Encoding parts[2];
    Buffer characters; /* for each byte of the text, the number of its character */
};

static Status scratch_of(Encoding *e, struct EncodeScratch **out)
{
    Status st = OK;
    if (!e->scratch) {
        e->scratch = calloc(1, sizeof *e->scratch);
        if (!e->scratch) RAISE(MEMORY, "no memory for the tokenizer");
    }
    if (!e->scratch->work) TRY(work_new(&e->scratch->work));
    *out = e->scratch;
done:
    return st;
}

void encoding_free(Encoding *e)
{
    if (!e) return;
    free(e->ids);
    free(e->offsets);
    free(e->type_ids);
    if (e->scratch) {
        work_free(e->scratch->work);
        encoding_free(&e->scratch->parts[0]);
        encoding_free(&e->scratch->parts[1]);
        free(e->scratch->characters.data);
        free(e->scratch);
    }
    *e = (Encoding){0};
}

static bool grow(void *array, size_t bytes)
{
    void *old, *bigger;
    memcpy(&old, array, sizeof old);
    bigger = realloc(old, bytes);
    if (bigger) memcpy(array, &bigger, sizeof bigger);
    return bigger != NULL;
}

Status encoding_reserve(Encoding *e, int64_t more, unsigned flags)
{
    int64_t need = e->count + more;
    bool missing = !e->ids || ((flags & ENCODE_OFFSETS) && !e->offsets) || ((flags & ENCODE_TYPE_IDS) && !e->type_ids);
    if (need <= e->capacity && !missing) return OK;
    size_t capacity = (size_t)(need >= e->capacity ? need + need / 2 + 64 : e->capacity);
    /* Arrays that this call does not want grow too once they are there: they share the capacity. */
    if (!grow(&e->ids, capacity * sizeof *e->ids) ||
        ((e->offsets || flags & ENCODE_OFFSETS) && !grow(&e->offsets, capacity * sizeof *e->offsets)) ||
        ((e->type_ids || flags & ENCODE_TYPE_IDS) && !grow(&e->type_ids, capacity * sizeof *e->type_ids)))
        return status_raise(STATUS_MEMORY, "no memory for %zu tokens", capacity);
    e->capacity = (int64_t)capacity;
    return OK;
}

Status encoding_append(Encoding *e, const Encoding *part, int32_t type_id, unsigned flags)
{
    Status st = encoding_reserve(e, part->count, flags);
    size_t n = (size_t)part->count, at = (size_t)e->count;
    if (st || !n) return st;
    memcpy(e->ids + at, part->ids, n * sizeof *e->ids);
    if (flags & ENCODE_OFFSETS) memcpy(e->offsets + at, part->offsets, n * sizeof *e->offsets);
    for (size_t i = 0; i < n && flags & ENCODE_TYPE_IDS; i++)
        e->type_ids[at + i] = type_id < 0 ? part->type_ids[i] : type_id;
    e->count += part->count;
    return OK;
}

/* Spans of bytes into offsets in characters: a token that begins or ends within a character covers it. */
static Status count_characters(struct EncodeScratch *s, const char *text, size_t size, Encoding *part)
{
    Status st = OK;
    const Work *w = s->work;
    uint32_t *number = NULL;
    if (!utf8_is_ascii(text, size)) {
        TRY(buffer_reserve(&s->characters, size * sizeof *number));
        number = s->characters.data;
        uint32_t n = 0;
        for (size_t i = 0; i < size; i++) number[i] = (n += ((unsigned char)text[i] & 0xC0) != 0x80) - 1;
    }
    for (int64_t i = 0; i < part->count; i++) {
        Span span = w->spans[i];
        if (w->origin) {
            uint32_t start = w->origin[span.start].start;
            span = (Span){start, span.end > span.start ? w->origin[span.end - 1].end : start};
        }
        if (number && span.end > span.start) span = (Span){number[span.start], number[span.end - 1] + 1};
        part->offsets[i][0] = span.start;
        part->offsets[i][1] = span.end;
    }
done:
    return st;
}

/* One text as far as the model goes. */
static Status encode_part(const Tokenizer *t, struct EncodeScratch *s, const char *text, size_t size, unsigned flags,
                          Encoding *part)
{
    Status st = OK;
    Work *w = s->work;
    part->count = 0;
    size_t valid = utf8_valid_bytes(text, size);
    if (valid != size) RAISE(FORMAT, "invalid UTF-8 at byte %zu of a text of %zu bytes", valid, size);
    TRY(work_begin(w, text, size, flags & ENCODE_OFFSETS));
    TRY(added_tokens_split(&t->added, false, w));
    for (size_t i = 0; i < t->normalizers.count; i++)
        TRY(((const NormalizerType *)t->normalizers.items[i].type)->run(t->normalizers.items[i].data, w));
    TRY(added_tokens_split(&t->added, true, w));
    for (size_t i = 0; i < t->pre_tokenizers.count; i++)
        TRY(((const PreTokenizerType *)t->pre_tokenizers.items[i].type)->run(t->pre_tokenizers.items[i].data, w));
    TRY(t->model->tokenize(t->model_data, w));

    TRY(encoding_reserve(part, (int64_t)w->token_count, flags));
    if (w->token_count) memcpy(part->ids, w->ids, w->token_count * sizeof *part->ids);
    part->count = (int64_t)w->token_count;
    if (flags & ENCODE_TYPE_IDS) memset(part->type_ids, 0, w->token_count * sizeof *part->type_ids);
    if (!(flags & ENCODE_OFFSETS)) goto done;
    TRY(count_characters(s, text, size, part));
    for (size_t i = 0; i < t->post_processors.count; i++) {
        const PostProcessorType *type = (const PostProcessorType *)t->post_processors.items[i].type;
        if (type->trim) type->trim(t->post_processors.items[i].data, t, w, part);
    }
done:
    return st;
}

static Status join_parts(const Tokenizer *t, const Encoding *parts, int count, unsigned flags, Encoding *out)
{
    Status st = OK;
    for (size_t i = 0; i < t->post_processors.count; i++) {
        const PostProcessorType *type = (const PostProcessorType *)t->post_processors.items[i].type;
        if (type->join) return type->join(t->post_processors.items[i].data, parts, count, flags, out);
    }
    for (int i = 0; i < count && !st; i++) st = encoding_append(out, &parts[i], i, flags);
    return st;
}

Status tokenizer_encode(const Tokenizer *t, const char *text, size_t size, unsigned flags, Encoding *out)
{
    Status st = OK;
    struct EncodeScratch *s = NULL;
    out->count = 0;
    TRY(scratch_of(out, &s));
    TRY(encode_part(t, s, text, size, flags, &s->parts[0]));
    TRY(join_parts(t, s->parts, 1, flags, out));
done:
    if (st) out->count = 0;
    return st;
}

Status tokenizer_encode_pair(const Tokenizer *t, const char *first, size_t first_size, const char *second,
                             size_t second_size, unsigned flags, Encoding *out)
{
    Status st = OK;
    struct EncodeScratch *s = NULL;
    out->count = 0;
    TRY(scratch_of(out, &s));
    TRY(encode_part(t, s, first, first_size, flags, &s->parts[0]));
    TRY(encode_part(t, s, second, second_size, flags, &s->parts[1]));
    TRY(join_parts(t, s->parts, 2, flags, out));
done:
    if (st) out->count = 0;
    return st;
}
