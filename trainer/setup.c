/* Opening what a run needs, in two halves: what each rank does alone (then all agree), and what they do together. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "trainer/adapters.h"
#include "trainer/base/log.h"
#include "trainer/saving.h"

static Status open_model(Trainer *tr, bool training)
{
    Status st = OK;
    const TrainingArguments *a = tr->args;
    cJSON *config;
    TRY(adapters_open(tr, training));
    const char *dir = a->config_name ? a->config_name : tr->model_dir; /* as run_clm */
    if (dir) TRY(model_config_read(dir, &config));
    else if (a->model_type) TRY(model_config_make(a->model_type, a->config_overrides, &config));
    else
        RAISE(USAGE, "no model: set model_name_or_path to a model directory, or model_type and tokenizer_name to train "
                     "from scratch");
    TRY(model_new_adapted(config, dir ? arena_printf(tr->arena, "%s/config.json", dir) : a->model_type, tr->adapters,
                          &tr->model));
    tr->model->threads = stream_threads(tr->machine.host);

    tr->tokenizer_dir = a->tokenizer_name ? a->tokenizer_name : tr->model_dir ? tr->model_dir : dir;
    if (!tr->tokenizer_dir) RAISE(USAGE, "no tokenizer: set tokenizer_name to a directory with a tokenizer.json");
    TRY(tokenizer_load(tr->tokenizer_dir, &tr->tokenizer));
    if (tokenizer_id_limit(tr->tokenizer) > tr->model->vocab_size)
        RAISE(USAGE,
              "%s: the tokenizer has ids up to %d, the model %lld; embeddings are not resized: take the tokenizer that "
              "belongs to the model",
              tr->tokenizer_dir, (int)tokenizer_id_limit(tr->tokenizer) - 1, (long long)tr->model->vocab_size);
done:
    return st;
}

/* "337 thousand", "124.4 million", "1.56 billion". */
static const char *count_text(int64_t count, char text[32])
{
    if (count >= 1000000000) snprintf(text, 32, "%.2f billion", (double)count / 1e9);
    else if (count >= 1000000) snprintf(text, 32, "%.1f million", (double)count / 1e6);
    else if (count >= 10000) snprintf(text, 32, "%.0f thousand", (double)count / 1e3);
    else snprintf(text, 32, "%lld", (long long)count);
    return text;
}

static Status open_alone(Trainer *tr, bool training)
{
    Status st = OK;
    char count[32];
    const TrainingArguments *a = tr->args;
    TRY(open_model(tr, training));
    if (!tr->task) TRY(task_find(a, tr->model, &tr->task));
    TRY(precision_open(tr, training));
    Dtype dtype = tr->precision.training;
    log_info("task %s%s, model %s with %s parameters, %s%s%s, %d rank%s of %d thread%s", tr->task->name,
             a->task ? "" : " (from the model and the data; set `task` to change it)", tr->model->type->name,
             count_text(tr->model->params.elements, count), tr->machine.k->name, dtype == DTYPE_F32 ? "" : " in ",
             dtype == DTYPE_F32 ? "" : dtype_name(dtype), tr->machine.group->size,
             tr->machine.group->size == 1 ? "" : "s", tr->machine.binding.threads,
             tr->machine.binding.threads == 1 ? "" : "s");
    if (tr->adapters)
        log_info("LoRA: %s of them train (%.2f%%), in %d layers; the others are frozen",
                 count_text(tr->model->params.trained_elements, count),
                 100.0 * (double)tr->model->params.trained_elements / (double)tr->model->params.elements,
                 tr->adapters->layers[0]);
    tr->context = (TaskContext){.args = a, .model = tr->model, .tokenizer = tr->tokenizer,
                                .tokenizer_dir = tr->tokenizer_dir, .threads = tr->machine.binding.threads,
                                .run = tr->context.run};
    if (training) {
        TRY(tr->task->open(&tr->context, SPLIT_TRAIN, &tr->train_set));
        if (!tr->train_set) RAISE(USAGE, "no data to train on: set train_file");
    }
    if (!training || a->do_eval) {
        TRY(tr->task->open(&tr->context,
                           !training && a->test_file.count && !a->validation_file.count ? SPLIT_TEST : SPLIT_VALIDATION,
                           &tr->eval_set));
        if (!tr->eval_set)
            RAISE(USAGE, "no data to evaluate on: set validation_file (or train_file, of which a part is taken)");
        TRY(trainer_check_evaluation(tr));
    }
    stream_clear(tr->machine.stream);
done:
    return st;
}

