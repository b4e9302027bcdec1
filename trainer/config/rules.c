/* Rules between keys, numbered as in the reference's list of arguments (R2 … R10), and the values that follow from
 * others. */
#include <math.h>
#include <string.h>

#include "trainer/base/log.h"
#include "trainer/config/settings.h"

/* R2: a count above 1 is whole. */
static void check_count(Settings *s, const char *key, double value)
{
    if (value > 1 && value != trunc(value))
        settings_problem(s, key, "must be a whole number of steps, or a ratio below 1, and is %g", value);
}

static void intervals(Settings *s)
{
    TrainingArguments *a = s->out;
    if (a->logging_strategy == STRATEGY_STEPS) {
        if (a->logging_steps == 0) settings_problem(s, "logging_steps", "must be above 0 with logging_strategy: steps");
        check_count(s, "logging_steps", a->logging_steps);
    }
    if (a->eval_strategy == STRATEGY_STEPS) { /* R3 */
        if (isnan(a->eval_steps) || a->eval_steps == 0) a->eval_steps = a->logging_steps;
        if (!(a->eval_steps > 0))
            settings_problem(
                s, "eval_steps",
                "must be above 0 with eval_strategy: steps; so must logging_steps, which it takes when unset");
        check_count(s, "eval_steps", a->eval_steps);
    }
    if (a->save_strategy == STRATEGY_STEPS) check_count(s, "save_steps", a->save_steps);
    if (a->eval_strategy != STRATEGY_NO) a->do_eval = true; /* R9 */
    if (a->max_steps <= 0) a->max_steps = -1;
}

/* R4: the best checkpoint can be loaded only if each evaluation that counts has a checkpoint. */
static void best_at_end(Settings *s)
{
    static const char *const names[] = {"no", "steps", "epoch", "best"};
    const char *key = "load_best_model_at_end";
    TrainingArguments *a = s->out;
    if (!a->load_best_model_at_end) return;
    if (a->eval_strategy == STRATEGY_NO) {
        settings_problem(s, key, "needs an eval_strategy other than no");
        return;
    }
    if (a->save_strategy == STRATEGY_BEST) return;
    if (a->eval_strategy != a->save_strategy) {
        settings_problem(s, key, "needs save_strategy (%s) equal to eval_strategy (%s), or save_strategy: best",
                         names[a->save_strategy], names[a->eval_strategy]);
        return;
    }
    if (a->eval_strategy != STRATEGY_STEPS || !(a->eval_steps > 0)) return;
    double save = a->save_steps, eval = a->eval_steps;
    if (save <= 0) {
        settings_problem(s, key, "needs save_steps above 0");
        return;
    }
    if ((save < 1) != (eval < 1)) {
        settings_problem(s, key, "needs save_steps and eval_steps both as steps or both as ratios");
        return;
    }
    double scale = save < 1 ? 1e6 : 1;
    if (fmod(save * scale, eval * scale) != 0)
        settings_problem(s, key, "needs save_steps to be a multiple of eval_steps, and %g is none of %g", save, eval);
}

static void best_metric(Settings *s)
{
    TrainingArguments *a = s->out;
    if (!a->metric_for_best_model && a->load_best_model_at_end) a->metric_for_best_model = "loss"; /* R5 */
    const char *metric = a->metric_for_best_model;
    if (metric && a->greater_is_better < 0) {
        size_t n = strlen(metric);
        a->greater_is_better = !(n >= 4 && strcmp(metric + n - 4, "loss") == 0);
    }
    if (a->save_strategy == STRATEGY_BEST && !metric)
        settings_problem(s, "save_strategy", "best needs metric_for_best_model"); /* R10 */
    if (a->save_strategy == STRATEGY_BEST && a->eval_strategy == STRATEGY_NO)
        settings_problem(s, "save_strategy", "best needs an eval_strategy other than no");
    if (a->early_stopping_patience > 0 && !metric)
        settings_problem(s, "early_stopping_patience", "needs metric_for_best_model");
    if (a->early_stopping_patience > 0 && a->eval_strategy == STRATEGY_NO)
        settings_problem(s, "early_stopping_patience", "needs an eval_strategy other than no");
    if (a->early_stopping_threshold > 0 && a->early_stopping_patience == 0)
        settings_problem(s, "early_stopping_threshold", "has no effect without early_stopping_patience");
}

static void machine(Settings *s)
{
    TrainingArguments *a = s->out;
    if (a->use_cpu && a->device == DEVICE_CHOICE_CUDA)
        settings_problem(s, "use_cpu", "contradicts device: cuda; remove one");
    if (a->use_cpu) a->device = DEVICE_CHOICE_CPU;
    if (a->ddp_backend && strcmp(a->ddp_backend, "gloo") == 0) {
        log_info("ddp_backend: gloo is not there; ranks talk through MPI");
        a->ddp_backend = "mpi";
    }
    if (a->full_determinism && a->loss_normalization == LOSS_HF)
        settings_problem(s, "full_determinism",
                         "needs loss_normalization: tokens; with hf the loss depends on how an update is split");
}

