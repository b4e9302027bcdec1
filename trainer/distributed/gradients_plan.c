/* Which rank owns which part of which bucket: a function of n, the number of ranks and the cap alone, the same on all
 * ranks. */
#include <stdlib.h>

#include "trainer/distributed/gradients_internal.h"

/* Enough of them that most are under way before backward ends, also where the model is smaller than a few caps. */
enum { WISHED_BUCKETS = 16 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static Range elements(const Plan *p, int64_t begin_block, int64_t end_block)
{
    return (Range){least(begin_block * KERNEL_BLOCK, p->n), least(end_block * KERNEL_BLOCK, p->n)};
}

/* Cuts bucket k. What is left over of even shares of whole blocks goes round the ranks, from `turn` on: they end up
 * even. Returns whose turn is next. */
static int cut(Plan *p, int k, int turn)
{
    int64_t begin = k * p->bucket_blocks, count = least(p->bucket_blocks, p->blocks - begin);
    int extras = (int)(count % p->ranks);
    p->bucket[k] = elements(p, begin, begin + count);
    for (int r = 0; r < p->ranks; r++) {
        int64_t end = begin + count / p->ranks + ((r - turn + p->ranks) % p->ranks < extras);
        Range part = elements(p, begin, end);
        p->part[(int64_t)k * p->ranks + r] = part;
        p->most_elements = most(p->most_elements, part.end - part.begin);
        begin = end;
    }
    return (turn + extras) % p->ranks;
}

static void list_owned(Plan *p, int rank)
{
    Range *owned = p->owned[rank];
    int count = 0;
    int64_t blocks = 0;
    for (int k = 0; k < p->buckets; k++) {
        Range part = p->part[(int64_t)k * p->ranks + rank];
        if (part.begin == part.end) continue;
        blocks += (part.end - part.begin + KERNEL_BLOCK - 1) / KERNEL_BLOCK;
        if (count && owned[count - 1].end == part.begin)
            owned[count - 1].end = part.end;
        else
            owned[count++] = part;
    }
    p->owned_count[rank] = count;
    p->most_blocks = most(p->most_blocks, blocks);
}

Status plan_new(int64_t n, int ranks, int64_t bucket_bytes, Plan *out)
{
    Status st = OK;
    int64_t block_bytes = (int64_t)(KERNEL_BLOCK * sizeof(float));
    Plan p = {.n = n, .ranks = ranks, .blocks = (n + KERNEL_BLOCK - 1) / KERNEL_BLOCK};

    *out = (Plan){0};
    int64_t wished = most((p.blocks + WISHED_BUCKETS - 1) / WISHED_BUCKETS, ranks);
    int64_t each = most(1, least(wished, least(bucket_bytes, INT64_C(1) << 30) / block_bytes));
    if (each > ranks) each -= each % ranks; /* equal parts in all buckets but the last: one call does them (NCCL) */
    p.bucket_blocks = each;
    p.buckets = (int)((p.blocks + each - 1) / each);

    p.bucket = calloc((size_t)p.buckets + 1, sizeof *p.bucket);
    p.part = calloc((size_t)p.buckets * (size_t)ranks + 1, sizeof *p.part);
    p.owned = calloc((size_t)ranks, sizeof *p.owned);
    p.owned_count = calloc((size_t)ranks, sizeof *p.owned_count);
    if (!p.bucket || !p.part || !p.owned || !p.owned_count)
        RAISE(MEMORY, "no memory for a plan of %d buckets", p.buckets);
    for (int k = 0, turn = 0; k < p.buckets; k++) turn = cut(&p, k, turn);
    for (int r = 0; r < ranks; r++) {
        p.owned[r] = calloc((size_t)p.buckets + 1, sizeof(Range));
        if (!p.owned[r]) RAISE(MEMORY, "no memory for a plan of %d buckets", p.buckets);
        list_owned(&p, r);
    }
    *out = p;
    p = (Plan){0};
done:
    plan_free(&p);
    return st;
}

void plan_free(Plan *p)
{
    for (int r = 0; p->owned && r < p->ranks; r++) free(p->owned[r]);
    free(p->owned);
    free(p->owned_count);
    free(p->bucket);
    free(p->part);
    *p = (Plan){0};
}

int plan_bucket_of(const Plan *p, int64_t element)
{
    int low = 0, high = p->buckets;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (p->bucket[middle].begin <= element)
            low = middle;
        else
            high = middle;
    }
    return low;
}
