/* What a run says: the bar, log entries, TensorBoard, the picture, results and the model card (trainer_semantics 7).
 * Rank 0 alone writes; the numbers are everybody's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/base/log.h"
#include "trainer/callbacks/card.h"
#include "trainer/callbacks/curves_svg.h"
#include "trainer/callbacks/results.h"
#include "trainer/callbacks/timing.h"
#include "trainer/trainer.h"

enum { PICTURE_S = 5 }; /* between drawings of the picture */

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

static bool speaks(const Trainer *tr) { return tr->machine.group->rank == 0; }

static WhenStrategy strategy(Strategy s)
{
    return s == STRATEGY_STEPS   ? WHEN_STEPS
           : s == STRATEGY_EPOCH ? WHEN_EPOCH
           : s == STRATEGY_BEST  ? WHEN_BEST
                                 : WHEN_NO;
}

static void configure(Trainer *tr)
{
    const TrainingArguments *a = tr->args;
    TrainerState *s = &tr->state;
    tr->when = (WhenConfig){.logging = strategy(a->logging_strategy), .eval = strategy(a->eval_strategy),
                            .save = strategy(a->save_strategy),
                            .logging_steps = steps_resolve(a->logging_steps, tr->max_steps),
                            .eval_steps = steps_resolve(a->eval_steps, tr->max_steps),
                            .save_steps = steps_resolve(a->save_steps, tr->max_steps),
                            .logging_first_step = a->logging_first_step, .eval_delay = a->eval_delay,
                            .max_steps = tr->max_steps};
    tr->best = (BestRule){.metric = a->metric_for_best_model, .greater_is_better = a->greater_is_better > 0,
                          .patience = a->early_stopping_patience, .threshold = a->early_stopping_threshold};
    sampler_total_updates(&tr->sampler_config, a->num_train_epochs, a->max_steps, &s->num_train_epochs);
    s->global_step = tr->global_step;
    s->max_steps = tr->max_steps;
    s->logging_steps = tr->when.logging_steps;
    s->eval_steps = tr->when.eval_steps;
    s->save_steps = tr->when.save_steps;
    s->train_batch_size = a->per_device_train_batch_size;
    s->early_stopping_patience = a->early_stopping_patience;
    s->early_stopping_threshold = a->early_stopping_threshold;
}

static Status open_files(Trainer *tr)
{
    Status st = OK;
    const TrainingArguments *a = tr->args;
    const char *dir;
    bool resumed = tr->global_step > 0;
    TRY_MEMORY(tr->picture = arena_printf(tr->arena, "%s/training_curves.svg", a->output_dir));
    TRY(logging_dir_make(a->output_dir, a->logging_dir, resumed, tr->arena, &dir));
    TRY(jsonl_open(dir, resumed ? tr->global_step : -1, &tr->jsonl));
    if (!a->report_to.count) goto done;
    TRY(tensorboard_open(dir, resumed ? tr->global_step : -1, &tr->tensorboard));
    Text text = {0};
    cJSON *args = arguments_to_json(a), *config = model_config_out(tr->model);
    if (args) json_add(&text, args, 2, true);
    st = tensorboard_text(tr->tensorboard, "args", text.data ? text.data : "");
    text.size = 0;
    if (config) json_add(&text, config, 2, true);
    if (!st) st = tensorboard_text(tr->tensorboard, "model_config", text.data ? text.data : "");
    cJSON_Delete(args);
    cJSON_Delete(config);
    text_free(&text);
done:
    return st;
}

Status report_open(Trainer *tr)
{
    Status st = OK;
    const TrainingArguments *a = tr->args;
    configure(tr);
    tr->first_step = tr->global_step;
    tr->last_evaluation_step = -1;
    if (speaks(tr)) {
        TRY(open_files(tr));
        ProgressOptions options = {.total = tr->max_steps, .start = tr->global_step, .no_bar = a->disable_tqdm > 0};
        TRY(progress_open(&options, &tr->progress));
        int micro_steps = tr->sampler_config.accumulation;
        log_info("%lld examples, %d a rank and micro-step, %d micro-step%s an update, %lld updates%s",
                 (long long)tr->sampler_config.n, tr->sampler_config.batch, micro_steps, micro_steps == 1 ? "" : "s",
                 (long long)tr->max_steps, tr->tape.checkpointing ? ", gradient checkpointing" : "");
    }
    tr->started = timing_now();
done:
    return st;
}

