/* Text to ids: the way of a text through added tokens, normalizers, pre-tokenizers, model and post-processors, and
 * its offsets. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/tokenizer/internal.h"

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
        if (w->origin && span.end > span.start)
            span = (Span){w->origin[span.start].start, w->origin[span.end - 1].end};
        else if (w->origin)
            span.start = span.end = w->origin[span.start].start;
        if (number && span.end > span.start)
            span = (Span){number[span.start], number[span.end - 1] + 1};
        else if (number && span.start < size)
            span.start = span.end = number[span.start];
        part->offsets[i][0] = span.start;
        part->offsets[i][1] = span.end;
    }
done:
    return st;
}

/* For the trimming of offsets: an added token's text is what it matched, white space around it included. */
static Status count_spaces(const Tokenizer *t, const Work *w, Part *part)
{
    Status st = OK;
    TRY(buffer_reserve(&part->spaces, w->token_count * sizeof(Span)));
    Span *spaces = part->spaces.data;
    int32_t own_text = t->model->own_text ? t->model->own_text(t->model_data) : -1;
    for (size_t i = 0; i < w->token_count; i++) {
        size_t size = w->spans[i].end - w->spans[i].start;
        const char *text = w->text + w->spans[i].start;
        if (w->pieces[w->words[i]].id < 0 && w->ids[i] != own_text)
            text = t->model->token(t->model_data, w->ids[i], &size);
        spaces[i] = spaces_around(text, size);
    }
done:
    return st;
}

static Status run_parts(const Tokenizer *t, Work *w)
{
    Status st = OK;
    TRY(added_tokens_split(&t->added, false, w));
    for (size_t i = 0; i < t->normalizers.count; i++)
        TRY(((const NormalizerType *)t->normalizers.items[i].type)->run(t->normalizers.items[i].data, w));
    TRY(added_tokens_split(&t->added, true, w));
    for (size_t i = 0; i < t->pre_tokenizers.count; i++)
        TRY(((const PreTokenizerType *)t->pre_tokenizers.items[i].type)->run(t->pre_tokenizers.items[i].data, w));
    TRY(t->model->tokenize(t->model_data, w));
done:
    return st;
}

/* One text as far as the model goes. */
static Status encode_part(const Tokenizer *t, struct EncodeScratch *s, const char *text, size_t size, Part *part)
{
    Status st = OK;
    Work *w = s->work;
    Encoding *all = &part->all;
    all->count = 0;
    size_t valid = utf8_valid_bytes(text, size);
    if (valid != size) RAISE(FORMAT, "invalid UTF-8 at byte %zu of a text of %zu bytes", valid, size);
    bool trims = t->trims && s->flags & ENCODE_OFFSETS, words = s->flags & ENCODE_WORD_IDS;
    TRY(work_begin(w, text, size, s->flags & ENCODE_OFFSETS || t->needs_origin, words || trims));
    TRY(run_parts(t, w));
    TRY(encoding_reserve(all, (int64_t)w->token_count, s->flags & (ENCODE_OFFSETS | ENCODE_WORD_IDS)));
    if (w->token_count) memcpy(all->ids, w->ids, w->token_count * sizeof *all->ids);
    if (w->token_count && words) memcpy(all->word_ids, w->words, w->token_count * sizeof *all->word_ids);
    all->count = (int64_t)w->token_count;
    if (!(s->flags & ENCODE_OFFSETS)) goto done;
    TRY(count_characters(s, text, size, all));
    if (trims) TRY(count_spaces(t, w, part));
done:
    return st;
}

Status tokenizer_encode_input(const Tokenizer *t, const EncodeInput *input, unsigned flags, Encoding *out)
{
    Status st = OK;
    struct EncodeScratch *s = NULL;
    int64_t added = 0;
    out->count = out->windows = 0;
    TRY(scratch_of(out, &s));
    s->flags = flags;
    s->part_count = input->pair ? 2 : 1;
    TRY(encode_part(t, s, input->text, input->size, &s->parts[0]));
    if (input->pair) TRY(encode_part(t, s, input->pair, input->pair_size, &s->parts[1]));
    if (flags & ENCODE_SPECIAL && input->truncation) added = tokenizer_added_count(t, input->pair != NULL);
    TRY(truncate_parts(s->parts, s->part_count, input->truncation, added));
    out->windows = windows_count(t, s);
    TRY(encoding_window(t, 0, out));
done:
    if (st) out->count = out->windows = 0;
    return st;
}

Status tokenizer_encode(const Tokenizer *t, const char *text, size_t size, unsigned flags, Encoding *out)
{
    return tokenizer_encode_input(t, &(EncodeInput){.text = text, .size = size}, flags, out);
}

Status tokenizer_encode_pair(const Tokenizer *t, const char *first, size_t first_size, const char *second,
                             size_t second_size, unsigned flags, Encoding *out)
{
    return tokenizer_encode_input(t, &(EncodeInput){first, second, first_size, second_size, NULL}, flags, out);
}
