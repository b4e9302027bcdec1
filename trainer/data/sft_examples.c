/* See sft_examples.h. */
#include "trainer/data/sft_examples.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/data/numpy_random.h"

const CacheColumn sft_cache_columns[SFT_COLUMNS] = {{"input_ids", -1}, {"labels", -1}, {"seq_lengths", -1}};

/* Room for another example, in both lists. */
static Status reserve(SftExamples *l, int64_t tokens, int64_t pieces)
{
    Status st = OK;
    TRY(id_list_reserve(&l->data, 2 * tokens + pieces));
    if (l->count == l->capacity) {
        const int64_t capacity = l->capacity ? l->capacity * 2 : 256;
        SftExample *grown = realloc(l->items, (size_t)capacity * sizeof *grown);
        if (!grown) RAISE(MEMORY, "no memory for %" PRId64 " examples", capacity);
        l->items = grown;
        l->capacity = capacity;
    }
    l->items[l->count++] = (SftExample){.at = l->data.count, .tokens = tokens, .pieces = pieces};
    l->data.count += 2 * tokens + pieces;
done:
    return st;
}

Status sft_examples_add(SftExamples *l, const int32_t *ids, const int32_t *labels, int64_t tokens)
{
    Status st = OK;
    TRY(reserve(l, tokens, 1));
    int32_t *to = l->data.ids + l->items[l->count - 1].at;
    if (tokens) {
        memcpy(to, ids, (size_t)tokens * sizeof *to);
        memcpy(to + tokens, labels, (size_t)tokens * sizeof *to);
    }
    to[2 * tokens] = (int32_t)tokens;
done:
    return st;
}

/* One row of the plan. */
static Status add_packed(const SftExamples *from, int64_t first, const PackPiece *pieces, int64_t count, bool apart,
                         SftExamples *to)
{
    Status st = OK;
    int64_t tokens = 0, at = 0;
    for (int64_t i = 0; i < count; i++) tokens += pieces[i].length;
    TRY(reserve(to, tokens, apart ? count : 1));
    int32_t *ids = to->data.ids + to->items[to->count - 1].at, *labels = ids + tokens, *lengths = labels + tokens;
    for (int64_t i = 0; i < count; i++) {
        const PackPiece *p = &pieces[i];
        const SftExample *e = &from->items[first + p->source];
        const int32_t *source = from->data.ids + e->at + p->begin;
        memcpy(ids + at, source, (size_t)p->length * sizeof *ids);
        memcpy(labels + at, source + e->tokens, (size_t)p->length * sizeof *ids);
        if (apart) lengths[i] = (int32_t)p->length;
        at += p->length;
    }
    if (!apart) lengths[0] = (int32_t)tokens;
done:
    return st;
}

Status sft_examples_pack(const SftExamples *from, int64_t first, int64_t count, PackStrategy strategy,
                         int64_t seq_length, SftExamples *to)
{
    Status st = OK;
    Arena *arena = NULL;
    PackPlan plan;
    int64_t *lengths;
    TRY(arena_new(&arena));
    TRY_NEW(arena, lengths, count + 1);
    for (int64_t i = 0; i < count; i++) lengths[i] = from->items[first + i].tokens;
    TRY(pack_plan(strategy, lengths, count, seq_length, arena, &plan));
    for (int64_t r = 0; r < plan.count; r++) {
        const int64_t begin = r ? plan.ends[r - 1] : 0;
        TRY(add_packed(from, first, plan.pieces + begin, plan.ends[r] - begin, strategy != PACK_WRAPPED, to));
    }
done:
    arena_free(arena);
    return st;
}

Status sft_examples_shuffle(SftExamples *l, uint64_t seed)
{
    Status st = OK;
    int64_t *order = malloc((size_t)(l->count + 1) * sizeof *order);
    SftExample *moved = malloc((size_t)(l->count + 1) * sizeof *moved);
    if (!order || !moved) RAISE(MEMORY, "no memory to shuffle %" PRId64 " examples", l->count);
    numpy_permutation(seed, order, l->count);
    for (int64_t i = 0; i < l->count; i++) moved[i] = l->items[order[i]];
    if (l->count) memcpy(l->items, moved, (size_t)l->count * sizeof *moved);
done:
    free(order);
    free(moved);
    return st;
}

Status sft_examples_write(const SftExamples *l, CacheWriter *writer)
{
    Status st = OK;
    for (int64_t i = 0; i < l->count; i++) {
        const SftExample *e = &l->items[i];
        const int64_t lengths[SFT_COLUMNS] = {e->tokens, e->tokens, e->pieces};
        TRY(cache_writer_add(writer, l->data.ids + e->at, 1, lengths));
    }
done:
    return st;
}

void sft_examples_clear(SftExamples *l)
{
    l->count = 0;
    l->data.count = 0;
}

void sft_examples_free(SftExamples *l)
{
    free(l->data.ids);
    free(l->items);
    *l = (SftExamples){0};
}
