/* A thread that collates batches ahead of the step and sleeps when it is far enough ahead.
 *
 * Steps live in a ring of slots, each with its own arena, which has room for the largest step where that is known. An
 * error in the thread comes, with its message, from the loader_next that would have given the step. */
#ifndef HONE_DATA_LOADER_H
#define HONE_DATA_LOADER_H

#include <stdint.h>

#include "trainer/base/arena.h"
#include "trainer/base/status.h"
#include "trainer/data/dataset.h"
#include "trainer/data/sampler.h"
#include "trainer/tensor/batch.h"

/* Makes the batch of examples index[0..count) in arena; ordinal[b] becomes batch->sample[b]. count may be 0: then
 * `out`, zeroed before the call, needs only cu_seqlens. Called on the loader's thread; must not keep `arena`. */
typedef Status CollateFn(void *context, const Dataset *d, const int64_t *index, const int32_t *ordinal, int count,
                         Arena *arena, Batch *out);

typedef struct LoaderConfig {
    const Dataset *dataset;
    Sampler *sampler;           /* training: updates first_update .. last_update; from now on the thread's alone */
    const EvalPlan *evaluation; /* or evaluation: each of this rank's batches is a step of one micro-batch; copied */
    int rank;
    int64_t first_update, last_update; /* [first, last), of training */
    CollateFn *collate;
    void *context;
    size_t step_bytes; /* that the largest step takes of an arena, for room from the beginning; 0: unknown */
} LoaderConfig;

/* Borrowed until the next loader_next. */
typedef struct Step {
    int64_t update; /* its number; in evaluation: the batch's over all ranks */
    int64_t epoch;
    int count;    /* micro-batches */
    Batch *micro; /* [count] */
    int64_t targets, hf_targets; /* sums over micro; of this rank */
    int64_t rows, padded_tokens; /* likewise: sums of rows, and of num_seqs * padded_width (or rows) */
    int64_t sequences;           /* likewise */
    int64_t samples;             /* of the update over all ranks; in evaluation: of this batch */
} Step;

typedef struct Loader Loader;

Status loader_new(const LoaderConfig *config, Loader **out); /* starts the thread; free with loader_free */
Status loader_next(Loader *loader, const Step **out);        /* NULL at the end; an error stays one */
void loader_free(Loader *loader);                            /* stops and joins; NULL is fine */

#endif
