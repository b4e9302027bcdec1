/* Random: randperm of a generator seeded with seed + epoch (accelerate's SeedableRandomSampler).
 * By length: transformers' get_length_grouped_indices, which draws from the global generator: one 64-bit number by the
 * loader, then the permutation, epoch after epoch; so epoch e is found by drawing those before it again. Its seed is
 * `seed`, never data_seed: the caller gives the right one. */
#include "trainer/data/order.h"

#include <stdlib.h>

#include "trainer/data/random.h"

typedef struct Ranked {
    int64_t index, length, place;
} Ranked;

/* Longest first; what is equal keeps its place, as Python's sort does. */
static int by_length(const void *a, const void *b)
{
    const Ranked *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? 1 : -1;
    return x->place < y->place ? -1 : x->place > y->place;
}

static int64_t chunk_size(const SamplerConfig *c)
{
    const int64_t unit = (int64_t)c->batch * c->accumulation;
    int64_t times = c->n / (unit * 4);
    if (times > 50) times = 50;
    return times > 1 ? times * unit : unit;
}

/* Sorts each chunk, then brings the longest example of all to the front: too little memory shows at once. */
static Status group_by_length(const SamplerConfig *c, int64_t *order)
{
    Status st = OK;
    const int64_t chunk = chunk_size(c);
    Ranked *ranked = malloc((size_t)(chunk < c->n ? chunk : c->n) * sizeof *ranked);
    if (!ranked) RAISE(MEMORY, "no memory to sort examples by length");
    int64_t longest = 0;
    for (int64_t begin = 0; begin < c->n; begin += chunk) {
        const int64_t count = c->n - begin < chunk ? c->n - begin : chunk;
        for (int64_t i = 0; i < count; i++)
            ranked[i] = (Ranked){order[begin + i], c->lengths[order[begin + i]], i};
        qsort(ranked, (size_t)count, sizeof *ranked, by_length);
        for (int64_t i = 0; i < count; i++) order[begin + i] = ranked[i].index;
        if (c->lengths[order[begin]] > c->lengths[order[longest]]) longest = begin;
    }
    int64_t first = order[0];
    order[0] = order[longest];
    order[longest] = first;
done:
    free(ranked);
    return st;
}

Status order_make(const SamplerConfig *c, int64_t epoch, int64_t *order)
{
    Mt19937 g;
    switch (c->strategy) {
    case SAMPLER_SEQUENTIAL:
        for (int64_t i = 0; i < c->n; i++) order[i] = i;
        return OK;
    case SAMPLER_RANDOM:
        mt19937_seed(&g, c->seed + (uint64_t)epoch);
        mt19937_permutation(&g, order, c->n);
        return OK;
    case SAMPLER_GROUP_BY_LENGTH:
        mt19937_seed(&g, c->seed);
        for (int64_t e = 0; e <= epoch; e++) {
            mt19937_u64(&g);
            mt19937_permutation(&g, order, c->n);
        }
        return group_by_length(c, order);
    }
    return status_raise(STATUS_BUG, "sampler: no strategy %d", (int)c->strategy);
}
