/* One update: forward and backward of its micro-steps, the sum over ranks, clipping, the optimizer (trainer_semantics 4
 * and 5).
 *
 * One rank, or ranks whose devices exchange by themselves, queue all of it and wait once, at the end: whether the
 * gradients are good is decided where the kernels work, and an optimizer pass with a bad factor changes nothing. Ranks
 * that exchange through the host's memory wait there anyway: they read that, and tell each other their losses, before
 * the optimizer.
 *
 * What the losses are divided by is known before: `tokens` divides the sum over the whole update by the number of its
 * targets, which is the mean of the mathematics; `hf` by what the Hugging Face Trainer counts. */
#include <math.h>
#include <string.h>

#include "trainer/base/log.h"
#include "trainer/trainer.h"

/* Divisors of this rank's gradients and of its part of the reported loss. */
typedef struct Normalizer { double gradient, loss; } Normalizer;

static Status count_targets(Trainer *tr, const Step *step, Normalizer *out)
{
    Status st = OK;
    const TrainingArguments *a = tr->args;
    bool hf = a->loss_normalization == LOSS_HF;
    int64_t mine = hf ? step->hf_targets : step->targets, all = mine;
    TRY(group_sum_i64(tr->machine.group, &all, 1));
    if (hf && !a->average_tokens_across_devices) { /* each rank divides by its own count, then ranks are averaged */
        out->gradient = out->loss = (double)mine * tr->machine.group->size;
    } else {
        out->gradient = out->loss = (double)all;
    }
    if (out->gradient < 1) out->gradient = out->loss = 1; /* an update without a target: nothing moves */
done:
    return st;
}

/* What nothing wrote in this update is zero. */
static void zero_unwritten(Trainer *tr)
{
    for (size_t i = 0; i < tr->model->params.count; i++) {
        Parameter *p = tr->model->params.list[i];
        if (!p->value.needs_grad || p->grad_written) continue;
        gradients_zero(tr->gradients, p->offset, p->offset + p->count);
        p->grad_written = true;
    }
}

Status trainer_micro_batch(Trainer *tr, const Batch *batch, double divisor, double *sums)
{
    Status st = OK;
    LossSpec spec = {.scale = (float)((double)tr->precision.loss_scale.scale / divisor),
                     .smoothing = (float)tr->args->label_smoothing_factor};
    TRY(batch_place(&tr->room, tr->machine.k, tr->machine.stream, batch, &tr->placed));
    tape_begin(&tr->tape, TAPE_TRAIN, &tr->placed, (uint32_t)tr->global_step);
    Tensor *rows = tr->task->loss(&tr->tape, tr->model, &tr->placed, &spec);
    TRY(tape_status(&tr->tape));
    tr->machine.k->sum_segments(tr->machine.stream, sums, rows->data, rows->rows, tr->placed.cu_seqlens,
                                batch->num_seqs);
    TRY(tape_backward(&tr->tape, rows, NULL));
done:
    return st;
}

static Status micro_step(Trainer *tr, const Batch *batch, bool last, double divisor, double *sums)
{
    Status st = OK;
    TRY(gradients_begin(tr->gradients, last, batch->num_seqs > 0));
    if (tr->args->full_determinism)
        parameters_begin_update(&tr->model->params); /* each sequence's gradient is its own */
    if (batch->num_seqs > 0) TRY(trainer_micro_batch(tr, batch, divisor, sums));
    if (last || tr->args->full_determinism) zero_unwritten(tr);
    TRY(gradients_end(tr->gradients));
done:
    return st;
}

/* This rank's loss from the sums of its sequences, each micro-step's added by itself; by sample with full
 * determinism. */
static double add_losses(Trainer *tr, const Step *step, const double *sums)
{
    double total = 0;
    for (int i = 0; i < step->count; i++) {
        const Batch *batch = &step->micro[i];
        double part = 0;
        for (int b = 0; b < batch->num_seqs; b++, sums++) {
            if (tr->sample_losses) tr->sample_losses[batch->sample[b] & SAMPLE_MASK] += *sums;
            part += *sums;
        }
        total += part;
    }
    return total;
}

/* Over all ranks: in rank order, or with full determinism sample by sample, so that the split does not matter. */
static Status total_loss(Trainer *tr, const Step *step, double divisor, double mine, double *out)
{
    Status st = OK;
    double sum = mine / divisor;
    if (!tr->sample_losses) {
        TRY(group_sum_double(tr->machine.group, &sum, 1));
    } else {
        TRY(group_sum_double(tr->machine.group, tr->sample_losses,
                             (int)step->samples)); /* all but one term are 0: exact */
        sum = 0;
        for (int64_t i = 0; i < step->samples; i++) sum += tr->sample_losses[i];
        sum /= divisor;
    }
    *out = sum;
done:
    return st;
}

static void guard(void *store, const void *p, size_t bytes) { checkpoint_guard(store, p, bytes); }

/* Elements [begin, end) belong to other ranks, whose weights come now: a save may still read the old ones. */
static void guard_gather(Trainer *tr, int64_t begin, int64_t end)
{
    if (checkpoint_pending(tr->store))
        checkpoint_guard(tr->store, gradients_weights(tr->gradients) + begin, (size_t)(end - begin) * sizeof(float));
}

