/* Evaluation: every example once, the same result for any number of ranks.
 *
 * Batches hold the same examples whatever ranks there are, and their losses are added in their order. `tokens`: sum
 * over all targets by their number. `hf`: the mean over examples of their batch's loss, each batch divided by what the
 * reference counts, which is what the Hugging Face Trainer gives on one rank (trainer_semantics 8). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/log.h"
#include "trainer/callbacks/results.h"
#include "trainer/callbacks/signals.h"
#include "trainer/callbacks/timing.h"
#include "trainer/checkpoint/dir_lock.h"
#include "trainer/trainer.h"

/* Of one batch. */
typedef struct Part { double loss, targets, hf_targets, examples; } Part;

Status trainer_evaluate_batch(Trainer *tr, const Batch *batch, const double **sum)
{
    Status st = OK;
    LossSpec spec = {.scale = 1, .smoothing = (float)tr->args->label_smoothing_factor};
    TRY(batch_place(&tr->room, tr->machine.k, tr->machine.stream, batch, &tr->placed));
    tape_begin(&tr->tape, TAPE_EVAL, &tr->placed, 0);
    Tensor *rows = tr->task->loss(&tr->tape, tr->model, &tr->placed, &spec);
    TRY(tape_status(&tr->tape));
    tr->machine.k->sum_segments(tr->machine.stream, step_results_losses(tr), rows->data, rows->rows, NULL, 1);
    TRY(step_results_read(tr, sum, NULL));
done:
    return st;
}

static Status evaluate_batch(Trainer *tr, const Batch *batch, int64_t examples, Part *out)
{
    Status st = OK;
    const double *sum;
    TRY(trainer_evaluate_batch(tr, batch, &sum));
    const int64_t counted = tr->task->evaluates_means ? batch->targets : batch->hf_targets;
    *out = (Part){*sum, (double)batch->targets, (double)(counted > 0 ? counted : 1), (double)examples};
done:
    return st;
}

/* Every rank's parts, laid out by the batch's number: what others have is 0 here, so the sum is exact. */
static Status gather(Trainer *tr, Part *parts, int64_t count)
{
    Status st = OK;
    enum { AT_ONCE = 4096 };
    for (int64_t at = 0; at < 4 * count; at += AT_ONCE)
        TRY(group_sum_double(tr->machine.group, (double *)parts + at,
                             (int)(4 * count - at < AT_ONCE ? 4 * count - at : AT_ONCE)));
done:
    return st;
}

static double mean_loss(const TrainingArguments *a, const Part *parts, int64_t count)
{
    double sum = 0, weight = 0;
    bool hf = a->loss_normalization == LOSS_HF;
    for (int64_t i = 0; i < count; i++) {
        double loss = hf ? parts[i].loss / parts[i].hf_targets : parts[i].loss,
               by = hf ? parts[i].examples : parts[i].targets;
        if (a->logging_nan_inf_filter && !isfinite(loss)) continue;
        sum += hf ? loss * by : loss;
        weight += by;
    }
    return sum / weight;
}

static EvalPlan plan_of(const Trainer *tr)
{
    return (EvalPlan){.n = dataset_count(tr->eval_set), .batch = (int)tr->args->per_device_eval_batch_size,
                      .world = tr->machine.group->size, .rank = tr->machine.group->rank,
                      .drop_last = tr->args->dataloader_drop_last};
}

Status trainer_check_evaluation(const Trainer *tr)
{
    EvalPlan plan = plan_of(tr);
    if (eval_plan_batches(&plan)) return OK;
    return status_raise(STATUS_USAGE,
                        "nothing to evaluate: %lld examples are no batch of %d%s; give more, or a smaller "
                        "per_device_eval_batch_size",
                        (long long)plan.n, plan.batch,
                        plan.drop_last ? ", and dataloader_drop_last leaves them out" : "");
}

/* That it gets on is seen by the batch: the step stays the same for as long as an evaluation takes. */
static void report_batch(Trainer *tr, int64_t done)
{
    char phase[32];
    snprintf(phase, sizeof phase, "evaluate %lld", (long long)done + 1);
    heartbeat_report(tr->heartbeat, tr->global_step, phase);
}

/* When the ranks ask each other, at the same one of their batches, whether one is to stop: about once a second of the
 * slowest. Every rank has the first `common` batches. */
typedef struct Watch {
    int64_t common, at, next;
    double since;
} Watch;

static Status watch(Trainer *tr, Watch *w, int64_t done, bool *left)
{
    Status st = OK;
    static const double EVERY_S = 1;
    if (done < w->next || done >= w->common) return OK;
    int64_t most[] = {trainer_asked_to_stop(), (int64_t)(1e6 * (timing_now() - w->since)) + 1};
    TRY(group_max_i64(tr->machine.group, most, 2));
    *left = most[0] > 0;
    double batch_s = 1e-6 * (double)most[1] / (double)(done > w->at ? done - w->at : 1), fit = EVERY_S / batch_s;
    int64_t passed = done - w->at, bound = 2 * passed + 1; /* the first ones may be quicker than the rest */
    w->at = done;
    w->next = done + (fit < 1 ? 1 : fit < (double)bound ? (int64_t)fit : bound);
    w->since = timing_now();
done:
    return st;
}

