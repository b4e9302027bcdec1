/* Going on from a checkpoint: everything that decides the next bit comes back (product.md: What it promises). */
#include <string.h>

#include "trainer/base/log.h"
#include "trainer/saving.h"

static Status load_state(Trainer *tr, const char *dir)
{
    Status st = OK;
    char *path = path_join(tr->arena, dir, "trainer_state.json");
    TRY_MEMORY(path);
    TRY(state_read(&tr->state, path));
done:
    return st;
}

static Status load_checkpoint(Trainer *tr, const Checkpoint *from)
{
    Status st = OK;
    OptimizerPiece piece;
    MetadataPair *pairs = NULL;
    size_t count = 0;
    if (!from->has_optimizer)
        RAISE(USAGE, "%s was saved with save_only_model: there is no optimizer state to go on from; begin anew from it "
              "with model_name_or_path and another output_dir, and leave save_only_model out to be able to resume",
              from->path);
    if (from->step > tr->max_steps)
        RAISE(USAGE, "%s is at step %lld, beyond the %lld steps of this run; raise max_steps or num_train_epochs",
              from->path, (long long)from->step, (long long)tr->max_steps);
    TRY(trainer_load(tr, from->path));
    TRY(optimizer_piece(tr, tr->arena, &piece));
    TRY(checkpoint_load_optimizer(from->path, &piece, tr->arena, &pairs, &count));
    TRY(mirror_give_states(tr));
    TRY(load_state(tr, from->path));
    notes_apply(tr, pairs, count, from->step);
    tr->global_step = tr->first_step = from->step;
    state_cut(&tr->state, from->step);
done:
    return st;
}

/* The best checkpoint lies beside the one resumed from, also where their directory has another name by now. */
static void find_best_again(Trainer *tr, const Checkpoint *from)
{
    TrainerState *s = &tr->state;
    const char *slash = strrchr(from->path, '/'), *name = strrchr(s->best_model_checkpoint, '/');
    int parent = slash ? (int)(slash + 1 - from->path) : 0;
    char path[2 * STATE_PATH_BYTES];
    if (!name) return;
    snprintf(path, sizeof path, "%.*s%s", parent, from->path, name + 1);
    if (strlen(path) < STATE_PATH_BYTES && path_is_dir(path)) strcpy(s->best_model_checkpoint, path);
}

/* A run that had stopped early is over, unless it is given more patience now. */
static void stay_stopped(Trainer *tr)
{
    int64_t patience = tr->args->early_stopping_patience;
    tr->stop_early = tr->state.should_training_stop = patience > 0 && tr->state.early_stopping_counter >= patience;
}

Status trainer_resume(Trainer *tr)
{
    Status st = OK;
    Checkpoint from;
    bool found = false;
    const char *spec = tr->args->resume_from_checkpoint;
    if (spec) TRY(trainer_shared(tr, checkpoint_find(tr->store, spec, &from, &found)));
    if (!found) {
        if (spec) log_info("no checkpoint in %s yet: the run begins", tr->args->output_dir);
        TRY(trainer_agree(tr, trainer_load(tr, NULL)));
        return OK;
    }
    TRY(trainer_agree(tr, load_checkpoint(tr, &from)));
    TRY(trainer_shared(tr, checkpoint_resume(tr->store, &from, best_saved_step(tr))));
    find_best_again(tr, &from);
    stay_stopped(tr);
    if (tr->args->ignore_data_skip)
        tr->sampler_config.skip = tr->global_step % sampler_updates_per_epoch(&tr->sampler_config);
    log_info("resumed from %s at step %lld of %lld%s", from.path, (long long)tr->global_step, (long long)tr->max_steps,
             tr->args->overwrite_output_dir && strcmp(spec, "true") == 0
                 ? ": resume_from_checkpoint wins over overwrite_output_dir; leave it out to start afresh" : "");
done:
    return st;
}
