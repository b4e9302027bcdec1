/* One update: forward and backward of its micro-steps, the sum over ranks, clipping, the optimizer (trainer_semantics 4
 * and 5).
 *
 * What the losses are divided by is known before: `tokens` divides the sum over the whole update by the number of its
 * targets, which is the mean of the mathematics; `hf` by what the Hugging Face Trainer counts. */
#include <math.h>
#include <string.h>

#include "optim/clip.h"
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

/* Sum of the row losses of each sequence, in double, in order. The host waits once for some of them. */
static double sum_losses(Trainer *tr, const Batch *batch, const Tensor *loss, double *by_sample)
{
    enum { AT_ONCE = 64 };
    double total = 0, sums[AT_ONCE];
    for (int b = 0; b < batch->num_seqs; b += AT_ONCE) {
        int count = batch->num_seqs - b < AT_ONCE ? batch->num_seqs - b : AT_ONCE;
        for (int i = 0; i < count; i++) {
            int32_t begin = batch->cu_seqlens[b + i];
            tr->machine.k->sum_in_order(tr->machine.stream, &sums[i], (const float *)loss->data + begin,
                                        batch->cu_seqlens[b + i + 1] - begin);
        }
        stream_sync(tr->machine.stream);
        for (int i = 0; i < count; i++) {
            if (by_sample) by_sample[batch->sample[b + i]] = sums[i];
            total += sums[i];
        }
    }
    return total;
}

static Status micro_step(Trainer *tr, const Batch *batch, bool last, double divisor, double *loss)
{
    Status st = OK;
    TRY(gradients_begin(tr->gradients, last, batch->num_seqs > 0));
    if (tr->args->full_determinism)
        parameters_begin_update(&tr->model->params); /* each sequence's gradient is its own */
    if (batch->num_seqs > 0) {
        LossSpec spec = {.scale = (float)(1 / divisor), .smoothing = (float)tr->args->label_smoothing_factor};
        TRY(batch_place(&tr->room, tr->machine.k, tr->machine.stream, batch, &tr->placed));
        tape_begin(&tr->tape, TAPE_TRAIN, &tr->placed, (uint32_t)tr->global_step);
        Tensor *rows = tr->task->loss(&tr->tape, tr->model, &tr->placed, &spec);
        TRY(tape_status(&tr->tape));
        *loss += sum_losses(tr, batch, rows, tr->sample_losses);
        TRY(tape_backward(&tr->tape, rows, NULL));
    }
    if (last || tr->args->full_determinism) zero_unwritten(tr);
    TRY(gradients_end(tr->gradients));
done:
    return st;
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

/* Before all-gather overwrites what other ranks own. */
static void guard_gather(Trainer *tr)
{
    int count;
    const Range *owned = gradients_owned(tr->gradients, &count);
    float *weights = gradients_weights(tr->gradients);
    int64_t at = 0;
    for (int i = 0; i <= count; i++) {
        int64_t end = i < count ? owned[i].begin : tr->model->params.flat_count;
        if (end > at) checkpoint_guard(tr->store, weights + at, (size_t)(end - at) * sizeof(float));
        if (i < count) at = owned[i].end;
    }
}

Status trainer_update(Trainer *tr, const Step *step, double *loss)
{
    Status st = OK;
    Normalizer by;
    double mine = 0, norm_squared;
    TRY(count_targets(tr, step, &by));
    parameters_begin_update(&tr->model->params);
    if (tr->sample_losses) memset(tr->sample_losses, 0, (size_t)step->samples * sizeof(double));
    for (int i = 0; i < step->count; i++)
        TRY(micro_step(tr, &step->micro[i], i + 1 == step->count, by.gradient, &mine));
    TRY(gradients_finish(tr->gradients, &norm_squared));
    TRY(total_loss(tr, step, by.loss, mine, loss));

    tr->last_norm = sqrt(norm_squared);
    tr->last_rate = schedule_at(&tr->schedule, tr->global_step);
    if (!isfinite(tr->last_norm) || !isfinite(*loss)) {
        if (tr->args->on_nan == ON_NAN_STOP) { /* on all ranks alike */
            st = status_raise(
                STATUS_NUMERIC,
                "step %lld: loss %g, gradient norm %g; lower learning_rate, or set on_nan: skip. The last checkpoint "
                "is good",
                (long long)tr->global_step + 1, *loss, tr->last_norm);
            TRY(trainer_agree(tr, st));
        }
        tr->skipped_steps++;
        log_warning("step %lld is skipped: loss %g, gradient norm %g", (long long)tr->global_step + 1, *loss,
                    tr->last_norm);
    } else {
        optimizer_step(tr->optimizer, gradients_weights(tr->gradients), gradients_reduced(tr->gradients),
                       clip_scale(tr->last_norm, tr->args->max_grad_norm), tr->last_rate, guard, tr->store);
        if (checkpoint_pending(tr->store)) guard_gather(tr);
        TRY(gradients_gather_weights(tr->gradients));
    }
    tr->global_step++;
    TRY(machine_check(&tr->machine));
done:
    return st;
}
