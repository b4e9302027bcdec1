/* Keys of the example scripts that name the model and the data (run_clm and what all scripts share). */
#include "trainer/config/keys.h"

#define NO_HUB "this version does not reach the Hub; give train_file and validation_file"

static const Key keys[] = {
    PATH("model_name_or_path", model_name_or_path, "Directory of the model to start from."),
    PATH("config_name", config_name,
         "Directory of another config.json: the model's, in place of its own, or of one from scratch."),
    PATH("tokenizer_name", tokenizer_name, "Directory of another tokenizer."),
    TEXT("model_type", model_type, "Architecture of a model from scratch, with its default config."),
    TEXT("config_overrides", config_overrides, "k=v,k=v: changes to the config of a model from scratch."),
    NAME("dtype", dtype, "auto", "auto,float32,bfloat16,float16", NULL, NULL,
         "Type of the weights: those that train are float32 (auto); frozen ones keep the file's, or get this one."),
    TEXT("task", task, "hone's own: what to train; unset: inferred from the model and the data."),
    PATHS("train_file", train_file, "Training data: .txt, .json, .jsonl or .csv; one path, or a list."),
    PATHS("validation_file", validation_file, "Validation data."),
    PATHS("test_file", test_file, "Test data."),
    INT_UNSET("max_train_samples", max_train_samples, AT_LEAST(1), "Use only the first n examples."),
    INT_UNSET("max_eval_samples", max_eval_samples, AT_LEAST(1), "The same, for validation."),
    INT_UNSET("max_predict_samples", max_predict_samples, AT_LEAST(1), "The same, for the test set."),
    INT("validation_split_percentage", validation_split_percentage, 5, WITHIN(1, 99),
        "Share of the training data held out where there is no validation_file; for sft only if it is evaluated."),
    INT_UNSET("block_size", block_size, AT_LEAST(1),
              "Length of the training sequences; unset: what the model takes, at most 1024."),
    BOOL("keep_linebreaks", keep_linebreaks, true, "Keep line ends of .txt files."),
    BOOL("overwrite_cache", overwrite_cache, false, "Preprocess again."),
    PATH("cache_dir", cache_dir, "Where preprocessed data are kept."),
    QUIET_INT("preprocessing_num_workers", preprocessing_num_workers, NULL, WITHIN(1, 4096),
              "Threads of preprocessing; unset: all cores."),
    LATER("dataset_name", TEXT, NULL, "A data set of the Hub.", NO_HUB),
    LATER("dataset_config_name", TEXT, NULL, "Its configuration.", NO_HUB),
    LATER("streaming", BOOL, "false", "Stream the data set.",
          "data are mapped from a cache on disk and take no memory; leave it out"),
    LATER("ignore_mismatched_sizes", BOOL, "false", "Draw heads anew whose shape differs.", "leave it out"),
    ONLY("use_fast_tokenizer", "true", "Use tokenizer.json.", "hone reads tokenizer.json only; remove it"),
    ACCEPTED("low_cpu_mem_usage", BOOL, "false", ANY, "Load without a second copy.", "there never is one"),
};
KEY_GROUP(data, "Model and data");
