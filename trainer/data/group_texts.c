/* See group_texts.h. */
#include "trainer/data/group_texts.h"

#include <stdlib.h>
#include <string.h>

enum { GROUP_ROWS = 1000 }; /* datasets.map's batch_size */

Status group_begin(GroupTexts *g, CacheWriter *writer, int64_t block_size)
{
    *g = (GroupTexts){.writer = writer, .block_size = block_size};
    g->block = malloc((size_t)block_size * sizeof *g->block);
    return g->block ? OK : status_raise(STATUS_MEMORY, "no memory for a block of %lld ids", (long long)block_size);
}

void group_free(GroupTexts *g)
{
    free(g->block);
    g->block = NULL;
}

Status group_add(GroupTexts *g, const int32_t *ids, int64_t count)
{
    Status st = OK;
    g->tokens += count;
    while (count) {
        int64_t taken;
        if (g->filled == 0 && count >= g->block_size) {
            const int64_t whole = count / g->block_size;
            TRY(cache_writer_add(g->writer, ids, whole, NULL));
            g->blocks += whole;
            taken = whole * g->block_size;
        } else {
            const int64_t room = g->block_size - g->filled;
            taken = count < room ? count : room;
            memcpy(g->block + g->filled, ids, (size_t)taken * sizeof *ids);
            g->filled += taken;
            if (g->filled == g->block_size) {
                TRY(cache_writer_add(g->writer, g->block, 1, NULL));
                g->blocks++;
                g->filled = 0;
            }
        }
        ids += taken;
        count -= taken;
    }
done:
    return st;
}

void group_end(GroupTexts *g)
{
    g->filled = 0;
}

bool group_ends_after(const GroupPlan *plan, int64_t row)
{
    if (plan->rows < 0) return (row + 1) % GROUP_ROWS == 0;
    const int64_t shards = plan->shards < plan->rows ? plan->shards : plan->rows;
    const int64_t size = plan->rows / shards, larger = plan->rows % shards; /* the first shards have one row more */
    const int64_t in_larger = larger * (size + 1);
    const int64_t at = row < in_larger ? row % (size + 1) : (row - in_larger) % size;
    const int64_t last = row < in_larger ? size : size - 1;
    return (at + 1) % GROUP_ROWS == 0 || at == last;
}
