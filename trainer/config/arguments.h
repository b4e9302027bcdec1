/* A run's settings: one field for each key that hone honours, named like the key. What a key means, its default and its
 * range stand in the key tables (keys_*.c; `hone args` prints them). All pointers live in the arena given to
 * arguments_load.
 *
 * Unset: NULL for texts and mappings, NAN for reals, ARG_UNSET for integers, -1 for a tri-state. */
#ifndef HONE_CONFIG_ARGUMENTS_H
#define HONE_CONFIG_ARGUMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "trainer/base/arena.h"
#include "trainer/base/json.h"
#include "trainer/base/status.h"

#define ARG_UNSET INT64_MIN

typedef enum Strategy { STRATEGY_NO, STRATEGY_STEPS, STRATEGY_EPOCH, STRATEGY_BEST /* saving only */ } Strategy;
typedef enum LossNormalization { LOSS_TOKENS, LOSS_HF } LossNormalization;
typedef enum DeviceChoice { DEVICE_CHOICE_AUTO, DEVICE_CHOICE_CPU, DEVICE_CHOICE_CUDA } DeviceChoice;
typedef enum OnNan { ON_NAN_STOP, ON_NAN_SKIP } OnNan;
typedef enum WeightRounding { WEIGHTS_NEAREST, WEIGHTS_STOCHASTIC } WeightRounding;
typedef enum Sampling { SAMPLING_RANDOM, SAMPLING_SEQUENTIAL } Sampling;
typedef enum CountTokens { COUNT_TOKENS_NO, COUNT_TOKENS_ALL, COUNT_TOKENS_NON_PADDING } CountTokens;

typedef struct TextList {
    const char **items;
    int count;
} TextList;

