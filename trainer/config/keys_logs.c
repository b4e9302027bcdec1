/* Keys that say when a run logs, evaluates and saves, and what it resumes from. */
#include "trainer/config/keys.h"

#define STRATEGIES "no,steps,epoch"
#define LEVELS "debug,info,warning,error,critical,passive"
#define TRACKIO "it needs the Trackio Python client; use report_to: tensorboard"

static const Key keys[] = {
    CHOICE("logging_strategy", logging_strategy, "steps", STRATEGIES, NULL, NULL, "When to log."),
    STEPS("logging_steps", logging_steps, "500", AT_LEAST(0), "Updates between logs; below 1: a share of all updates."),
    BOOL("logging_first_step", logging_first_step, false, "Log after the first update too."),
    BOOL("logging_nan_inf_filter", logging_nan_inf_filter, true, "Leave losses that are not finite out of the logged mean."),
    PATH("logging_dir", logging_dir, "Where TensorBoard events go; unset: output_dir/runs/…."),
    NAME("log_level", log_level, "passive", LEVELS, NULL, NULL, "How much is said."),
    ACCEPTED_NAME("log_level_replica", "warning", LEVELS, "How much other ranks say.", "other ranks talk only when they fail"),
    ACCEPTED("log_on_each_node", BOOL, "true", ANY, "Log once a node.", "only rank 0 talks"),
    TRI("disable_tqdm", disable_tqdm, "No progress bar."),
    LIST("report_to", report_to, "none", "tensorboard,none,all",
         "azure_ml,clearml,codecarbon,comet_ml,dagshub,dvclive,flyte,kubeflow,mlflow,neptune,swanlab,trackio,wandb",
         "it needs its own Python client; use tensorboard and import the event files", "Trackers."),
    TEXT("run_name", run_name, "A label of the run, for trackers."),
    ACCEPTED("project", TEXT, "huggingface", ANY, "Project for Trackio.", "no tracker reads it"),
    REFUSED("trackio_space_id", TEXT, NULL, "Trackio's Space.", TRACKIO),
    REFUSED("trackio_bucket_id", TEXT, NULL, "Trackio's bucket.", TRACKIO),
    REFUSED("trackio_static_space_id", TEXT, NULL, "Trackio's static Space.", TRACKIO),
    CHOICE("include_num_input_tokens_seen", include_num_input_tokens_seen, "no", "no,all,non_padding", NULL, NULL,
           "Count input tokens in the logs (true: all)."),

    CHOICE("eval_strategy", eval_strategy, "no", STRATEGIES, NULL, NULL, "When to evaluate."),
    STEPS("eval_steps", eval_steps, NULL, AT_LEAST(0), "Updates between evaluations; unset or 0: logging_steps."),
    REAL("eval_delay", eval_delay, 0, AT_LEAST(0), "No evaluation before this update, or epoch."),
    BOOL("eval_on_start", eval_on_start, false, "Evaluate before the first update."),
    BOOL("prediction_loss_only", prediction_loss_only, false, "Evaluation gives the loss only."),
    ACCEPTED("eval_do_concat_batches", BOOL, "true", ANY, "Join predictions of all batches.", "they are always one"),
    ACCEPTED("eval_use_gather_object", BOOL, "false", ANY, "Gather Python objects.", "there are none"),
    ACCEPTED("eval_accumulation_steps", INT, NULL, AT_LEAST(1), "Move predictions to the host every n batches.", "they always are"),
    ACCEPTED("include_for_metrics", LIST, "", ANY, "Inputs or losses for the metric function.", "metrics take what they need"),
    ACCEPTED("batch_eval_metrics", BOOL, "false", ANY, "Metrics batch by batch.", "they are computed so"),

    CHOICE("save_strategy", save_strategy, "steps", STRATEGIES ",best", NULL, NULL, "When to save."),
    STEPS("save_steps", save_steps, "500", ANY, "Updates between saves; below 1: a share; 0 or less: at the end only."),
    INT_UNSET("save_total_limit", save_total_limit, ANY, "Checkpoints kept; unset or 0: all."),
    BOOL("save_only_model", save_only_model, false, "Checkpoints hold no optimizer state: they cannot be resumed exactly."),
    BOOL("load_best_model_at_end", load_best_model_at_end, false, "End with the best checkpoint's weights."),
    TEXT("metric_for_best_model", metric_for_best_model, "What decides which is best; loss by default where one is needed."),
    TRI("greater_is_better", greater_is_better, "Its direction; by default, unless its name ends in loss, true."),
    INT("early_stopping_patience", early_stopping_patience, 0, AT_LEAST(0), "hone's own: evaluations without gain before stopping; 0: never."),
    REAL("early_stopping_threshold", early_stopping_threshold, 0.0, AT_LEAST(0), "hone's own: what counts as a gain."),
    TEXT("resume_from_checkpoint", resume_from_checkpoint, "A checkpoint, or true: the newest in output_dir, if there is one."),
    BOOL("ignore_data_skip", ignore_data_skip, false, "Resume at the start of the epoch."),
    LATER("save_on_each_node", BOOL, "false", "Each node writes its own copy.", "rank 0 writes one copy; leave it out"),
    LATER("enable_jit_checkpoint", BOOL, "false", "On SIGTERM save and stop.",
          "hone saves and stops on SIGTERM and SIGUSR1 always; leave it out"),
    LATER("restore_callback_states_from_checkpoint", BOOL, "false", "Restore the state of callbacks.",
          "early stopping's counter is always restored; leave it out"),
    ACCEPTED("skip_memory_metrics", BOOL, "true", ANY, "No memory reports in the metrics.", "memory is not a metric here"),
};
KEY_GROUP(logs, "Logs, evaluation, checkpoints");
