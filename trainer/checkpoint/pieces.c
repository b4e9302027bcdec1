/* From flat ranges to names: which part of which parameter a rank's piece holds. Nothing on disk knows offsets, so a
 * checkpoint can be read by any number of ranks, and by a run whose flat arrays are laid out otherwise. */
#include <inttypes.h>
#include <stdlib.h>

#include "trainer/checkpoint/checkpoint_internal.h"

static int by_begin(const void *a, const void *b)
{
    const FlatRange *x = a, *y = b;
    return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* Sorted; neighbours that also lie side by side in memory become one. */
static Status join_ranges(Arena *arena, const OptimizerPiece *own, FlatRange **out, size_t *count)
{
    Status st = OK;
    FlatRange *ranges;
    size_t n = 0;
    TRY_NEW(arena, ranges, own->range_count);
    for (size_t i = 0; i < own->range_count; i++) ranges[i] = own->ranges[i];
    if (own->range_count) qsort(ranges, own->range_count, sizeof *ranges, by_begin);
    for (size_t i = 0; i < own->range_count; i++) {
        FlatRange *last = n ? &ranges[n - 1] : NULL;
        if (ranges[i].begin > ranges[i].end || ranges[i].begin < 0 || (last && ranges[i].begin < last->end))
            RAISE(BUG, "ranges of flat elements overlap at %" PRId64, ranges[i].begin);
        if (ranges[i].begin == ranges[i].end) continue;
        if (last && last->end == ranges[i].begin && last->at + (last->end - last->begin) == ranges[i].at)
            last->end = ranges[i].end;
        else
            ranges[n++] = ranges[i];
    }
    *out = ranges;
    *count = n;
done:
    return st;
}

static Status add_parts(Arena *arena, const OptimizerPiece *own, const FlatParameter *p, const FlatRange *r,
                        Piece **pieces, size_t *capacity, size_t *count)
{
    Status st = OK;
    int64_t first = r->begin > p->offset ? r->begin - p->offset : 0;
    int64_t end = r->end < p->offset + p->numel ? r->end - p->offset : p->numel;
    *pieces = arena_grow(arena, *pieces, capacity, *count + own->state_count, sizeof **pieces);
    TRY_MEMORY(*pieces);
    for (size_t s = 0; s < own->state_count; s++) {
        Piece *piece = &(*pieces)[*count];
        *piece = (Piece){.parameter = p,
                         .first = first,
                         .count = end - first,
                         .state = &own->states[s],
                         .whole = first == 0 && end == p->numel};
        piece->data = own->states[s].data + r->at + (p->offset + first - r->begin);
        piece->name = piece->whole ? arena_printf(arena, "%s.%s", p->name, own->states[s].name)
                                   : arena_printf(arena, "%s.%s@%" PRId64, p->name, own->states[s].name, first);
        TRY_MEMORY(piece->name);
        ++*count;
    }
done:
    return st;
}

Status pieces_of(Arena *arena, const OptimizerPiece *own, Piece **pieces, size_t *count)
{
    Status st = OK;
    FlatRange *ranges = NULL;
    size_t range_count = 0, capacity = 0;
    *pieces = NULL;
    *count = 0;
    TRY(join_ranges(arena, own, &ranges, &range_count));
    for (size_t i = 0; i < own->parameter_count; i++) {
        const FlatParameter *p = &own->parameters[i];
        size_t low = 0, high = range_count; /* the first range that ends after the parameter's begin */
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (ranges[middle].end > p->offset)
                high = middle;
            else
                low = middle + 1;
        }
        for (; p->numel > 0 && low < range_count && ranges[low].begin < p->offset + p->numel; low++)
            TRY(add_parts(arena, own, p, &ranges[low], pieces, &capacity, count));
    }
done:
    return st;
}