/* A log that cannot be written (a full disk) is said once and leaves its mark on the exit status; the run trains on. */
static void note_failure(Trainer *tr, Status st)
{
    if (!st) return;
    if (!tr->log_failed) log_error("%s; training goes on", status_message());
    tr->log_failed = true;
}

/* Everywhere an entry goes. */
static Status write_entry(Trainer *tr, LogEntry *entry)
{
    Status st = OK;
    logentry_add_int(entry, "step", tr->global_step);
    TRY(state_log(&tr->state, entry));
    if (!speaks(tr)) return OK;
    progress_log(tr->progress, entry);
    note_failure(tr, jsonl_log(tr->jsonl, entry));
    note_failure(tr, tensorboard_log(tr->tensorboard, tr->global_step, entry));
    if (timing_now() - tr->picture_s > PICTURE_S) {
        note_failure(tr, curves_write(&tr->state, base_name(tr->args->output_dir), tr->picture));
        tr->picture_s = timing_now();
    }
done:
    return st;
}

/* The filter of the reference: a step loss that is not finite counts as the mean since the last log. */
static void add_loss(Trainer *tr, double loss)
{
    if (tr->args->logging_nan_inf_filter && !isfinite(loss))
        loss = tr->loss_since_log / (double)(1 + tr->steps_since_log);
    tr->loss_since_log += loss;
    tr->loss_total += loss;
    tr->steps_since_log++;
    tr->steps_done++;
}

static Status log_training(Trainer *tr)
{
    LogEntry entry = {0};
    logentry_add_real(&entry, "loss", tr->loss_since_log / (double)tr->steps_since_log);
    logentry_add_real(&entry, "grad_norm", tr->last_norm);
    logentry_add_real(&entry, "learning_rate", tr->last_rate);
    logentry_add_real(&entry, "epoch", tr->state.epoch);
    if (tr->args->include_num_input_tokens_seen != COUNT_TOKENS_NO) {
        double seconds = timing_now() - tr->started;
        logentry_add_int(&entry, "num_input_tokens_seen", tr->state.num_input_tokens_seen);
        logentry_add_real(&entry, "train_runtime", timing_round(seconds, 4));
        logentry_add_real(&entry, "train_tokens_per_second", timing_round((double)tr->tokens_done / seconds, 3));
    }
    if (tr->machine.group->size > 1) {
        double hidden, exposed;
        gradients_times(tr->gradients, &hidden, &exposed);
        tr->hidden_s += hidden, tr->exposed_s += exposed;
        logentry_add_real(&entry, "communication_hidden", timing_round(hidden, 6));
        logentry_add_real(&entry, "communication_exposed", timing_round(exposed, 6));
    }
    tr->loss_since_log = 0;
    tr->steps_since_log = 0;
    return write_entry(tr, &entry);
}

Status report_step(Trainer *tr, const Step *step, double loss)
{
    Status st = OK;
    TrainerState *s = &tr->state;
    int64_t tokens[2] = {step->padded_tokens, step->rows};
    TRY(group_sum_i64(tr->machine.group, tokens, 2));
    bool padding = tr->args->include_num_input_tokens_seen != COUNT_TOKENS_NON_PADDING;
    s->global_step = tr->global_step;
    s->epoch = sampler_epoch_after(&tr->sampler_config, tr->global_step);
    s->total_flos += 6.0 * (double)tokens[0] * (double)model_flos_parameters(tr->model);
    s->num_input_tokens_seen += tr->args->include_num_input_tokens_seen == COUNT_TOKENS_NO ? 0
                                : padding                                                  ? tokens[0]
                                                                                           : tokens[1];
    tr->tokens_done += tokens[1];
    add_loss(tr, loss);
    if (tr->global_step == tr->first_step + 1)
        log_info("first step done %.2f s after the start", timing_now() - timing_process_start());
    step_times_add(&tr->step_times, timing_now());
    progress_step(tr->progress, tr->global_step, loss, tr->last_rate, tr->tokens_done);
    Moment now = {.step = tr->global_step,
                  .epoch = s->epoch,
                  .epoch_end =
                      sampler_ends_epoch(&tr->sampler_config, tr->global_step) || tr->global_step == tr->max_steps};
    if (should_log(&tr->when, &now)) TRY(log_training(tr));
done:
    return st;
}

