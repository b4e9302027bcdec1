/* The merging itself. Short words, nearly all: keep each pair's rank and look for the least. Long ones: a heap over a
 * linked list, so that a line of 10 MB without a break stays O(n log n). Both give the same: lowest rank first, then
 * leftmost. */
#include "trainer/tokenizer/bpe.h"

enum { SHORT = 64 };
#define NO_RANK UINT32_MAX

static Status merge_short(const Bpe *bpe, BpeSymbol *s, size_t *count)
{
    uint32_t ranks[SHORT];
    int32_t ids[SHORT];
    size_t n = *count;
    for (size_t i = 0; i + 1 < n; i++) {
        const BpeMerge *m = bpe_find_merge(bpe, s[i].id, s[i + 1].id);
        ranks[i] = m ? m->rank : NO_RANK;
        ids[i] = m ? (int32_t)m->id : 0;
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (ranks[i] < ranks[best]) best = i;
        if (ranks[best] == NO_RANK) break;
        s[best] = (BpeSymbol){ids[best], s[best].size + s[best + 1].size};
        n--;
        for (size_t i = best + 1; i < n; i++) s[i] = s[i + 1];
        for (size_t i = best + 1; i + 1 < n; i++) ranks[i] = ranks[i + 1], ids[i] = ids[i + 1];
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            const BpeMerge *m = bpe_find_merge(bpe, s[i].id, s[i + 1].id);
            ranks[i] = m ? m->rank : NO_RANK;
            ids[i] = m ? (int32_t)m->id : 0;
        }
    }
    *count = n;
    return OK;
}

/* A four-way heap of rank << 32 | position. */
typedef struct Heap {
    uint64_t *keys;
    size_t count;
    Buffer *memory;
} Heap;

static void sift_down(Heap *h, size_t at)
{
    uint64_t key = h->keys[at];
    for (;;) {
        size_t child = 4 * at + 1, least = child, end = child + 4 < h->count ? child + 4 : h->count;
        if (child >= h->count) break;
        for (size_t i = child + 1; i < end; i++)
            if (h->keys[i] < h->keys[least]) least = i;
        if (h->keys[least] >= key) break;
        h->keys[at] = h->keys[least];
        at = least;
    }
    h->keys[at] = key;
}

static Status push(Heap *h, uint64_t key)
{
    if ((h->count + 1) * sizeof key > h->memory->capacity) {
        Status st = buffer_reserve(h->memory, (h->count + 1) * sizeof key);
        if (st) return st;
        h->keys = h->memory->data;
    }
    size_t at = h->count++;
    for (; at && h->keys[(at - 1) / 4] > key; at = (at - 1) / 4) h->keys[at] = h->keys[(at - 1) / 4];
    h->keys[at] = key;
    return OK;
}

static uint64_t pop(Heap *h)
{
    uint64_t top = h->keys[0];
    h->keys[0] = h->keys[--h->count];
    if (h->count) sift_down(h, 0);
    return top;
}

static Status push_pair(const Bpe *bpe, Heap *h, const BpeSymbol *s, uint32_t at, uint32_t next)
{
    const BpeMerge *m = bpe_find_merge(bpe, s[at].id, s[next].id);
    return m ? push(h, (uint64_t)m->rank << 32 | at) : OK;
}

static Status merge_long(const Bpe *bpe, ModelScratch *scratch, BpeSymbol *s, size_t *count)
{
    Status st = OK;
    uint32_t n = (uint32_t)*count;
    Heap h = {.memory = &scratch->buffers[BPE_HEAP]};
    TRY(buffer_reserve(&scratch->buffers[BPE_LINKS], 2 * (size_t)n * sizeof(uint32_t)));
    TRY(buffer_reserve(&scratch->buffers[BPE_HEAP], n * sizeof(uint64_t)));
    h.keys = scratch->buffers[BPE_HEAP].data;
    uint32_t *next = scratch->buffers[BPE_LINKS].data, *previous = next + n; /* n: none */
    for (uint32_t i = 0; i < n; i++) {
        next[i] = i + 1;
        previous[i] = i ? i - 1 : n;
        const BpeMerge *m = i + 1 < n ? bpe_find_merge(bpe, s[i].id, s[i + 1].id) : NULL;
        if (m) h.keys[h.count++] = (uint64_t)m->rank << 32 | i;
    }
    for (size_t i = h.count / 4 + 1; i-- > 0;)
        if (i < h.count) sift_down(&h, i);

    while (h.count) {
        uint64_t key = pop(&h);
        uint32_t at = (uint32_t)key, right = next[at];
        if (s[at].size == 0 || right == n) continue; /* swallowed by a neighbour, or last */
        const BpeMerge *m = bpe_find_merge(bpe, s[at].id, s[right].id);
        if (!m || m->rank != key >> 32) continue; /* the pair has changed since */
        s[at] = (BpeSymbol){(int32_t)m->id, s[at].size + s[right].size};
        s[right].size = 0;
        next[at] = next[right];
        if (next[at] < n) previous[next[at]] = at;
        if (previous[at] < n) TRY(push_pair(bpe, &h, s, previous[at], at));
        if (next[at] < n) TRY(push_pair(bpe, &h, s, at, next[at]));
    }
    size_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (s[i].size) s[kept++] = s[i];
    *count = kept;
done:
    return st;
}

Status bpe_merge(const Bpe *bpe, ModelScratch *scratch, BpeSymbol *symbols, size_t *n)
{
    return *n <= SHORT ? merge_short(bpe, symbols, n) : merge_long(bpe, scratch, symbols, n);
}
