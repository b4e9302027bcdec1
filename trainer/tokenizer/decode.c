/* Ids to text, at once and token by token. */
#include <stdlib.h>
#include <string.h>

#include "trainer/tokenizer/internal.h"

Status decode_token_end(DecodeWork *w)
{
    if (w->text.failed) return status_raise(STATUS_MEMORY, "no memory to decode tokens");
    if (w->count == w->capacity) {
        size_t capacity = w->capacity * 2 + 64, *ends = realloc(w->ends, capacity * sizeof *ends);
        if (!ends) return status_raise(STATUS_MEMORY, "no memory to decode %zu tokens", capacity);
        w->ends = ends;
        w->capacity = capacity;
    }
    w->ends[w->count++] = w->text.size;
    return OK;
}

void decode_replace(DecodeWork *w, DecodeWork *next)
{
    DecodeWork old = *w;
    *w = *next;
    *next = old;
}

void decode_work_free(DecodeWork *w)
{
    text_free(&w->text);
    free(w->ends);
}

Status tokenizer_decode(const Tokenizer *t, const int32_t *ids, int64_t count, bool skip_special, Text *out)
{
    Status st = OK;
    DecodeWork w = {0};
    bool spaced = !t->decoders.count; /* the library's way when there is no decoder */
    for (int64_t i = 0; i < count; i++) {
        size_t size;
        if (ids[i] < 0) RAISE(FORMAT, "id %d cannot be decoded: ids begin at 0", ids[i]);
        const char *token = tokenizer_token(t, ids[i], &size);
        if (!token || (skip_special && string_map_find(&t->added.specials, token, size) >= 0)) continue;
        if (spaced && w.count) decode_text(&w, " ", 1);
        decode_text(&w, token, size);
        TRY(decode_token_end(&w));
    }
    for (size_t i = 0; i < t->decoders.count; i++)
        TRY(((const DecoderType *)t->decoders.items[i].type)->run(t->decoders.items[i].data, &w));
    if (w.text.size) text_add(out, w.text.data, w.text.size);
    if (w.text.failed || out->failed) RAISE(MEMORY, "no memory to decode %lld tokens", (long long)count);
done:
    decode_work_free(&w);
    return st;
}

/* Bytes of the maximal invalid sequence at s (Unicode 3.9, "best practice"). */
static size_t invalid_length(const unsigned char *s, size_t left)
{
    unsigned lead = s[0], n = lead < 0xC2 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 1;
    unsigned low = lead == 0xE0   ? 0xA0
                   : lead == 0xF0 ? 0x90
                                  : 0x80,
             high = lead == 0xED   ? 0x9F
                    : lead == 0xF4 ? 0x8F
                                   : 0xBF;
    size_t i = 1;
    for (; i < n && i < left && s[i] >= low && s[i] <= high; i++) low = 0x80, high = 0xBF;
    return i;
}

void text_add_lossy(Text *out, const char *bytes, size_t size)
{
    while (size) {
        size_t valid = utf8_valid_bytes(bytes, size);
        if (valid) text_add(out, bytes, valid);
        bytes += valid;
        size -= valid;
        if (!size) break;
        size_t n = invalid_length((const unsigned char *)bytes, size);
        text_add(out, "\xEF\xBF\xBD", 3);
        bytes += n;
        size -= n;
    }
}

/* The window of ids whose text is not settled, as the library's DecodeStream keeps it: ids before `settled` have been
 * given out and are decoded again only because what follows may depend on them. */
struct DecodeStream {
    const Tokenizer *tokenizer;
    bool skip_special;
    int32_t *ids;
    size_t count, capacity, settled;
    Text prefix; /* the text of the settled ids */
};

Status decode_stream_new(const Tokenizer *tokenizer, bool skip_special, DecodeStream **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return status_raise(STATUS_MEMORY, "no memory for a stream of text");
    (*out)->tokenizer = tokenizer;
    (*out)->skip_special = skip_special;
    return OK;
}

void decode_stream_free(DecodeStream *s)
{
    if (!s) return;
    text_free(&s->prefix);
    free(s->ids);
    free(s);
}

static Status stream_add(DecodeStream *s, int32_t id)
{
    if (s->count == s->capacity) {
        size_t capacity = s->capacity * 2 + 16;
        int32_t *ids = realloc(s->ids, capacity * sizeof *ids);
        if (!ids) return status_raise(STATUS_MEMORY, "no memory for a stream of text");
        s->ids = ids;
        s->capacity = capacity;
    }
    s->ids[s->count++] = id;
    return OK;
}

/* Gives out what decoding the window adds to the settled text; not an incomplete end unless it is the last. */
static Status stream_give(DecodeStream *s, bool last, Text *out)
{
    Status st = OK;
    Text now = {0};
    TRY(tokenizer_decode(s->tokenizer, s->ids, (int64_t)s->count, s->skip_special, &now));
    bool incomplete = now.size >= 3 && !memcmp(now.data + now.size - 3, "\xEF\xBF\xBD", 3);
    if (now.size <= s->prefix.size || (incomplete && !last)) goto done;
    if (s->prefix.size && memcmp(now.data, s->prefix.data, s->prefix.size)) {
        /* What was given out would read otherwise now (bytes that are no text: the library stops here): what is new is
         * read by itself. */
        now.size = s->prefix.size = 0;
        TRY(tokenizer_decode(s->tokenizer, s->ids + s->settled, (int64_t)(s->count - s->settled), s->skip_special,
                             &now));
    }
    if (now.size > s->prefix.size) text_add(out, now.data + s->prefix.size, now.size - s->prefix.size);
    memmove(s->ids, s->ids + s->settled, (s->count - s->settled) * sizeof *s->ids);
    s->count -= s->settled;
    s->settled = s->count;
    s->prefix.size = 0;
    TRY(tokenizer_decode(s->tokenizer, s->ids, (int64_t)s->count, s->skip_special, &s->prefix));
    if (out->failed) RAISE(MEMORY, "no memory for a stream of text");
done:
    text_free(&now);
    return st;
}

Status decode_stream_step(DecodeStream *s, int32_t id, Text *out)
{
    Status st = OK;
    TRY(stream_add(s, id));
    TRY(stream_give(s, false, out));
done:
    return st;
}

Status decode_stream_end(DecodeStream *s, Text *out)
{
    Status st = s->count ? stream_give(s, true, out) : OK;
    s->count = s->settled = s->prefix.size = 0;
    return st;
}
