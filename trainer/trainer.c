/* The training loop. What an update is: update.c; what is opened before: setup.c. */
#include "trainer/trainer.h"

#include <string.h>

#include "trainer/base/log.h"
#include "trainer/callbacks/signals.h"
#include "trainer/callbacks/timing.h"

/* One rank was asked to stop: all do, at the same step. */
static Status stop_if_asked(Trainer *tr)
{
    Status st = OK;
    int64_t asked = stop_requested();
    TRY(group_max_i64(tr->machine.group, &asked, 1));
    if (!asked) return OK;
    if (tr->global_step > 0 && tr->saved_step != tr->global_step) TRY(trainer_save(tr));
    TRY(checkpoint_wait(tr->store));
    if (checkpoint_failed(tr->store)) RAISE(IO, "asked to stop, but the checkpoint could not be written: %s", status_message());
    RAISE(STOPPED, "stopped at step %lld of %lld as asked; run the same command with resume_from_checkpoint: true and it goes on",
          (long long)tr->global_step, (long long)tr->max_steps);
done:
    return st;
}

static Status evaluate(Trainer *tr)
{
    Status st = OK;
    LogEntry entry = {0};
    TRY(trainer_evaluate(tr, "eval", &entry));
    TRY(report_evaluation(tr, &entry));
done:
    return st;
}

/* Saving comes after evaluating, so that a checkpoint knows whether it is the best. */
static Status between_updates(Trainer *tr, bool epoch_ended)
{
    Status st = OK;
    Moment now = {.step = tr->global_step, .epoch = tr->state.epoch, .epoch_end = epoch_ended || tr->global_step == tr->max_steps};
    tr->improved = false;
    if (tr->eval_set && should_eval(&tr->when, &now)) TRY(evaluate(tr));
    now.improved = tr->improved;
    now.stopping = tr->stop_early;
    if (should_save(&tr->when, &now)) TRY(trainer_save(tr));
done:
    return st;
}

static Status train(Trainer *tr)
{
    Status st = OK;
    const Step *step;
    double loss;
    if (tr->args->eval_on_start && tr->global_step == 0 && tr->eval_set) TRY(evaluate(tr));
    while (tr->global_step < tr->max_steps && !tr->stop_early) {
        TRY(stop_if_asked(tr));
        TRY(loader_next(tr->loader, &step)); /* micro-batches, made ahead of time */
        heartbeat_report(tr->heartbeat, tr->global_step, "update");
        TRY(trainer_update(tr, step, &loss));
        TRY(report_step(tr, step, loss));
        TRY(between_updates(tr, sampler_ends_epoch(&tr->sampler_config, tr->global_step)));
    }
done:
    return st;
}

/* The best checkpoint's weights, where that was asked for. */
static Status load_best(Trainer *tr)
{
    Status st = OK;
    const char *best = tr->state.best_model_checkpoint;
    if (!tr->args->load_best_model_at_end || !*best) return OK;
    st = model_load(tr->model, best);
    if (!st) log_info("loaded the best model, %s (%s %g)", best, tr->args->metric_for_best_model, tr->state.best_metric);
    TRY(trainer_agree(tr, st));
done:
    return st;
}

static Status finish(Trainer *tr)
{
    Status st = OK;
    TRY(checkpoint_wait(tr->store));
    TRY(load_best(tr));
    TRY(trainer_save_final(tr));
    TRY(report_end(tr));
    if (checkpoint_failed(tr->store)) RAISE(IO, "a checkpoint could not be saved (see above); the finished model is in %s", tr->args->output_dir);
done:
    return st;
}

Status trainer_agree(Trainer *tr, Status mine)
{
    int speaker = -1;
    Status st = group_agree(tr->machine.group, mine, &speaker);
    if (st && tr->machine.group->size > 1) {
        tr->agreed = true;
        if (speaker >= 0 && speaker != tr->machine.group->rank) status_raise(st, "%s", ""); /* said elsewhere */
    }
    return st;
}

/* A failure that the other ranks do not know of ends them too: they may be waiting for this one. */
void trainer_end_all(Trainer *tr, Status st)
{
    if (!st || st == STATUS_STOPPED || tr->agreed || !tr->machine.group || tr->machine.group->size == 1) return;
    log_error("%s", status_message());
    group_abort(tr->machine.group, status_exit_code(st));
}

void trainer_init(Trainer *tr, const TrainingArguments *args, Arena *arena)
{
    *tr = (Trainer){.args = args, .arena = arena, .started = timing_now(), .saved_step = -1};
    state_init(&tr->state);
}

Status trainer_run(Trainer *tr)
{
    Status st = OK;
    TRY(trainer_open(tr, true));
    if (tr->args->dry_run) {
        TRY(trainer_dry_run(tr));
        goto done;
    }
    TRY(trainer_open_training(tr));
    TRY(report_open(tr));
    TRY(train(tr));
    TRY(finish(tr));
done:
    trainer_end_all(tr, st);
    return st;
}

Status trainer_train(const TrainingArguments *args, Arena *arena)
{
    Trainer tr;
    trainer_init(&tr, args, arena);
    Status st = trainer_run(&tr);
    trainer_close(&tr);
    return st;
}
