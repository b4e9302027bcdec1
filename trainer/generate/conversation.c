/* A conversation keeps the cache of its last answer, and the ids that are in it: the next prompt goes on where the two
 * part. A chat's template may write earlier turns otherwise than they came (without an answer's reasoning, say), and an
 * answer's text may be cut into other tokens than it was made of: from there on it is read again. */
#include <stdlib.h>
#include <string.h>

#include "trainer/generate/generator.h"

enum { FIRST_CAPACITY = 256 };

struct Conversation {
    Generator *g;
    KvCache *cache;        /* of one sequence; NULL: none yet */
    int32_t *ids;          /* [capacity], of which the cache has `count` */
    int64_t count, capacity, kept;
};

Status conversation_new(Generator *g, Conversation **out)
{
    *out = calloc(1, sizeof **out);
    if (!*out) return status_raise(STATUS_MEMORY, "out of memory: a conversation");
    (*out)->g = g;
    return OK;
}

void conversation_free(Conversation *c)
{
    if (!c) return;
    kv_cache_free(c->cache);
    free(c->ids);
    free(c);
}

int64_t conversation_kept(const Conversation *c) { return c->kept; }

/* Room for a text of so many tokens: twice as much as before, but no more than the text may ever need. */
static Status make_room(Conversation *c, int64_t tokens)
{
    Status st = OK;
    const Model *m = c->g->model;
    int64_t capacity = c->capacity ? c->capacity : FIRST_CAPACITY;
    if (tokens <= c->capacity) return OK;
    while (capacity < tokens) capacity *= 2;
    int32_t *ids = realloc(c->ids, (size_t)capacity * sizeof *ids);
    if (!ids) RAISE(MEMORY, "out of memory: a conversation of %lld tokens", (long long)capacity);
    c->ids = ids;
    if (c->cache) TRY(kv_cache_grow(c->cache, capacity));
    else TRY(kv_cache_new(&c->g->k, c->g->tape.stream, (int)m->num_layers, 1, capacity, m->kv_width, &c->cache));
    c->capacity = capacity;
done:
    return st;
}

/* Tokens of the prompt whose keys and values are there. The last is read in any case: its scores are asked for. */
static int64_t common(const Conversation *c, const Prompt *prompt)
{
    int64_t n = 0, most = prompt->count - 1;
    if (c->g->rotations_move) return 0;
    while (n < c->count && n < most && c->ids[n] == prompt->ids[n]) n++;
    return n;
}

Status conversation_answer(Conversation *c, const GenerationConfig *config, const Prompt *prompt, int64_t number,
                           const GenerateHooks *hooks, Arena *arena, GeneratedText **text)
{
    Status st = OK;
    Finish unused;
    int64_t given = prompt->count ? prompt->count : 1;
    TRY(make_room(c, generate_length(c->g, config, given, &unused)));
    c->kept = common(c, prompt);
    kv_cache_cut(c->cache, 0, c->kept);
    c->count = 0; /* until all went well */
    TRY(generate_over(c->g, config, prompt, 1, number, hooks, c->cache, arena, text));
    c->count = kv_cache_length(c->cache, 0);
    memcpy(c->ids, (*text)->ids, (size_t)c->count * sizeof *c->ids);
done:
    if (st && c->cache) kv_cache_cut(c->cache, 0, 0);
    return st;
}
