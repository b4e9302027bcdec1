/* Merges from scores. SentencePiece's BPE keeps no list of merges: it joins the two neighbours that make the token with
 * the best score. A list in that order, over all ways to make a token from two, does the same. */
#include <stdlib.h>
#include <string.h>

#include "trainer/gguf/tokenizer.h"
#include "trainer/tokenizer/string_map.h"

enum { MOST_BYTES = 256 }; /* of a token: the work is quadratic in it */

typedef struct Candidate {
    float score;
    uint32_t left, right, token;
    uint16_t left_length, right_length; /* characters */
} Candidate;

static int compare(const void *a, const void *b)
{
    const Candidate *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->left_length != y->left_length) return x->left_length > y->left_length ? -1 : 1;
    if (x->right_length != y->right_length) return x->right_length > y->right_length ? -1 : 1;
    if (x->token != y->token) return x->token < y->token ? -1 : 1;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    return x->right < y->right ? -1 : x->right > y->right;
}

typedef struct Candidates {
    Candidate *items;
    size_t count, capacity;
} Candidates;

static Status add(Candidates *c, Candidate item)
{
    if (c->count == c->capacity) {
        size_t capacity = c->capacity ? 2 * c->capacity : 4096;
        Candidate *grown = realloc(c->items, capacity * sizeof *grown);
        if (!grown) return status_raise(STATUS_MEMORY, "out of memory: merges");
        c->items = grown, c->capacity = capacity;
    }
    c->items[c->count++] = item;
    return OK;
}

static size_t characters(const char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

static Status split(Candidates *c, const StringMap *ids, GgufString text, uint32_t token, float score)
{
    Status st = OK;
    size_t total = characters(text.data, text.size), before = 1;
    for (size_t at = 1; at < text.size; at++) {
        if (((unsigned char)text.data[at] & 0xC0) == 0x80) continue; /* within a character */
        int32_t left = string_map_find(ids, text.data, at);
        int32_t right = left < 0 ? -1 : string_map_find(ids, text.data + at, text.size - at);
        if (right >= 0)
            TRY(add(c, (Candidate){score, (uint32_t)left, (uint32_t)right, token, (uint16_t)before,
                                   (uint16_t)(total - before)}));
        before++;
    }
done:
    return st;
}

static bool is_piece(unsigned char type) { return type == GGUF_NORMAL || type == GGUF_USER_DEFINED; }

Status gguf_merges_of(Arena *arena, const char *where, const GgufString *texts, const unsigned char *types,
                      const float *scores, size_t count, GgufMerge **out, size_t *merges)
{
    Status st = OK;
    StringMap ids;
    Candidates c = {0};
    bool is_new;
    TRY(string_map_new(arena, count + 1, &ids));
    for (size_t i = 0; i < count; i++)
        if (texts[i].data && is_piece(types[i]))
            string_map_put(&ids, texts[i].data, texts[i].size, (int32_t)i, &is_new);
    for (size_t i = 0; i < count; i++) {
        if (!texts[i].data || !is_piece(types[i])) continue;
        if (texts[i].size > MOST_BYTES)
            RAISE(UNSUPPORTED, "%s: token %zu has %zu bytes; merges are found for tokens of up to %d", where, i,
                  texts[i].size, MOST_BYTES);
        if (scores[i] != scores[i]) RAISE(FORMAT, "%s: token %zu has no number as its score", where, i);
        TRY(split(&c, &ids, texts[i], (uint32_t)i, scores[i]));
    }
    if (c.count) qsort(c.items, c.count, sizeof *c.items, compare);
    TRY_NEW(arena, *out, c.count + 1);
    for (size_t i = 0; i < c.count; i++)
        (*out)[i] = (GgufMerge){c.items[i].left, c.items[i].right, c.items[i].token};
    *merges = c.count;
done:
    free(c.items);
    return st;
}
