/* Gradients of several ranks become one while backward still runs, and updated weights go round (architecture.md, 7).
 *
 * The trainable parameters are one flat array of n floats, in the order in which backward finishes them: low offsets
 * first. It is cut into buckets of whole KERNEL_BLOCKs, each bucket into one part a rank: its owner adds the ranks'
 * gradients of that part in rank order. With zero_stage 1 (the default) the owner alone has the sum, updates its
 * weights, and the weights go round: the bytes of an all-reduce, 1/W of the optimizer's time and state. With zero_stage
 * 0 the sum goes round and everybody updates everything.
 *
 * One thread does it, in blocking calls, in the order of the buckets. Ranks of one host read one another's memory: both
 * arrays are made here, in shared memory, and a bucket costs one sleep on a futex and one pass over the own part. Ranks
 * of several hosts (or HONE_SHM=0) send parts by MPI.
 *
 * Where arrays lie on devices NCCL does it, in a queue of its own (gradients_nccl.c), or, where ranks share a device or
 * have no NCCL, the thread with the host's copies (gradients_staged.c). Sums by NCCL repeat their bits on the same
 * machines but are not in rank order; with full determinism they are what they are everywhere.
 *
 *     gradients_begin(g, i == last, has_granule);     before the forward of a micro-step (a fused loss writes gradients
 * there) … gradients_ready(g, begin, end) from backward, as ranges become final … TRY(gradients_end(g)); after its
 * backward TRY(gradients_finish(g, &norm_squared));        after the last micro-step: waits the optimizer on
 * gradients_owned(), from gradients_reduced() TRY(gradients_gather_weights(g));
 *
 * The update's first gradients_begin() is the one after gradients_finish(). In a micro-step of which nothing is sent
 * gradients accumulate in gradients_data(): by its accumulate flags backward adds.
 *
 * full_determinism: a micro-step is one sequence (granule) on each rank, overwriting gradients_data(); micro-step m of
 * rank r is number m*W + r of the update. Each is sent: the owner adds ranks 0..W-1 to what it has, one left fold over
 * the update, whose bits do not depend on W. A rank without a granule (has_granule false; all ranks must still make the
 * calls) adds nothing. */
#ifndef HONE_DISTRIBUTED_GRADIENTS_H
#define HONE_DISTRIBUTED_GRADIENTS_H

#include "kernels/kernels.h"
#include "trainer/distributed/process_group.h"

typedef struct Gradients Gradients;

typedef struct GradientsOptions {
    int64_t bucket_bytes; /* ddp_bucket_cap_mb in bytes; 0: 25 MiB. A cap: there are at least some 16 buckets where n
                             allows it */
    int zero_stage;       /* 0 or 1 */
    bool full_determinism;
    double timeout_s; /* of ranks that are to meet on devices; 0: 300 */
    const Kernels *k; /* the stream's; may be NULL where that is the CPU's */
} GradientsOptions;

typedef struct Range {
    int64_t begin, end;
} Range; /* elements */

/* Collective. pg and stream are borrowed until gradients_free(); pg is duplicated. stream's pool is used in begin, end,
 * finish and gather, never while backward runs. STATUS_MEMORY where the arrays do not fit. */
Status gradients_new(ProcessGroup *pg, Stream *stream, int64_t n, const GradientsOptions *options, Gradients **out);
void gradients_free(Gradients *g); /* collective, unless a call has failed; NULL is fine */

/* Two arrays of n floats, page-aligned, zero at first, whole blocks readable (zeros after n). Where the stream is a
 * device's they lie there. */
float *gradients_data(Gradients *g);    /* backward writes here */
float *gradients_weights(Gradients *g); /* the parameters' f32 values live here, each rank's own copy */

/* A micro-step begins; last: of its update on this rank and all others (every rank has the same number of micro-steps).
 * With full determinism waits until the one before is read by all. */
Status gradients_begin(Gradients *g, bool last, bool has_granule);
/* [begin, end) is final in this micro-step; each element at most once a micro-step; from one thread. Never waits.
 * Ignored where nothing is sent, so backward need not know. */
void gradients_ready(Gradients *g, int64_t begin, int64_t end);
/* Backward is over: what was not reported goes out as it is, so what nothing wrote in this update must have been zeroed
 * before (gradients_zero). */
Status gradients_end(Gradients *g);
void gradients_zero(Gradients *g, int64_t begin, int64_t end);
/* Waits for the rest; on a device only where norm_squared is wanted. *norm_squared (may be NULL): of the summed
 * gradient, double partials of KERNEL_BLOCKs added in the order of the blocks: the same bits on every rank, and for
 * every W where the sums are the same. */
Status gradients_finish(Gradients *g, double *norm_squared);
/* The square sums of the summed gradient's blocks, all ranks', where the stream's kernels work: after finish, in the
 * order of the stream, until the next begin. Added in their order they are *norm_squared. */
const double *gradients_partials(const Gradients *g, int64_t *blocks);

/* Whether finish makes the host wait for the other ranks whatever is asked of it: several ranks that exchange through
 * the host's memory. One rank, and devices that exchange by themselves, do not. */
bool gradients_wait(const Gradients *g);
/* Of devices that exchange by themselves: a number where the stream's kernels work. What this rank has put there before
 * finish (in the order of the stream) is the sum over all ranks after it, as the partials are. Else NULL. */
double *gradients_companion(Gradients *g);
/* After the host has waited for an update: whether the exchanges in it went well. */
Status gradients_check(Gradients *g);

/* What this rank's optimizer updates: ascending, apart, begins on block bounds; everything where W is 1 or zero_stage
 * 0. Fixed from gradients_new() on. */
const Range *gradients_owned(const Gradients *g, int *count);
const Range *gradients_owned_by(const Gradients *g, int rank, int *count);
/* The summed gradient, same offsets as gradients_data(), valid in the owned ranges from finish to the next begin. Not
 * the same array as gradients_data() with full determinism. Writable (clipping in place). */
float *gradients_reduced(Gradients *g);

/* All ranks' updated weights become everybody's. Writes all of gradients_weights() outside the owned ranges: a writer
 * that still saves these must have been given its copy. Nothing to do with W 1 or zero_stage 0. */
Status gradients_gather_weights(Gradients *g);

/* Seconds since the last call (or new): of the communication thread while the rank computed, and of this thread's
 * waiting in begin, finish and gather. Waiting for slower ranks is in both. */
void gradients_times(Gradients *g, double *hidden, double *exposed);
/* Since the last finish: buckets that were under way or done when backward ended, and buckets in all. For tests of
 * overlap. */
void gradients_counts(const Gradients *g, int *started_early, int *buckets);
/* A seeded defect for tests of full determinism: in gradients made from now on ranks are added last to first, so the
 * order is not that of the samples. Nothing but a test calls it. */
void gradients_test_order(bool on);

#endif