Status trainer_load(Trainer *tr, const char *checkpoint)
{
    Status st = OK;
    Parameters *ps = &tr->model->params;
    float *weights = ps->weights, *grads = ps->grads;
    TRY(mirror_open(tr));
    parameters_view(ps, mirror_weights(tr), grads);
    st = adapters_read_weights(tr, checkpoint);
    parameters_view(ps, weights, grads);
    if (!st) st = mirror_give_weights(tr);
done:
    return st;
}

/* Memory of a device comes with its gaps zeroed, or is written whole. */
static void bind(Trainer *tr, float *weights, float *grads)
{
    if (stream_is_device(tr->machine.stream)) parameters_view(&tr->model->params, weights, grads);
    else parameters_bind(&tr->model->params, weights, grads);
}

/* `theirs` is rank 0's: a line a key, in the same order. */
static Status compare_configs(const char *mine, const char *theirs)
{
    while (*mine && *theirs) {
        size_t m = strcspn(mine, "\n"), t = strcspn(theirs, "\n"), name = strcspn(mine, "=");
        if (m != t || memcmp(mine, theirs, m))
            return status_raise(
                STATUS_USAGE, "`%.*s` is %.*s here and %.*s on rank 0; all ranks must be given the same config",
                (int)name, mine, (int)(m - name - 1), mine + name + 1, (int)(t - name - 1), theirs + name + 1);
        mine += m + (mine[m] == '\n'), theirs += t + (theirs[t] == '\n');
    }
    return OK;
}

static Status check_config(Trainer *tr)
{
    Status st = OK;
    ProcessGroup *group = tr->machine.group;
    Text text = {0};
    char *theirs = NULL;
    arguments_fingerprint(tr->args, &text);
    uint64_t size = text.failed ? 0 : text.size;
    TRY(group_broadcast(group, &size, sizeof size, 0));
    if (text.failed || !(theirs = calloc(1, size + 1))) st = status_raise(STATUS_MEMORY, "out of memory");
    TRY(trainer_agree(tr, st));
    if (group->rank == 0) memcpy(theirs, text.data, size);
    TRY(group_broadcast(group, theirs, size, 0));
    TRY(trainer_agree(tr, compare_configs(text.data, theirs)));
done:
    free(theirs);
    text_free(&text);
    return st;
}

/* No two runs have the same. */
static Status number_run(Trainer *tr)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    tr->context.run = ((uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec) ^ (uint64_t)getpid() << 40;
    return group_broadcast(tr->machine.group, &tr->context.run, sizeof tr->context.run, 0);
}

/* A file may be another one on another host. */
static Status check_data(Trainer *tr)
{
    uint64_t sets[2] = {tr->train_set ? dataset_fingerprint(tr->train_set) : 0,
                        tr->eval_set ? dataset_fingerprint(tr->eval_set) : 0};
    return trainer_agree(tr, group_check_equal(tr->machine.group, "the data", group_hash(sets, sizeof sets)));
}

Status trainer_open(Trainer *tr, bool training)
{
    Status st = OK;
    TRY(machine_open(tr->args, &tr->machine));
    TRY(check_config(tr));
    TRY(number_run(tr));
    TRY(trainer_agree(tr, open_alone(tr, training)));
    TRY(check_data(tr));
    TRY(tape_open(&tr->tape, tr->machine.k, tr->machine.stream, &tr->model->params));
    tr->tape.seed = (uint64_t)tr->args->seed;
    tr->tape.checkpointing = tr->args->activation_checkpointing > 0;
    tr->tape.checkpoint_every = (int)tr->args->checkpoint_every_n_layers;
    if (!training) {
        TRY(trainer_agree(tr, model_place(tr->model, tr->machine.k, tr->machine.stream, tr->model_dir,
                                          (uint64_t)tr->args->seed, &tr->weights)));
        TRY(trainer_agree(tr, precision_place_vectors(tr)));
        precision_refresh_all(tr);
    }
done:
    return st;
}

static int by_offset(const void *a, const void *b)
{
    int64_t x = (*(Parameter *const *)a)->offset, y = (*(Parameter *const *)b)->offset;
    return (x > y) - (x < y);
}

