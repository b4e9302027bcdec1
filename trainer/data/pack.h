/* Packing: which pieces of which examples lie together in a row of at most seq_length tokens, as TRL's pack_dataset
 * lays them (trl 1.16, data_utils.py).
 *
 * bfd: best fit decreasing (Ding et al. 2024, "Fewer Truncations Improve Language Modeling"): from the longest example
 * to the shortest, each into the row with the least room that holds it, of equal ones the oldest; what is longer than a
 * row is cut off. bfd_split: longer ones are cut into several first. wrapped: all end to end, cut every seq_length. */
#ifndef HONE_DATA_PACK_H
#define HONE_DATA_PACK_H

#include <stdint.h>

#include "trainer/base/arena.h"

typedef enum PackStrategy { PACK_BFD, PACK_BFD_SPLIT, PACK_WRAPPED } PackStrategy;

typedef struct PackPiece {
    int64_t source, begin, length; /* tokens [begin, begin + length) of example `source` */
} PackPiece;

typedef struct PackPlan {
    PackPiece *pieces; /* row by row */
    int64_t *ends;     /* [count] row r has pieces [ends[r - 1], ends[r]) */
    int64_t count;     /* rows */
} PackPlan;

/* lengths: of the examples; those of 0 tokens are left out. In arena. */
Status pack_plan(PackStrategy strategy, const int64_t *lengths, int64_t count, int64_t seq_length, Arena *arena,
                 PackPlan *out);

#endif
