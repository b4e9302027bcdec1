/* The largest micro-batches of a run, by the lengths of its examples: what memory is sized for before the first step
 * (architecture.md, 4). */
#ifndef HONE_DATA_LARGEST_H
#define HONE_DATA_LARGEST_H

#include "trainer/base/arena.h"
#include "trainer/data/dataset.h"
#include "trainer/data/sampler.h"

/* How many rows of a batch an example makes. */
typedef int64_t ExampleRows(void *context, const Dataset *d, int64_t index);

typedef struct MicroBatch {
    int64_t rows, longest; /* of all its examples, of the longest of them */
    int count;
    int64_t *index; /* [count] in the dataset */
} MicroBatch;

typedef struct Largest {
    MicroBatch most; /* has the most rows; of those, the longest example */
    MicroBatch long_one; /* has the longest example; of those, the most rows */
    bool uniform;    /* all examples are alike: no micro-batch is larger than the first full one */
    bool exact;      /* both are of this run; else they are the longest examples together, which no batch exceeds */
} Largest;

typedef struct LargestQuery {
    const Dataset *dataset;
    ExampleRows *rows; /* NULL: the length of "input_ids" */
    void *context;
    double limit_s; /* for looking at the updates one by one */
} LargestQuery;

/* Of rank's updates [first, last). In arena. */
Status largest_in_training(const LargestQuery *q, const SamplerConfig *c, int rank, int64_t first, int64_t last,
                           Arena *arena, Largest *out);
/* Of the plan's own rank. */
Status largest_in_evaluation(const LargestQuery *q, const EvalPlan *plan, Arena *arena, Largest *out);
/* Whether the one exceeds the other in nothing. */
bool largest_is_one(const Largest *l);

#endif
