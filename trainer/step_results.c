/* What an update or an evaluated batch leaves where the kernels work: the decision about the gradients, which the
 * optimizer reads there, and the losses. The host reads all of it in one go, when everything has been queued. */
#include "trainer/trainer.h"

enum { NORM, SCALE, LOSSES }; /* doubles; the scale is a float */

Status step_results_begin(Trainer *tr, int64_t losses)
{
    Status st = OK;
    StepResults *r = &tr->results;
    r->losses = losses;
    if (r->there && losses <= r->capacity) return OK;
    int64_t capacity = losses < r->capacity + r->capacity / 2 ? r->capacity + r->capacity / 2 : losses;
    size_t bytes = (size_t)(capacity + LOSSES) * sizeof(double);
    step_results_free(tr);
    *r = (StepResults){.there = stream_allocate(tr->machine.stream, bytes),
                       .here = stream_allocate_host(tr->machine.stream, bytes), .losses = losses, .capacity = capacity};
    if (!r->there || !r->here) RAISE(MEMORY, "out of memory: the losses of %lld sequences", (long long)losses);
    tr->machine.k->fill_zero(tr->machine.stream, r->there, bytes);
done:
    return st;
}

void step_results_free(Trainer *tr)
{
    StepResults *r = &tr->results;
    if (!r->there && !r->here) return;
    stream_sync(tr->machine.stream);
    stream_release(tr->machine.stream, r->there);
    stream_release_host(tr->machine.stream, r->here);
    *r = (StepResults){0};
}

double *step_results_losses(const Trainer *tr) { return tr->results.there + LOSSES; }
const float *step_results_grad_scale(const Trainer *tr) { return (const float *)(tr->results.there + SCALE); }

/* By the kernel that adds a norm's partial sums. */
void step_results_add_up(Trainer *tr)
{
    const StepResults *r = &tr->results;
    double *sum = gradients_companion(tr->gradients);
    if (sum)
        tr->machine.k->clip_factor(tr->machine.stream, (float *)(r->there + SCALE), sum, r->there + LOSSES, r->losses,
                                   NULL, 0, 1, 0);
}

void step_results_decide(Trainer *tr, double unscale, double max_norm)
{
    const StepResults *r = &tr->results;
    int64_t blocks;
    const double *partials = gradients_partials(tr->gradients, &blocks), *sum = gradients_companion(tr->gradients);
    tr->machine.k->clip_factor(tr->machine.stream, (float *)(r->there + SCALE), r->there + NORM, partials, blocks,
                               sum ? sum : r->there + LOSSES, sum ? 1 : r->losses, unscale, max_norm);
}

Status step_results_read(Trainer *tr, const double **losses, double *norm_squared)
{
    const StepResults *r = &tr->results;
    size_t bytes = (size_t)(r->losses + LOSSES) * sizeof(double);
    tr->machine.k->copy(tr->machine.stream, r->here, r->there, bytes);
    stream_sync(tr->machine.stream);
    *losses = r->here + LOSSES;
    if (norm_squared) *norm_squared = r->here[NORM];
    return machine_check(&tr->machine);
}
