/* The WordPiece decoder: tokens inside a word lose their prefix, others get a space before them; what tokenizing
 * English
 * has spaced out is put together again (cleanup), token by token as in the library. */
#include <string.h>

#include "trainer/tokenizer/component.h"

typedef struct WordPiece {
    const char *prefix;
    size_t prefix_size;
    bool cleanup;
} WordPiece;

static const struct Cleaning {
    const char *from, *to;
} cleanings[] = {
    {" .", "."},     {" ?", "?"},     {" !", "!"},           {" ,", ","},   {" ' ", "'"},    {" n't", "n't"},
    {" 'm", "'m"},   {" do not", " don't"}, {" 's", "'s"},   {" 've", "'ve"}, {" 're", "'re"},
};

static Status load(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    WordPiece *d;
    TRY_NEW(arena, d, 1);
    TRY(json_string(json, where, "prefix", &d->prefix));
    TRY(json_bool_or(json, where, "cleanup", true, &d->cleanup));
    d->prefix = arena_strdup(arena, d->prefix);
    TRY_MEMORY(d->prefix);
    d->prefix_size = strlen(d->prefix);
    *data = d;
done:
    return st;
}

/* Replaces in place: what is put in is never longer. Returns the new size. */
static size_t replace_all(char *text, size_t size, const struct Cleaning *c)
{
    size_t from = strlen(c->from), to = strlen(c->to), done = 0, out = 0;
    while (done < size) {
        char *found = size - done < from ? NULL : memmem(text + done, size - done, c->from, from);
        size_t end = found ? (size_t)(found - text) : size;
        memmove(text + out, text + done, end - done);
        out += end - done;
        done = end;
        if (!found) break;
        memcpy(text + out, c->to, to);
        out += to;
        done += from;
    }
    return out;
}

static Status run(const void *data, DecodeWork *w)
{
    Status st = OK;
    const WordPiece *d = data;
    DecodeWork next = {0};
    for (size_t i = 0, start = 0; i < w->count; i++) {
        size_t size, at = next.text.size;
        const char *token = decode_token(w, i, &start, &size);
        bool inside = size >= d->prefix_size && !memcmp(token, d->prefix, d->prefix_size);
        if (i && !inside) decode_text(&next, " ", 1);
        if (i && inside) token += d->prefix_size, size -= d->prefix_size;
        decode_text(&next, token, size);
        for (size_t k = 0; d->cleanup && !next.text.failed && k < sizeof cleanings / sizeof *cleanings; k++)
            if (next.text.size > at)
                next.text.size = at + replace_all(next.text.data + at, next.text.size - at, &cleanings[k]);
        TRY(decode_token_end(&next));
    }
    decode_replace(w, &next);
done:
    decode_work_free(&next);
    return st;
}

const DecoderType decoder_wordpiece = {.head = {"WordPiece", load, NULL}, .run = run};
