/* The training loop. What an update is: update.c; what is opened before: setup.c. */
#include "trainer/saving.h"

#include <string.h>

#include "trainer/adapters.h"
#include "trainer/base/log.h"
#include "trainer/callbacks/signals.h"
#include "trainer/callbacks/timing.h"

/* Why to stop, as a number, so that ranks can tell each other; 0: not asked. */
static const char *const reasons[] = {"", "a request", "max_time", "SIGUSR1", "SIGTERM", "SIGINT"};
enum { REASONS = sizeof reasons / sizeof *reasons };

int64_t trainer_asked_to_stop(void)
{
    const char *why = stop_reason();
    int64_t number = why ? 1 : 0;
    for (int i = 1; why && i < REASONS; i++)
        if (strcmp(why, reasons[i]) == 0) number = i;
    return number;
}

const char *trainer_stop_reason(int64_t number) { return reasons[number]; }

/* Waits until a save that is under way is on disk. One that failed has been told of and is remembered: the run goes
 * on. */
static Status settle(Trainer *tr)
{
    Status st = checkpoint_wait(tr->store);
    return st == STATUS_COMM || st == STATUS_BUG ? st : OK;
}

/* One rank was asked to stop: all do, at the same step. */
static Status stop_if_asked(Trainer *tr)
{
    Status st = OK;
    int64_t asked = trainer_asked_to_stop(), step = tr->global_step;
    TRY(group_max_i64(tr->machine.group, &asked, 1));
    if (!asked) return OK;
    stop_tell(reasons[asked]);
    tr->stopping = true;
    TRY(settle(tr));
    if (step > 0 && (checkpoint_saved_step(tr->store) != step || tr->args->save_only_model)) TRY(trainer_save(tr));
    TRY(settle(tr));
    if (step > 0 && checkpoint_saved_step(tr->store) != step) {
        st = status_raise(STATUS_IO,
                          "stopped at step %lld of %lld by %s, and this step could not be saved (see above); the "
                          "last checkpoint is good",
                          (long long)step, (long long)tr->max_steps, reasons[asked]);
        TRY(trainer_agree(tr, st));
    }
    RAISE(STOPPED,
          "stopped at step %lld of %lld by %s; run the same command with resume_from_checkpoint: true and it goes on",
          (long long)step, (long long)tr->max_steps, reasons[asked]);
done:
    return st;
}

/* One that is left because of a stop is owed: what is saved then says so, and who goes on from it begins with it. */
static Status evaluate(Trainer *tr)
{
    Status st = OK;
    LogEntry entry = {0};
    bool left;
    tr->owes_evaluation = true;
    TRY(trainer_evaluate(tr, "eval", &entry, &left));
    if (left) TRY(stop_if_asked(tr)); /* it was: this does not come back */
    tr->owes_evaluation = false;
    TRY(report_evaluation(tr, &entry));
done:
    return st;
}