typedef struct TrainingArguments {
    const char *config_path; /* NULL: command line only */

    /* model */
    const char *model_name_or_path, *config_name, *tokenizer_name, *model_type;
    const char *config_overrides; /* "k=v,k=v" */
    const char *dtype;            /* "auto", "float32"; beside adapters also "bfloat16", "float16" */
    const char *cache_dir;        /* where preprocessed data go */
    const char *task;             /* NULL: inferred */

    /* adapters; TRL's ModelConfig */
    bool use_peft; /* adapter_name_or_path sets it too */
    int64_t lora_r, lora_alpha;
    double lora_dropout;
    TextList lora_target_modules; /* names, one pattern, or "all-linear"; nothing: the model type's usual ones */
    TextList lora_modules_to_save;
    const char *lora_task_type;
    bool use_rslora;
    const char *adapter_name_or_path;
    const cJSON *peft_config; /* further members of LoraConfig */

    /* data */
    TextList train_file, validation_file, test_file; /* paths */
    int64_t max_train_samples, max_eval_samples, max_predict_samples; /* may be unset */
    bool overwrite_cache;
    int64_t preprocessing_num_workers; /* may be unset */
    int64_t block_size;                /* may be unset */
    int64_t validation_split_percentage;
    bool keep_linebreaks;
    bool dataloader_drop_last;
    Sampling train_sampling_strategy;
    bool even_batches; /* accelerator_config.even_batches */
    const cJSON *accelerator_config;

    /* supervised fine-tuning */
    const char *chat_template_path, *eos_token; /* may be NULL */
    const char *dataset_text_field;
    int64_t max_length;           /* may be unset: nothing is cut off */
    const char *truncation_mode;  /* "keep_start", "keep_end" */
    const char *packing_strategy; /* "bfd", "bfd_split", "wrapped" */
    bool shuffle_dataset, packing, padding_free, assistant_only_loss;
    int8_t eval_packing, completion_only_loss; /* tri-state */

    /* what is optimised, for how long */
    const char *output_dir; /* never NULL after arguments_load */
    bool overwrite_output_dir;
    bool do_train; /* false only when that was given: hone train refuses it */
    bool do_eval;
    int64_t per_device_train_batch_size, per_device_eval_batch_size;
    int64_t gradient_accumulation_steps;
    double num_train_epochs;
    int64_t max_steps; /* -1: num_train_epochs counts */
    double max_time;   /* seconds; 0: no limit */
    const char *optim; /* "adamw_torch", "adamw_torch_fused", "sgd" */
    const char *optim_args; /* "k=v,k=v", checked; see arguments_optim_arg */
    double learning_rate, weight_decay, adam_beta1, adam_beta2, adam_epsilon;
    double max_grad_norm; /* <= 0: no clipping */
    double label_smoothing_factor;
    const char *lr_scheduler_type;
    const cJSON *lr_scheduler_kwargs; /* an object, checked against lr_scheduler_type */
    double warmup_steps;              /* steps, or a ratio below 1: warmup_resolve */
    LossNormalization loss_normalization;
    bool average_tokens_across_devices;
    OnNan on_nan;
    bool bf16, fp16, bf16_full_eval, fp16_full_eval; /* of each two at most one */
    int8_t tf32;                                     /* tri-state */
    WeightRounding weight_rounding;
    int8_t activation_checkpointing; /* tri-state; gradient_checkpointing is its old name */
    const cJSON *activation_checkpointing_kwargs;
    int64_t checkpoint_every_n_layers; /* of activation_checkpointing_kwargs; 1 unless given */

    /* logs */
    Strategy logging_strategy;
    double logging_steps; /* steps_resolve */
    bool logging_first_step, logging_nan_inf_filter;
    const char *logging_dir, *log_level;
    int8_t disable_tqdm; /* tri-state */
    TextList report_to;  /* "tensorboard" or nothing */
    CountTokens include_num_input_tokens_seen;

    /* evaluation */
    Strategy eval_strategy;
    double eval_steps; /* steps_resolve; never NAN with STRATEGY_STEPS */
    double eval_delay;
    bool eval_on_start, prediction_loss_only;

    /* saving */
    Strategy save_strategy;
    double save_steps;        /* steps_resolve; <= 0: only at the end */
    int64_t save_total_limit; /* 0: all are kept */
    bool save_only_model, load_best_model_at_end;
    const char *metric_for_best_model; /* may be NULL */
    int8_t greater_is_better;          /* -1 only when there is no metric */
    int64_t early_stopping_patience;   /* 0: off */
    double early_stopping_threshold;
    const char *resume_from_checkpoint; /* a path; "true": the newest in output_dir; NULL: no */
    bool ignore_data_skip;

    /* machine */
    DeviceChoice device; /* use_cpu is folded in */
    bool use_cpu;
    int64_t num_threads; /* 0: this rank's share of the cores */
    int64_t zero_stage;
    int64_t ddp_bucket_cap_mb; /* may be unset */
    int64_t ddp_timeout;       /* seconds */
    const char *ddp_backend;   /* NULL, "mpi", "gloo" */
    int64_t seed, data_seed;   /* data_seed is seed when it was not given */
    bool full_determinism;
    bool dry_run;
} TrainingArguments;

/* argv: what stands after the command: at most one CONFIG.yaml or .json, and options. Every problem of the file and the
 * command line is collected: STATUS_USAGE with one line for each. Notices (old names) are logged. */
Status arguments_load(int argc, char **argv, Arena *arena, TrainingArguments *out);
/* All keys at their defaults, derived values computed. */
Status arguments_default(Arena *arena, TrainingArguments *out);

/* A *_steps value when max_steps is known: a ratio below 1 is ceil(value * max_steps), at least 1; <= 0 or NAN: 0. */
int64_t steps_resolve(double value, int64_t max_steps);
/* warmup_steps: 0 <= x < 1 is ceil(x * max_steps), else its integer part. */
int64_t warmup_resolve(double value, int64_t max_steps);
/* key=value of "k=v,k=v" as a number ("true" is 1, "false" 0); the fallback when it is not there. */
double arguments_optim_arg(const TrainingArguments *a, const char *key, double fallback);

/* The content of training_args.json: an object of all keys that have a field; as a config it gives the same run again.
 * NULL: no memory. Free with cJSON_Delete. */
cJSON *arguments_to_json(const TrainingArguments *a);
/* A text that is equal on all ranks of a sound run: the keys that decide the result. */
void arguments_fingerprint(const TrainingArguments *a, Text *text);

#endif