static Status open_optimizer(Trainer *tr)
{
    Status st = OK;
    const TrainingArguments *a = tr->args;
    Parameters *ps = &tr->model->params;
    int num_owned;
    const Range *owned = gradients_owned(tr->gradients, &num_owned);
    OptimizerRange *ranges;
    DecayRun *runs;
    Parameter **sorted;
    TRY_NEW(tr->arena, ranges, num_owned + 1);
    TRY_NEW(tr->arena, runs, ps->num_trained);
    TRY_NEW(tr->arena, sorted, ps->num_trained);
    for (int i = 0; i < num_owned; i++) ranges[i] = (OptimizerRange){owned[i].begin, owned[i].end};
    memcpy(sorted, ps->trained, ps->num_trained * sizeof *sorted);
    qsort(sorted, ps->num_trained, sizeof *sorted, by_offset);
    for (size_t i = 0; i < ps->num_trained; i++)
        runs[i] = (DecayRun){sorted[i]->offset, sorted[i]->offset + sorted[i]->count, sorted[i]->spec.decay};
    OptimizerConfig config = {.weight_decay = a->weight_decay, .beta1 = a->adam_beta1, .beta2 = a->adam_beta2,
                              .eps = a->adam_epsilon, .momentum = arguments_optim_arg(a, "momentum", 0),
                              .dampening = arguments_optim_arg(a, "dampening", 0),
                              .nesterov = arguments_optim_arg(a, "nesterov", 0) != 0};
    const OptimizerType *type = optimizer_type_find(a->optim);
    if (!type) RAISE(BUG, "optim %s has passed the config", a->optim);
    TRY(optimizer_new(type, &config, tr->machine.k, tr->machine.stream, ranges, num_owned, runs, (int)ps->num_trained,
                      &tr->optimizer));
done:
    return st;
}

static Status open_schedule(Trainer *tr)
{
    Status st = OK;
    const TrainingArguments *a = tr->args;
    ScheduleConfig config = {.type = a->lr_scheduler_type, .lr = a->learning_rate,
                             .warmup = warmup_resolve(a->warmup_steps, tr->max_steps), .total = tr->max_steps};
    for (const cJSON *item = a->lr_scheduler_kwargs ? a->lr_scheduler_kwargs->child : NULL; item; item = item->next)
        TRY(cJSON_IsString(item) ? schedule_text(&config, item->string, item->valuestring)
                                 : schedule_number(&config, item->string, item->valuedouble));
    TRY(schedule_init(&tr->schedule, &config));
done:
    return st;
}

static Status open_sampler(Trainer *tr)
{
    Status st = OK;
    const TrainingArguments *a = tr->args;
    SamplerConfig *c = &tr->sampler_config;
    *c = (SamplerConfig){.n = dataset_count(tr->train_set),
                         .batch = (int)a->per_device_train_batch_size,
                         .accumulation = (int)a->gradient_accumulation_steps,
                         .world = tr->machine.group->size,
                         .drop_last = a->dataloader_drop_last,
                         .even_batches = a->even_batches,
                         .seed = (uint64_t)a->data_seed,
                         .strategy =
                             a->train_sampling_strategy == SAMPLING_SEQUENTIAL ? SAMPLER_SEQUENTIAL : SAMPLER_RANDOM,
                         .granular = a->full_determinism};
    TRY(sampler_check(c));
    if (a->full_determinism) {
        if (a->loss_normalization == LOSS_HF)
            RAISE(USAGE, "full_determinism needs loss_normalization: tokens; with hf the loss depends on how an update "
                         "is split");
        TRY(sampler_check_granular(c));
        TRY_NEW(tr->arena, tr->sample_losses, sampler_most_in_update(c));
    }
    tr->max_steps = sampler_total_updates(c, a->num_train_epochs, a->max_steps, NULL);
done:
    return st;
}

static Status rank_agree(void *group, Status mine) { return group_agree(group, mine, NULL); }
static Status rank_broadcast(void *group, void *bytes, size_t size) { return group_broadcast(group, bytes, size, 0); }