/* Saving comes after evaluating, so that a checkpoint knows whether it is the best. */
static Status between_updates(Trainer *tr, bool epoch_ended)
{
    Status st = OK;
    Moment now = {.step = tr->global_step, .epoch = tr->state.epoch,
                  .epoch_end = epoch_ended || tr->global_step == tr->max_steps};
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
    if (tr->owes_evaluation) TRY(between_updates(tr, sampler_ends_epoch(&tr->sampler_config, tr->global_step)));
    tr->owes_evaluation = false; /* also where this run's config has none here */
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

/* Weights of a checkpoint, read into the host's copy where the model is on a device, else into the place of the
 * gradients, which nobody needs any more: one that breaks off leaves the model whole. (this rank alone) */
static Status load_aside(Trainer *tr, const char *dir)
{
    Checkpoint found;
    Parameters *ps = &tr->model->params;
    float *weights = ps->weights, *gradients = ps->grads;
    Status st = checkpoint_read_manifest(dir, true, &found);
    heartbeat_report(tr->heartbeat, tr->global_step, "load the best model");
    if (!st) st = mirror_open(tr);
    if (st) return st;
    parameters_view(ps, mirror_is_apart(tr) ? mirror_weights(tr) : gradients, NULL);
    st = adapters_read_checkpoint(tr, dir);
    parameters_view(ps, weights, gradients);
    return st;
}

static Status take_aside(Trainer *tr)
{
    const Parameters *ps = &tr->model->params;
    if (mirror_is_apart(tr)) return mirror_give_weights(tr);
    for (size_t i = 0; i < ps->num_trained; i++) {
        const Parameter *p = ps->trained[i];
        memcpy(ps->weights + p->offset, ps->grads + p->offset, (size_t)p->count * sizeof(float));
    }
    return OK;
}

/* The best checkpoint's weights, where that was asked for. One that is damaged or was never written is left: the last
 * weights are worth more than none. *lost: say so with the exit status. */
static Status load_best(Trainer *tr, bool *loaded, bool *lost)
{
    const char *best = tr->state.best_model_checkpoint;
    if (!tr->args->load_best_model_at_end) return OK;
    if (!*best) {
        log_warning("the best model has no checkpoint to load it from; the model of the last step is taken");
        return OK;
    }
    heartbeat_report(tr->heartbeat, tr->global_step, "check the best model");
    Status st = group_agree(tr->machine.group, load_aside(tr, best), NULL); /* the message is the failing rank's */
    if (st == STATUS_COMM) return st;
    *loaded = st == OK, *lost = st != OK;
    if (*lost && tr->machine.group->rank == 0)
        log_error("the best model, %s, cannot be loaded: %s; the model of the last step is taken", best,
                  status_message());
    if (*loaded && (st = take_aside(tr)) != OK) return st;
    if (*loaded)
        log_info("loaded the best model, %s (%s %g)", best, tr->args->metric_for_best_model, tr->state.best_metric);
    return OK;
}

/* The evaluation of the finished model, unless the last one was of it. A stop leaves it to the next start, as long as
 * there is a checkpoint of the last step for that: with the best model's weights in place none can be made. */
static Status closing_evaluation(Trainer *tr, bool loaded_best)
{
    Status st = OK;
    bool left;
    if (!tr->eval_set || (tr->last_evaluation_step == tr->global_step && !tr->args->load_best_model_at_end)) return OK;
    logentry_reset(&tr->last_evaluation);
    tr->last_evaluation_step = -1;
    TRY(trainer_evaluate(tr, "eval", &tr->last_evaluation, &left));
    if (!left) {
        tr->last_evaluation_step = tr->global_step;
    } else if (loaded_best &&
               (checkpoint_saved_step(tr->store) != tr->global_step || tr->args->save_only_model)) {
        log_warning("the run is done but for the evaluation of its model, which is left out; `hone eval` makes it");
    } else {
        TRY(stop_if_asked(tr));
    }
done:
    return st;
}

/* A checkpoint that failed leaves its mark on the exit status, and the finished model is written all the same. */
static Status finish(Trainer *tr)
{
    Status st = OK;
    bool loaded = false, lost = false;
    heartbeat_report(tr->heartbeat, tr->global_step, "wait for the save");
    TRY(settle(tr));
    TRY(load_best(tr, &loaded, &lost));
    heartbeat_report(tr->heartbeat, tr->global_step, "write the model");
    TRY(trainer_save_final(tr));
    heartbeat_report(tr->heartbeat, tr->global_step, "end");
    double seconds = timing_now() - tr->started; /* of training */
    TRY(closing_evaluation(tr, loaded));
    TRY(report_end(tr, seconds));
    if (lost)
        st =
            status_raise(STATUS_IO, "the best model could not be loaded (see above); %s has the model of the last step",
                         tr->args->output_dir);
    else if (checkpoint_failed(tr->store))
        st = status_raise(STATUS_IO, "a checkpoint could not be saved (see above); the finished model is in %s",
                          tr->args->output_dir);
    else if (tr->log_failed)
        st = status_raise(STATUS_IO, "a log could not be written (see above); the finished model is in %s",
                          tr->args->output_dir);
    TRY(trainer_agree(tr, st));
done:
    return st;
}

Status trainer_agree(Trainer *tr, Status mine)
{
    int speaker = -1;
    Status st = group_agree(tr->machine.group, mine, &speaker);
    if (st && speaker >= 0 && tr->machine.group->size > 1) {
        tr->agreed = true;
        if (speaker == tr->machine.group->rank)
            log_error("%s", status_message()); /* now: who leaves first ends the others */
        status_raise(st, "%s", "");
    }
    return st;
}

Status trainer_shared(Trainer *tr, Status st)
{
    if (!st || st == STATUS_COMM || tr->machine.group->size == 1) return st;
    tr->agreed = true;
    return tr->machine.group->rank == 0 ? st : status_raise(st, "%s", "");
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
    *tr = (Trainer){.args = args, .arena = arena, .started = timing_now()};
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
    if (!args->do_train) /* a config of the example scripts, which only evaluate with it */
        return status_raise(STATUS_USAGE, "do_train: false: `hone train` trains; take it out, or use `hone eval` to "
                                          "evaluate only");
    trainer_init(&tr, args, arena);
    Status st = trainer_run(&tr);
    trainer_close(&tr);
    return st;
}