Status trainer_evaluate(Trainer *tr, const char *prefix, LogEntry *out, bool *left)
{
    Status st = OK;
    EvalPlan plan = plan_of(tr);
    LoaderConfig config = {.dataset = tr->eval_set, .evaluation = &plan, .rank = plan.rank,
                           .collate = tr->task->collate, .context = &tr->context};
    Loader *loader = NULL;
    int64_t count = eval_plan_batches(&plan), done = 0;
    double started = timing_now();
    Watch watching = {.common = count / plan.world, .since = started};
    Part *parts = calloc((size_t)count + 1, sizeof *parts);
    *left = false;
    precision_begin_evaluation(tr);
    if (!parts) RAISE(MEMORY, "out of memory");
    TRY(step_results_begin(tr, 1));
    TRY(footprint_of_evaluation(tr, &plan));
    report_batch(tr, 0);
    TRY(loader_new(&config, &loader));
    progress_part_begin(tr->progress, "evaluate", eval_plan_rank_batches(&plan));
    for (const Step *step;;) {
        TRY(watch(tr, &watching, done, left));
        if (*left) break;
        TRY(loader_next(loader, &step));
        if (!step) break;
        TRY(evaluate_batch(tr, &step->micro[0], step->samples, &parts[step->update]));
        progress_part_step(tr->progress, ++done);
        report_batch(tr, done);
    }
    progress_part_end(tr->progress);
    if (*left && tr->gradients) {
        log_info("the evaluation of step %lld is left after %lld of %lld batches", (long long)tr->global_step,
                 (long long)done, (long long)eval_plan_rank_batches(&plan));
    }
    if (*left) goto done;
    TRY(gather(tr, parts, count));
    double loss = mean_loss(tr->args, parts, count), seconds = timing_now() - started;
    char key[64];
#define ADD(name, value) (snprintf(key, sizeof key, "%s_%s", prefix, name), logentry_add_real(out, key, value))
    ADD("loss", loss);
    ADD("runtime", timing_round(seconds, 4));
    ADD("samples_per_second", timing_round((double)plan.n / seconds, 3));
    ADD("steps_per_second", timing_round((double)((count + plan.world - 1) / plan.world) / seconds, 3));
done:
    precision_end_evaluation(tr);
    tape_end(&tr->tape);
    free(parts);
    loader_free(loader);
    return st;
}

static Status print_metrics(Trainer *tr, const LogEntry *entry)
{
    Status st = OK;
    Text text = {0};
    logentry_to_json(entry, &text);
    if (text.failed || !text.data) RAISE(MEMORY, "out of memory");
    if (tr->machine.group->rank == 0 && (puts(text.data) == EOF || fflush(stdout))) RAISE(IO, "stdout: cannot write");
done:
    text_free(&text);
    return st;
}

/* Beside what is in output_dir, which has one writer: where a run is at work the files are left to it. */
static Status write_results(const char *dir, const char *prefix, const LogEntry *metrics)
{
    DirLock *lock;
    static const double WAIT_S = 2; /* another evaluation is done by then */
    Status st = dir_lock_take(dir, WAIT_S, &lock);
    if (st == STATUS_LOCKED) {
        log_warning("%s_results.json is not written: %s", prefix, status_message());
        return OK;
    }
    if (!st) st = results_save(dir, prefix, metrics);
    dir_lock_release(lock);
    return st;
}

/* A rank was asked to stop: all know, and have nothing to save. */
static Status stopped(Trainer *tr)
{
    Status st = OK;
    int64_t asked = trainer_asked_to_stop();
    TRY(group_max_i64(tr->machine.group, &asked, 1));
    stop_tell(trainer_stop_reason(asked));
    RAISE(STOPPED, "stopped by %s before the end of the evaluation; the same command begins it anew",
          trainer_stop_reason(asked));
done:
    return st;
}

Status trainer_eval(const TrainingArguments *args, Arena *arena)
{
    Status st = OK;
    Trainer tr;
    LogEntry entry = {0};
    TrainingArguments own = *args;
    bool left;
    own.max_time = -1; /* of training, whose files say it: it could not go on where it was stopped */
    signals_of_evaluation();
    trainer_init(&tr, &own, arena);
    TRY(trainer_open(&tr, false));
    const char *prefix = args->test_file.count && !args->validation_file.count ? "test" : "eval";
    if (tr.machine.group->rank == 0) {
        ProgressOptions options = {.no_bar = args->disable_tqdm > 0};
        TRY(progress_open(&options, &tr.progress));
    }
    TRY(trainer_evaluate(&tr, prefix, &entry, &left));
    if (left) TRY(stopped(&tr));
    char key[32];
    snprintf(key, sizeof key, "%s_loss", prefix);
    if (tr.task->perplexity) logentry_add_real(&entry, "perplexity", exp(logentry_get(&entry, key, NAN)));
    snprintf(key, sizeof key, "%s_samples", prefix);
    logentry_add_int(&entry, key, dataset_count(tr.eval_set));
    progress_close(tr.progress);
    tr.progress = NULL;
    TRY(print_metrics(&tr, &entry));
    if (tr.machine.group->rank == 0 && path_is_dir(args->output_dir))
        TRY(write_results(args->output_dir, prefix, &entry));
done:
    trainer_end_all(&tr, st);
    trainer_close(&tr);
    return st;
}