static Status open_store(Trainer *tr)
{
    Status st = OK;
    const TrainingArguments *a = tr->args;
    tr->ranks = (RankGroup){.rank = tr->machine.group->rank, .size = tr->machine.group->size,
                            .context = tr->machine.group, .agree = rank_agree, .broadcast = rank_broadcast};
    CheckpointOptions options = {.output_dir = a->output_dir, .group = &tr->ranks,
                                 .save_total_limit = a->save_total_limit};
    TRY(trainer_shared(tr, checkpoint_store_open(&options, &tr->store)));
    if (!a->resume_from_checkpoint && !a->overwrite_output_dir) {
        if (checkpoint_dir_in_use(tr->store))
            st = status_raise(STATUS_USAGE,
                              "%s is not empty; set resume_from_checkpoint: true to go on with the run in it, "
                              "overwrite_output_dir: true to start afresh, or another output_dir", a->output_dir);
        TRY(trainer_agree(tr, st));
    }
done:
    return st;
}

static void parameter_ready(void *gradients, Parameter *p)
{
    gradients_ready(gradients, p->offset, p->offset + p->count);
}

Status trainer_open_training(Trainer *tr)
{
    Status st = OK;
    const TrainingArguments *a = tr->args;
    Parameters *ps = &tr->model->params;
    TRY(trainer_agree(tr, open_sampler(tr)));
    TRY(trainer_agree(tr, open_schedule(tr)));
    TRY(open_store(tr));
    if (a->save_only_model && a->save_strategy != STRATEGY_NO)
        log_warning("save_only_model: checkpoints hold the model alone, so this run cannot be resumed if it is killed; "
                    "only a stop on request (SIGUSR1, SIGTERM, max_time) saves what a resume needs");
    GradientsOptions options = {.zero_stage = (int)a->zero_stage, .full_determinism = a->full_determinism,
                                .k = tr->machine.k, .timeout_s = (double)a->ddp_timeout,
                                .bucket_bytes = a->ddp_bucket_cap_mb == ARG_UNSET ? 0 : a->ddp_bucket_cap_mb << 20};
    TRY(gradients_new(tr->machine.group, tr->machine.stream, ps->flat_count, &options, &tr->gradients));
    bind(tr, gradients_weights(tr->gradients), gradients_data(tr->gradients));
    tr->tape.ready = parameter_ready;
    tr->tape.ready_context = tr->gradients;
    TRY(open_optimizer(tr));
    TRY(trainer_agree(tr, adapters_place(tr)));
    TRY(trainer_agree(tr, precision_place_vectors(tr)));
    TRY(trainer_resume(tr)); /* or the model's own weights */
    precision_refresh_all(tr);
    if (tr->machine.group->size > 1)
        TRY(trainer_agree(tr, group_check_equal(tr->machine.group, "the parameters",
                                                XXH3_64bits(mirror_weights(tr),
                                                            (size_t)ps->flat_count * sizeof(float)) +
                                                    model_frozen_hash(tr->model))));
    TRY(sampler_new(&tr->sampler_config, &tr->sampler));
    LoaderConfig loader = {.dataset = tr->train_set, .sampler = tr->sampler, .rank = tr->machine.group->rank,
                           .first_update = tr->global_step, .last_update = tr->max_steps,
                           .collate = tr->task->collate, .context = &tr->context};
    TRY(trainer_agree(tr, footprint_open(tr, &loader.step_bytes)));
    TRY(loader_new(&loader, &tr->loader));
    HeartbeatOptions beats = {.stuck_s = (double)a->ddp_timeout};
    TRY(heartbeat_start(tr->machine.group, &beats, &tr->heartbeat));
    TRY(trainer_agree(tr, footprint_rehearse(tr)));
done:
    return st;
}

void trainer_close(Trainer *tr)
{
    report_close(tr);
    heartbeat_stop(tr->heartbeat);
    loader_free(tr->loader);
    sampler_free(tr->sampler);
    checkpoint_store_close(tr->store);
    optimizer_free(tr->optimizer);
    tape_close(&tr->tape);
    batch_room_free(&tr->room);
    step_results_free(tr);
    precision_close(tr);
    gradients_free(tr->gradients);
    stream_release(tr->machine.stream, tr->weights);
    mirror_free(tr);
    dataset_free(tr->train_set);
    dataset_free(tr->eval_set);
    tokenizer_free(tr->tokenizer);
    model_free(tr->model);
    machine_close(&tr->machine);
}