Status report_evaluation(Trainer *tr, LogEntry *entry)
{
    Status st = OK;
    BestOutcome outcome = {0};
    tr->last_evaluation = *entry;
    tr->last_evaluation_step = tr->global_step;
    logentry_add_real(entry, "epoch", isnan(tr->state.epoch) ? 0 : tr->state.epoch);
    TRY(write_entry(tr, entry));
    if (tr->best.metric) TRY(best_update(&tr->best, &tr->state, entry, &outcome));
    tr->improved = outcome.improved;
    if (outcome.stop) {
        tr->stop_early = tr->state.should_training_stop = true;
        log_info("early stopping: %s has not improved for %lld evaluations", tr->best.metric,
                 (long long)tr->best.patience);
    }
done:
    return st;
}

static Status save_evaluation(Trainer *tr)
{
    Status st = OK;
    LogEntry metrics = tr->last_evaluation;
    if (!speaks(tr)) return OK;
    if (tr->task->perplexity) logentry_add_real(&metrics, "perplexity", exp(logentry_get(&metrics, "eval_loss", NAN)));
    logentry_add_real(&metrics, "epoch", tr->state.epoch);
    logentry_add_int(&metrics, "eval_samples", dataset_count(tr->eval_set));
    progress_log(tr->progress, &metrics);
    TRY(results_save(tr->args->output_dir, "eval", &metrics));
done:
    return st;
}

static Status write_card(Trainer *tr)
{
    const TrainingArguments *a = tr->args;
    CardFacts facts = {.model_name = base_name(a->output_dir), .base_model = tr->model_dir,
                       .adapter = tr->adapters != NULL, .model_type = tr->model->type->name,
                       .dataset = a->train_file.count ? base_name(a->train_file.items[0]) : NULL,
                       .pipeline_tag = tr->task->pipeline_tag ? tr->task->pipeline_tag : tr->task->name,
                       .learning_rate = a->learning_rate,
                       .train_batch_size = a->per_device_train_batch_size,
                       .eval_batch_size = a->per_device_eval_batch_size, .seed = a->seed,
                       .ranks = tr->machine.group->size,
                       .gradient_accumulation_steps = a->gradient_accumulation_steps, .optim = a->optim,
                       .has_betas = strncmp(a->optim, "adam", 4) == 0, .adam_beta1 = a->adam_beta1,
                       .adam_beta2 = a->adam_beta2, .adam_epsilon = a->adam_epsilon, .optim_args = a->optim_args,
                       .lr_scheduler_type = a->lr_scheduler_type,
                       .warmup_steps = warmup_resolve(a->warmup_steps, tr->max_steps), .max_steps = a->max_steps,
                       .num_train_epochs = a->num_train_epochs, .label_smoothing_factor = a->label_smoothing_factor,
                       .hone_version = HONE_VERSION, .device = tr->machine.k->name};
    char *path = arena_printf(tr->arena, "%s/README.md", a->output_dir);
    return path ? card_write(&facts, &tr->state, path) : STATUS_MEMORY;
}

