/* See stop_strings.h. The bytes of a token are found once, by decoding it behind "abcdef". */
#include "trainer/generate/stop_strings.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/tokenizer/byte_alphabet.h"

typedef struct Piece { uint32_t begin, size, known; } Piece; /* in `bytes` */

struct StopStrings {
    const Tokenizer *tokenizer;
    const StringList *strings;
    size_t longest;
    Encoding base; /* "abcdef" and one more id */
    Text prefix;   /* what the base decodes to */
    Piece *pieces; /* [id_limit] */
    int32_t id_limit;
    Text bytes, tail;
};

Status stop_strings_new(const Tokenizer *tokenizer, const StringList *strings, StopStrings **out)
{
    Status st = OK;
    StopStrings *s = calloc(1, sizeof *s);
    if (!s) RAISE(MEMORY, "out of memory: stop strings");
    s->tokenizer = tokenizer, s->strings = strings;
    s->id_limit = tokenizer_id_limit(tokenizer);
    if (!(s->pieces = calloc((size_t)s->id_limit + 1, sizeof *s->pieces))) RAISE(MEMORY, "out of memory: stop strings");
    for (int32_t i = 0; i < strings->count; i++) {
        size_t size = strlen(strings->strings[i]);
        s->longest = size > s->longest ? size : s->longest;
    }
    TRY(tokenizer_encode(tokenizer, "abcdef", 6, 0, &s->base));
    TRY(tokenizer_decode(tokenizer, s->base.ids, s->base.count, false, &s->prefix));
    *out = s;
    return OK;
done:
    stop_strings_free(s);
    return st;
}

void stop_strings_free(StopStrings *s)
{
    if (!s) return;
    encoding_free(&s->base);
    text_free(&s->prefix);
    free(s->pieces);
    text_free(&s->bytes);
    text_free(&s->tail);
    free(s);
}

/* <0x0A> of byte fallback. */
static bool add_fallback(const char *token, Text *out)
{
    char *end;
    if (strlen(token) != 6 || strncmp(token, "<0x", 3) || token[5] != '>') return false;
    unsigned long byte = strtoul(token + 3, &end, 16);
    if (end != token + 5) return false;
    text_add(out, &(char){(char)byte}, 1);
    return true;
}

/* A token that is written in the byte-level alphabet; else nothing is added. */
static bool add_byte_level(const char *token, Text *out)
{
    size_t before = out->size;
    for (const unsigned char *c = (const unsigned char *)token; *c; c++) {
        uint32_t point = *c < 0x80 ? *c : *c < 0xE0 && (c[1] & 0xC0) == 0x80 ? (*c & 0x1Fu) << 6 | (c[1] & 0x3Fu) : 0;
        int byte = byte_alphabet_inverse(point);
        if (*c >= 0x80 && point) c++;
        if (byte < 0) {
            out->size = before;
            return false;
        }
        text_add(out, &(char){(char)byte}, 1);
    }
    return out->size > before;
}

static Status find_piece(StopStrings *s, int32_t id, Piece *piece)
{
    Status st = OK;
    Text text = {0}, raw = {0};
    const char *token = tokenizer_id_to_token(s->tokenizer, id), *added = "";
    int32_t *ids = malloc(((size_t)s->base.count + 1) * sizeof *ids);
    if (!ids) RAISE(MEMORY, "out of memory: stop strings");
    if (s->base.count) memcpy(ids, s->base.ids, (size_t)s->base.count * sizeof *ids);
    ids[s->base.count] = id;
    TRY(tokenizer_decode(s->tokenizer, ids, s->base.count + 1, false, &text));
    if (token && text.size > s->prefix.size && !memcmp(text.data, s->prefix.data, s->prefix.size))
        added = text.data + s->prefix.size;
    bool broken = strstr(added, "\xEF\xBF\xBD") != NULL;
    if (token && ((strcmp(added, token) && add_fallback(token, &raw)) || (broken && add_byte_level(token, &raw))))
        added = raw.data;
    size_t size = raw.size ? raw.size : strlen(added);
    *piece = (Piece){(uint32_t)s->bytes.size, (uint32_t)size, 1};
    text_add(&s->bytes, added, size);
    if (s->bytes.failed || raw.failed) RAISE(MEMORY, "out of memory: stop strings");
done:
    free(ids);
    text_free(&text);
    text_free(&raw);
    return st;
}

/* The bytes of the last tokens, as many as may matter, at the end of s->tail; where the last one's begin. */
static Status collect(StopStrings *s, const int32_t *ids, int64_t count, size_t *begin, size_t *last)
{
    Status st = OK;
    size_t most = 0, left;
    for (int64_t i = count - 1, n = 0; i >= 0 && n < (int64_t)s->longest; i--, n++) {
        if (ids[i] < 0 || ids[i] >= s->id_limit) break;
        Piece *piece = &s->pieces[ids[i]];
        if (!piece->known) TRY(find_piece(s, ids[i], piece));
        if (!piece->size) break;
        most += piece->size;
    }
    s->tail.size = 0;
    while (s->tail.size < most && !s->tail.failed) text_add(&s->tail, "                ", 16); /* room */
    if (s->tail.failed) RAISE(MEMORY, "out of memory: stop strings");
    left = s->tail.size, *last = left;
    for (int64_t i = count - 1; s->tail.size - left < most; i--) {
        const Piece *piece = &s->pieces[ids[i]];
        left -= piece->size;
        memcpy(s->tail.data + left, s->bytes.data + piece->begin, piece->size);
        if (i == count - 1) *last = left;
    }
    *begin = left;
done:
    return st;
}

Status stop_strings_found(StopStrings *s, const int32_t *ids, int64_t count, bool *found)
{
    Status st = OK;
    size_t begin = 0, last = 0;
    *found = false;
    TRY(collect(s, ids, count, &begin, &last));
    for (int32_t i = 0; i < s->strings->count && !*found; i++) {
        const char *stop = s->strings->strings[i];
        size_t size = strlen(stop);
        for (size_t at = begin; at + size <= s->tail.size && !*found; at++)
            *found = at + size > last && !memcmp(s->tail.data + at, stop, size);
    }
done:
    return st;
}