static void exclude(Settings *s, const char *key, const char *other, bool both)
{
    if (both) settings_problem(s, key, "and %s exclude each other; remove one", other);
}

/* R1. */
static void precision(Settings *s)
{
    const TrainingArguments *a = s->out;
    exclude(s, "bf16", "fp16", a->bf16 && a->fp16);
    exclude(s, "bf16_full_eval", "fp16_full_eval", a->bf16_full_eval && a->fp16_full_eval);
    if (a->tf32 > 0 && a->device != DEVICE_CHOICE_CUDA)
        settings_problem(s, "tf32", "needs a GPU: the CPU has no TF32; write device: cuda, or remove it");
    if (a->weight_rounding == WEIGHTS_STOCHASTIC && !a->bf16 && !a->fp16)
        settings_problem(s, "weight_rounding", "has no effect without bf16 or fp16: float32 weights are not rounded; "
                                               "remove it");
}

/* Keys that would be read and have no effect are refused; at their default they say nothing. */
static void adapters(Settings *s)
{
    TrainingArguments *a = s->out;
    const struct { const char *key; bool set; } keys[] = {
        {"lora_r", a->lora_r != 16}, {"lora_alpha", a->lora_alpha != 32}, {"lora_dropout", a->lora_dropout != 0.05},
        {"lora_target_modules", a->lora_target_modules.count > 0}, {"use_rslora", a->use_rslora},
        {"lora_modules_to_save", a->lora_modules_to_save.count > 0}, {"peft_config", a->peft_config != NULL}};
    bool from_one = a->adapter_name_or_path != NULL;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].set && (from_one || !a->use_peft))
            settings_problem(s, keys[i].key, "%s", from_one ? "is the adapter's own, which adapter_name_or_path names; "
                                                              "remove one of the two"
                                                            : "has no effect without use_peft: true");
    if (from_one) a->use_peft = true;
    if (a->use_peft && !a->model_name_or_path && !from_one)
        settings_problem(s, "use_peft", "needs a trained model that the adapter goes beside: set model_name_or_path");
    if (a->dtype && !a->use_peft && (strcmp(a->dtype, "bfloat16") == 0 || strcmp(a->dtype, "float16") == 0))
        settings_problem(s, "dtype", "%s is for weights that are frozen (use_peft: true); those that train are kept in "
                                     "float32; write bf16 or fp16: true to compute in fewer bits", a->dtype);
}

static void data(Settings *s)
{
    TrainingArguments *a = s->out;
    if (a->config_overrides && (a->model_name_or_path || a->config_name)) /* as run_clm */
        settings_problem(s, "config_overrides",
                         "changes the config of a model from scratch, and cannot be combined with model_name_or_path "
                         "or config_name");
    if (!settings_given(s, "do_train")) a->do_train = true;
    if (a->data_seed == ARG_UNSET) a->data_seed = a->seed;
    if (a->save_total_limit == ARG_UNSET || a->save_total_limit < 0) a->save_total_limit = 0;
    if (a->resume_from_checkpoint) {
        int word = strlen(a->resume_from_checkpoint) > 1 ? read_bool(a->resume_from_checkpoint) : -1;
        if (word == 1) a->resume_from_checkpoint = "true";
        if (word == 0 || !*a->resume_from_checkpoint) a->resume_from_checkpoint = NULL;
    }
    if (!a->output_dir || !*a->output_dir) a->output_dir = "trainer_output";
}

/* none: nothing; all: what there is. */
static void trackers(Settings *s)
{
    static const char *tensorboard[] = {"tensorboard"};
    TextList *list = &s->out->report_to;
    bool wanted = false;
    for (int i = 0; i < list->count; i++) {
        if (strcmp(list->items[i], "none") != 0) wanted = true;
        else if (list->count > 1) settings_problem(s, "report_to", "none cannot stand beside a tracker");
    }
    *list = wanted ? (TextList){tensorboard, 1} : (TextList){0};
}

static Status loader(Settings *s)
{
    Status st = OK;
    double workers = 0;
    bool prefetch = false;
    for (size_t n = 0; n < s->count; n++) { /* file first, so that the command line decides */
        const Entry *e = &s->entries[(s->line_count + n) % s->count];
        const Key *key = key_find(e->key);
        if (!key || e->value->kind != RAW_SCALAR) continue;
        if (strcmp(key->name, "dataloader_num_workers") == 0 && !read_real(e->value->text, &workers)) workers = 0;
        if (strcmp(key->name, "dataloader_prefetch_factor") == 0) prefetch = true;
    }
    if (prefetch && workers == 0)
        settings_problem(s, "dataloader_prefetch_factor", "needs dataloader_num_workers above 0"); /* R8 */
    return st;
}

Status settings_finish(Settings *s)
{
    intervals(s);
    best_at_end(s);
    best_metric(s);
    machine(s);
    precision(s);
    adapters(s);
    data(s);
    trackers(s);
    return loader(s);
}
