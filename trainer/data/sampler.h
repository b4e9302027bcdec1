/* Which examples make up each update, on each rank and micro-step: the reference's order (trainer_semantics: 1-3, 10).
 *
 * Everything is a function of the number of the update, so to resume is to ask for a later one. n examples, batch B,
 * accumulation G, world W; L micro-steps and U updates an epoch.
 *
 * Global batch k of an epoch (examples kB.. of its order) goes to rank k mod W as its micro-step k / W. With one rank a
 * short last batch stays short; with several, an incomplete last round is completed from the start of the epoch's order
 * (even_batches), thrown away (drop_last), or left incomplete: then some ranks have fewer examples there, down to none.
 * The last update of an epoch has only L mod G micro-steps when that is not 0.
 *
 * `granular` (full_determinism) deals the same examples of the same updates out one a micro-step: micro-step i of rank
 * r holds the sample of ordinal i W + r. */
#ifndef HONE_DATA_SAMPLER_H
#define HONE_DATA_SAMPLER_H

#include <stdbool.h>
#include <stdint.h>

#include "trainer/base/status.h"

typedef enum SamplerStrategy { SAMPLER_RANDOM, SAMPLER_SEQUENTIAL, SAMPLER_GROUP_BY_LENGTH } SamplerStrategy;

typedef struct SamplerConfig {
    int64_t n;        /* examples; > 0 */
    int batch;        /* B, of one rank and micro-step */
    int accumulation; /* G */
    int world;        /* W */
    bool drop_last;
    bool even_batches; /* the reference's default is true */
    uint64_t seed;     /* data_seed, or seed */
    SamplerStrategy strategy;
    const int64_t *lengths; /* [n], of SAMPLER_GROUP_BY_LENGTH; borrowed */
    bool granular;
    /* ignore_data_skip: update u gets the data of update u - skip. With skip = u0 mod U, u0 begins its epoch again. */
    int64_t skip;
} SamplerConfig;

typedef struct MicroPlan {
    int count;              /* 0: nothing for this rank in this micro-step */
    const int64_t *index;   /* [count] in the dataset */
    const int32_t *ordinal; /* [count] in the update over all ranks: (micro W + rank) B + b */
} MicroPlan;

/* Borrowed until the next sampler_update of this sampler. */
typedef struct UpdatePlan {
    int64_t update; /* 0.. of the run */
    int64_t epoch;  /* 0.. */
    int count;      /* micro-steps; the same on every rank */
    const MicroPlan *micro;
    int64_t samples; /* over all ranks, repeated ones included: ordinals are below it */
} UpdatePlan;

typedef struct Sampler Sampler;

/* A USAGE error names what is wrong: nothing to sample, a batch of 0, drop_last that leaves nothing. */
Status sampler_check(const SamplerConfig *c);
/* For `granular`: every split of an update holds the same samples only if n is a multiple of B G W. */
Status sampler_check_granular(const SamplerConfig *c);
int64_t sampler_micro_per_epoch(const SamplerConfig *c);   /* L, before granular cuts it finer */
int64_t sampler_updates_per_epoch(const SamplerConfig *c); /* U */
/* max_steps > 0 wins over epochs. *num_epochs (may be NULL) is how many epochs are begun. */
int64_t sampler_total_updates(const SamplerConfig *c, double epochs, int64_t max_steps, int64_t *num_epochs);
/* state.epoch when `updates` are done: epoch index + micro-steps done in it / L. */
double sampler_epoch_after(const SamplerConfig *c, int64_t updates);
/* Whether the update number `updates - 1` was the last of its epoch. */
bool sampler_ends_epoch(const SamplerConfig *c, int64_t updates);
/* Whether the update's first micro-batch of rank has as many samples as any. */
bool sampler_begins_full(const SamplerConfig *c, int64_t update, int rank);
/* Most samples that a micro-step and an update (over all ranks) can hold: for sizes. */
int sampler_most_in_micro(const SamplerConfig *c);
int64_t sampler_most_in_update(const SamplerConfig *c);

Status sampler_new(const SamplerConfig *c, Sampler **out); /* one thread at a time; free with sampler_free */
Status sampler_update(Sampler *s, int64_t update, int rank, UpdatePlan *out);
const SamplerConfig *sampler_config(const Sampler *s);
void sampler_free(Sampler *s); /* NULL is fine */

/* Evaluation: batches of B in the data's order, batch k to rank k mod W, every example once: what is in a batch does
 * not depend on the number of ranks. drop_last drops the last, short batch (the reference's dataloader_drop_last). */
typedef struct EvalPlan {
    int64_t n;
    int batch, world, rank;
    bool drop_last;
} EvalPlan;
int64_t eval_plan_batches(const EvalPlan *p);       /* of all ranks */
int64_t eval_plan_rank_batches(const EvalPlan *p);  /* of this rank */
/* The j-th batch of this rank: its number over all ranks, first example and count. */
void eval_plan_batch(const EvalPlan *p, int64_t j, int64_t *number, int64_t *first, int *count);

#endif