static void each_gathered(Trainer *tr, void (*do_it)(Trainer *tr, int64_t begin, int64_t end))
{
    int count;
    const Range *owned = gradients_owned(tr->gradients, &count);
    int64_t at = 0;
    for (int i = 0; i <= count; i++) {
        int64_t end = i < count ? owned[i].begin : tr->model->params.flat_count;
        if (end > at) do_it(tr, at, end);
        if (i < count) at = owned[i].end;
    }
}

/* The optimizer on this rank's share, then everybody's weights. */
static Status move_weights(Trainer *tr)
{
    Status st = OK;
    LowCopy low;
    optimizer_step(tr->optimizer, gradients_weights(tr->gradients), precision_copy(tr, &low),
                   gradients_reduced(tr->gradients), step_results_grad_scale(tr), tr->last_rate, guard, tr->store);
    each_gathered(tr, guard_gather);
    TRY(gradients_gather_weights(tr->gradients));
    each_gathered(tr, precision_refresh);
done:
    return st;
}

/* Waits. *good: loss and gradients are finite, on all ranks alike. */
static Status read_results(Trainer *tr, const Step *step, double divisor, double *loss, bool *good)
{
    Status st = OK;
    const double *sums;
    double norm_squared;
    TRY(step_results_read(tr, &sums, &norm_squared));
    TRY(gradients_check(tr->gradients));
    TRY(total_loss(tr, step, divisor, add_losses(tr, step, sums), loss));
    tr->last_norm = sqrt(norm_squared) / (double)tr->precision.loss_scale.scale;
    *good = isfinite(tr->last_norm) && isfinite(*loss);
done:
    return st;
}

/* The optimizer has been queued and did nothing: its count goes back. Other ranks' ranges of the copy in fewer bits
 * were made again with the numbers of the next update. */
static void take_back(Trainer *tr, int64_t steps)
{
    if (optimizer_steps(tr->optimizer) == steps) return;
    optimizer_set_steps(tr->optimizer, steps);
    each_gathered(tr, precision_refresh);
}

/* After an update in float16. */
static Status scale_loss(Trainer *tr, bool good)
{
    LossScale *s = &tr->precision.loss_scale;
    loss_scale_update(s, good);
    if (good) return OK;
    tr->precision.overflows++;
    log_info("step %lld is left out: float16 overflowed; the loss scale is now %g", (long long)tr->global_step + 1,
             (double)s->scale);
    if (!loss_scale_is_lost(s) || tr->args->on_nan != ON_NAN_STOP) return OK;
    return status_raise(STATUS_NUMERIC,
                        "step %lld: gradients are not finite however small the loss scale is: the model itself "
                        "overflows float16; train with bf16, or lower learning_rate. The last checkpoint is good",
                        (long long)tr->global_step + 1);
}

static double unsigned_nan(double x) { return isnan(x) ? (double)NAN : x; } /* not "-nan" */

/* After an update that left the weights alone. */
static Status skip(Trainer *tr, double loss)
{
    double norm = unsigned_nan(tr->last_norm);
    loss = unsigned_nan(loss);
    if (tr->args->on_nan == ON_NAN_STOP)
        return status_raise(
            STATUS_NUMERIC,
            "step %lld: loss %g, gradient norm %g; lower learning_rate, or set on_nan: skip. The last checkpoint is "
            "good",
            (long long)tr->global_step + 1, loss, norm);
    tr->skipped_steps++;
    log_warning("step %lld is skipped: loss %g, gradient norm %g", (long long)tr->global_step + 1, loss, norm);
    return OK;
}

static int64_t sequences(const Step *step)
{
    int64_t count = 0;
    for (int i = 0; i < step->count; i++) count += step->micro[i].num_seqs;
    return count;
}

Status trainer_update(Trainer *tr, const Step *step, double *loss)
{
    Status st = OK;
    Normalizer by;
    bool waits = gradients_wait(tr->gradients), good = true;
    TRY(count_targets(tr, step, &by));
    TRY(step_results_begin(tr, sequences(step)));
    parameters_begin_update(&tr->model->params);
    if (tr->sample_losses) memset(tr->sample_losses, 0, (size_t)step->samples * sizeof(double));
    double *sums = step_results_losses(tr);
    for (int i = 0; i < step->count; sums += step->micro[i++].num_seqs)
        TRY(micro_step(tr, &step->micro[i], i + 1 == step->count, by.gradient, sums));
    step_results_add_up(tr);
    TRY(gradients_finish(tr->gradients, NULL));
    step_results_decide(tr, 1 / (double)tr->precision.loss_scale.scale, tr->args->max_grad_norm);
    if (waits) TRY(read_results(tr, step, by.loss, loss, &good));

    tr->last_rate = schedule_at(&tr->schedule, tr->global_step - tr->precision.overflows);
    int64_t steps = optimizer_steps(tr->optimizer);
    if (good) TRY(move_weights(tr));
    if (!waits) TRY(read_results(tr, step, by.loss, loss, &good));
    if (!good) take_back(tr, steps);
    st = tr->precision.training == DTYPE_F16 ? scale_loss(tr, good) : good ? OK : skip(tr, *loss);
    if (st) TRY(trainer_agree(tr, st)); /* all ranks have failed alike */
    tr->global_step++;
    TRY(machine_check(&tr->machine));
    footprint_settle(tr, step);
done:
    return st;
}
