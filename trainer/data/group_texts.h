/* run_clm's group_texts: the ids of 1,000 rows are laid end to end and cut in blocks; what remains is dropped. */
#ifndef HONE_DATA_GROUP_TEXTS_H
#define HONE_DATA_GROUP_TEXTS_H

#include <stdbool.h>
#include <stdint.h>

#include "trainer/base/status.h"
#include "trainer/data/token_cache.h"

typedef struct GroupTexts {
    CacheWriter *writer;
    int64_t block_size, filled;
    int32_t *block; /* [block_size]: what does not fill a block yet */
    int64_t blocks, tokens;
} GroupTexts;

Status group_begin(GroupTexts *g, CacheWriter *writer, int64_t block_size); /* free with group_free */
Status group_add(GroupTexts *g, const int32_t *ids, int64_t count);
void group_end(GroupTexts *g); /* after the 1,000th row: drops the rest */
void group_free(GroupTexts *g);

/* Which rows end a group: datasets' map in batches of 1,000, over `shards` contiguous shards (num_proc) of `rows`. */
typedef struct GroupPlan {
    int64_t rows; /* -1: not known, then shards is 1 */
    int64_t shards;
} GroupPlan;
bool group_ends_after(const GroupPlan *plan, int64_t row);

#endif