Status report_end(Trainer *tr, double train_seconds)
{
    Status st = OK;
    LogEntry entry = {0};
    double seconds = train_seconds, steps = (double)(tr->global_step - tr->first_step);
    double updates = (double)tr->max_steps, share = updates > 0 ? steps / updates : 0;
    double samples = tr->args->max_steps > 0 ? updates * (double)tr->sampler_config.batch *
                                                   tr->sampler_config.accumulation * tr->sampler_config.world
                                             : (double)tr->sampler_config.n * tr->args->num_train_epochs;
    logentry_add_real(&entry, "train_runtime", timing_round(seconds, 4));
    logentry_add_real(&entry, "train_samples_per_second", timing_round(samples * share / seconds, 3));
    logentry_add_real(&entry, "train_steps_per_second", timing_round(steps / seconds, 3));
    logentry_add_real(&entry, "total_flos", tr->state.total_flos);
    logentry_add_real(&entry, "train_loss", tr->steps_done ? tr->loss_total / (double)tr->steps_done : 0);
    logentry_add_real(&entry, "epoch", tr->state.epoch);
    TRY(write_entry(tr, &entry));
    if (tr->machine.group->size > 1)
        log_info("communication: %.2f s hidden behind backward, %.2f s exposed", tr->hidden_s, tr->exposed_s);
    if (tr->precision.overflows)
        log_info("%lld updates were left out because float16 overflowed; the loss scale is %g",
                 (long long)tr->precision.overflows, (double)tr->precision.loss_scale.scale);
    if (tr->skipped_steps) log_warning("%lld updates were skipped for NaN or infinity", (long long)tr->skipped_steps);
    if (speaks(tr)) {
        logentry_add_int(&entry, "train_samples", tr->sampler_config.n);
        TRY(results_save(tr->args->output_dir, "train", &entry));
    }
    if (tr->eval_set && tr->last_evaluation_step == tr->global_step) TRY(save_evaluation(tr));
    if (!speaks(tr)) return OK;
    progress_close(tr->progress);
    tr->progress = NULL;
    TRY(write_card(tr));
    TRY(curves_write(&tr->state, base_name(tr->args->output_dir), tr->picture));
    char *path = arena_printf(tr->arena, "%s/trainer_state.json", tr->args->output_dir);
    TRY_MEMORY(path);
    Text text = {0};
    st = state_to_text(&tr->state, &text);
    if (!st) st = file_replace(path, text.data, text.size);
    text_free(&text);
    TRY(st);
    double step_ms = 1e3 * step_times_median(&tr->step_times);
    char step[64] = "", device[64] = "";
    if (step_ms > 0) snprintf(step, sizeof step, ", %.1f ms a step", step_ms);
    if (stream_is_device(tr->machine.stream))
        snprintf(device, sizeof device, ", %.0f MB on the device",
                 (double)stream_memory(tr->machine.stream).reserved / 1e6);
    log_info("done: %lld steps in %.1f s%s, peak memory %.0f MB%s; the model is in %s", (long long)tr->global_step,
             seconds, step, (double)memory_peak_bytes() / 1e6, device, tr->args->output_dir);
done:
    return st;
}

void report_close(Trainer *tr)
{
    progress_close(tr->progress);
    jsonl_close(tr->jsonl);
    tensorboard_close(tr->tensorboard);
    state_free(&tr->state);
}

Status trainer_dry_run(Trainer *tr)
{
    Status st = OK;
    Text text = {0};
    enum { SAMPLES = 3 };
    if (!speaks(tr)) return OK;
    const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");
    const bool colours = isatty(STDOUT_FILENO) && !(no_color && *no_color) && !(term && strcmp(term, "dumb") == 0);
    if (tr->task->about) TRY(tr->task->about(&tr->context, tr->train_set, &text));
    printf("%lld examples%s%s\n", (long long)dataset_count(tr->train_set), text.size ? ": " : "",
           text.size ? text.data : "");
    for (int64_t i = 0; i < SAMPLES && i < dataset_count(tr->train_set); i++) {
        text.size = 0;
        TRY(tr->task->show(&tr->context, tr->train_set, i, colours, &text));
        printf("--- example %lld: %lld tokens\n%s\n", (long long)i,
               (long long)dataset_length(tr->train_set, dataset_column(tr->train_set, "input_ids"), i),
               text.data ? text.data : "");
    }
done:
    text_free(&text);
    return st;
}
