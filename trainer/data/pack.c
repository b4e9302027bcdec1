/* See pack.h. Rows with the same room wait in a queue; a tree of maxima over the rooms finds the smallest that is large
 * enough in the logarithm of seq_length. */
#include "trainer/data/pack.h"

#include <stdlib.h>

typedef struct Bins {
    int64_t seq_length, size; /* leaves of the tree, a power of two; leaf v - 1 stands for a room of v */
    int64_t *tree;            /* [2 * size] the largest room below a node that some row has; 0: none */
    int64_t *first, *last;    /* [seq_length + 1] rows with that room, oldest first; -1: none */
    int64_t *next, *room;     /* [rows] */
    int64_t count;
} Bins;

static Status bins_new(Bins *b, int64_t seq_length, int64_t most, Arena *arena)
{
    Status st = OK;
    *b = (Bins){.seq_length = seq_length, .size = 1};
    while (b->size < seq_length) b->size *= 2;
    TRY_NEW(arena, b->tree, 2 * b->size);
    TRY_NEW(arena, b->first, seq_length + 1);
    TRY_NEW(arena, b->last, seq_length + 1);
    TRY_NEW(arena, b->next, most);
    TRY_NEW(arena, b->room, most);
    for (int64_t v = 0; v <= seq_length; v++) b->first[v] = b->last[v] = -1;
done:
    return st;
}

static void tree_set(Bins *b, int64_t room, int64_t value)
{
    int64_t i = b->size + room - 1;
    b->tree[i] = value;
    while (i > 1) {
        i /= 2;
        const int64_t left = b->tree[2 * i], right = b->tree[2 * i + 1];
        b->tree[i] = left >= right ? left : right;
    }
}

/* The smallest room >= length that a row has; 0: none. */
static int64_t tree_search(const Bins *b, int64_t length)
{
    int64_t i = 1;
    if (b->tree[1] < length) return 0;
    while (i < b->size) i = b->tree[2 * i] >= length ? 2 * i : 2 * i + 1;
    return b->tree[i];
}

static void put_row(Bins *b, int64_t row, int64_t room)
{
    b->room[row] = room;
    if (room == 0) return; /* full */
    b->next[row] = -1;
    if (b->first[room] < 0) {
        b->first[room] = row;
        tree_set(b, room, room);
    } else {
        b->next[b->last[room]] = row;
    }
    b->last[room] = row;
}

/* The row that an example of that length goes to; a new one where none has room. */
static int64_t take_row(Bins *b, int64_t length)
{
    int64_t room = tree_search(b, length), row = b->count;
    if (!room) {
        room = b->seq_length;
        b->count++;
    } else {
        row = b->first[room];
        b->first[room] = b->next[row];
        if (b->first[room] < 0) tree_set(b, room, 0);
    }
    put_row(b, row, room - length);
    return row;
}

static int longest_first(const void *a, const void *b)
{
    const PackPiece *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? 1 : -1;
    if (x->source != y->source) return x->source < y->source ? -1 : 1;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* What goes into a row whole, in the examples' order; out may be NULL: only counted. */
static int64_t cut(PackStrategy strategy, const int64_t *lengths, int64_t count, int64_t seq_length, PackPiece *out)
{
    int64_t n = 0;
    for (int64_t i = 0; i < count; i++)
        for (int64_t begin = 0; begin < lengths[i]; begin += seq_length) {
            const int64_t left = lengths[i] - begin;
            if (out) out[n] = (PackPiece){i, begin, left < seq_length ? left : seq_length};
            n++;
            if (strategy == PACK_BFD) break;
        }
    return n;
}

static Status best_fit(PackStrategy strategy, const int64_t *lengths, int64_t count, int64_t seq_length, Arena *arena,
                       PackPlan *out)
{
    Status st = OK;
    Bins bins;
    PackPiece *cuts;
    int64_t *row, *at;
    const int64_t n = cut(strategy, lengths, count, seq_length, NULL);

    TRY_NEW(arena, cuts, n);
    TRY_NEW(arena, row, n);
    TRY_NEW(arena, out->pieces, n);
    cut(strategy, lengths, count, seq_length, cuts);
    if (n) qsort(cuts, (size_t)n, sizeof *cuts, longest_first);
    TRY(bins_new(&bins, seq_length, n, arena));
    for (int64_t i = 0; i < n; i++) row[i] = take_row(&bins, cuts[i].length);
    out->count = bins.count;
    TRY_NEW(arena, out->ends, bins.count);
    TRY_NEW(arena, at, bins.count + 1);
    for (int64_t i = 0; i < n; i++) out->ends[row[i]]++;
    for (int64_t r = 0; r < bins.count; r++) {
        at[r + 1] = at[r] + out->ends[r];
        out->ends[r] = at[r + 1];
    }
    for (int64_t i = 0; i < n; i++) out->pieces[at[row[i]]++] = cuts[i];
done:
    return st;
}

static Status wrapped(const int64_t *lengths, int64_t count, int64_t seq_length, Arena *arena, PackPlan *out)
{
    Status st = OK;
    int64_t total = 0, n = 0, filled = 0;
    for (int64_t i = 0; i < count; i++) total += lengths[i];
    TRY_NEW(arena, out->pieces, count + total / seq_length + 1);
    TRY_NEW(arena, out->ends, total / seq_length + 1);
    for (int64_t i = 0; i < count; i++)
        for (int64_t begin = 0; begin < lengths[i];) {
            const int64_t left = lengths[i] - begin, room = seq_length - filled, take = left < room ? left : room;
            out->pieces[n++] = (PackPiece){i, begin, take};
            begin += take;
            filled = (filled + take) % seq_length;
            if (!filled) out->ends[out->count++] = n;
        }
    if (filled) out->ends[out->count++] = n;
done:
    return st;
}

Status pack_plan(PackStrategy strategy, const int64_t *lengths, int64_t count, int64_t seq_length, Arena *arena,
                 PackPlan *out)
{
    *out = (PackPlan){0};
    if (strategy == PACK_WRAPPED) return wrapped(lengths, count, seq_length, arena, out);
    return best_fit(strategy, lengths, count, seq_length, arena, out);
}
