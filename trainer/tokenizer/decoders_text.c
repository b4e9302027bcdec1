/* Decoders of SentencePiece's models: ByteFallback, Replace, Strip. */
#include <string.h>

#include "trainer/tokenizer/internal.h"
#include "trainer/tokenizer/pattern.h"

static Status load_nothing(const cJSON *json, const char *where, Arena *arena, void **data)
{
    (void)json, (void)where, (void)arena;
    *data = NULL;
    return OK;
}

static int digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* The byte that a token <0x..> stands for, -1. "+F" is a number to the library. */
static int byte_of(const char *token, size_t size)
{
    if (size != 6 || memcmp(token, "<0x", 3) || token[5] != '>') return -1;
    int high = token[3] == '+' ? 0 : digit(token[3]), low = digit(token[4]);
    return high < 0 || low < 0 ? -1 : 16 * high + low;
}

/* A run of bytes is one text when it is UTF-8, otherwise each byte is U+FFFD. */
static Status end_bytes(DecodeWork *next, Text *bytes)
{
    Status st = OK;
    if (!bytes->size) goto done;
    if (bytes->failed) RAISE(MEMORY, "no memory to decode bytes");
    if (utf8_valid_bytes(bytes->data, bytes->size) == bytes->size) {
        decode_text(next, bytes->data, bytes->size);
        TRY(decode_token_end(next));
    } else {
        for (size_t i = 0; i < bytes->size; i++) {
            decode_text(next, "\xEF\xBF\xBD", 3);
            TRY(decode_token_end(next));
        }
    }
    bytes->size = 0;
done:
    return st;
}

static Status run_byte_fallback(const void *data, DecodeWork *w)
{
    Status st = OK;
    DecodeWork next = {0};
    Text bytes = {0};
    (void)data;
    for (size_t i = 0, start = 0; i < w->count; i++) {
        size_t size;
        const char *token = decode_token(w, i, &start, &size);
        int value = size ? byte_of(token, size) : -1;
        char byte = (char)value;
        if (value >= 0) {
            text_add(&bytes, &byte, 1);
            continue;
        }
        TRY(end_bytes(&next, &bytes));
        decode_text(&next, token, size);
        TRY(decode_token_end(&next));
    }
    TRY(end_bytes(&next, &bytes));
    decode_replace(w, &next);
done:
    text_free(&bytes);
    decode_work_free(&next);
    return st;
}

typedef struct Replace {
    Pattern pattern;
    const char *content;
    size_t size;
} Replace;

static Status load_replace(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Replace *r;
    const char *content;
    TRY_NEW(arena, r, 1);
    TRY(json_string(json, where, "content", &content));
    r->size = strlen(content);
    r->content = arena_strdup(arena, content);
    TRY_MEMORY(r->content);
    TRY(pattern_load(json, where, arena, &r->pattern));
    *data = r;
done:
    return st;
}

static void unload_replace(void *data) { pattern_free(&((Replace *)data)->pattern); }

static Status replace_token(const Replace *r, RegexScratch *scratch, const char *token, size_t size, DecodeWork *next)
{
    Status st = OK;
    PatternScan scan;
    size_t start, end, done = 0;
    bool found = size > 0;
    if (found) TRY(pattern_scan(&scan, &r->pattern, scratch, token, size));
    while (found) {
        TRY(pattern_next(&scan, &found, &start, &end));
        if (!found) break;
        decode_text(next, token + done, start - done);
        decode_text(next, r->content, r->size);
        done = end;
    }
    decode_text(next, token + done, size - done);
    TRY(decode_token_end(next));
done:
    return st;
}

static Status run_replace(const void *data, DecodeWork *w)
{
    Status st = OK;
    const Replace *r = data;
    DecodeWork next = {0};
    RegexScratch *scratch = NULL;
    if (r->pattern.regex) TRY(regex_scratch_new(&scratch));
    for (size_t i = 0, start = 0; i < w->count; i++) {
        size_t size;
        const char *token = decode_token(w, i, &start, &size);
        TRY(replace_token(r, scratch, token, size, &next));
    }
    decode_replace(w, &next);
done:
    regex_scratch_free(scratch);
    decode_work_free(&next);
    return st;
}

typedef struct Strip {
    const char *content; /* one character */
    size_t size;
    int64_t start, stop; /* how many of it are taken away at most */
} Strip;

static Status load_strip(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Strip *s;
    const char *content;
    TRY_NEW(arena, s, 1);
    TRY(json_string(json, where, "content", &content));
    s->size = strlen(content);
    if (!s->size || utf8_length((unsigned char)*content) != s->size)
        RAISE(FORMAT, "%s: content \"%.40s\" should be one character", where, content);
    s->content = arena_strdup(arena, content);
    TRY_MEMORY(s->content);
    TRY(json_int(json, where, "start", &s->start));
    TRY(json_int(json, where, "stop", &s->stop));
    if (s->start < 0 || s->stop < 0) RAISE(FORMAT, "%s: start and stop count characters from 0", where);
    *data = s;
done:
    return st;
}

/* Where the library would take a character away from both sides, or from an empty text, it panics; here that ends. */
static Status run_strip(const void *data, DecodeWork *w)
{
    Status st = OK;
    const Strip *s = data;
    DecodeWork next = {0};
    for (size_t i = 0, start = 0; i < w->count; i++) {
        size_t size;
        const char *at = decode_token(w, i, &start, &size), *end = at + size;
        for (int64_t n = 0; n < s->start && (size_t)(end - at) >= s->size && !memcmp(at, s->content, s->size); n++)
            at += s->size;
        for (int64_t n = 0; n < s->stop && (size_t)(end - at) >= s->size &&
                            !memcmp(end - s->size, s->content, s->size); n++)
            end -= s->size;
        decode_text(&next, at, (size_t)(end - at));
        TRY(decode_token_end(&next));
    }
    decode_replace(w, &next);
done:
    decode_work_free(&next);
    return st;
}

const DecoderType decoder_byte_fallback = {.head = {"ByteFallback", load_nothing, NULL}, .run = run_byte_fallback};
const DecoderType decoder_replace = {.head = {"Replace", load_replace, unload_replace}, .run = run_replace};
const DecoderType decoder_strip = {.head = {"Strip", load_strip, NULL}, .run = run_strip};
