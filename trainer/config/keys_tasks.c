/* Keys of the other example scripts and of generation in evaluation: tasks that this version does not train. Where
 * scripts differ in a default (max_seq_length, pad_to_max_length), unset stands for the script's own. */
#include "trainer/config/keys.h"

#define ONE_TASK "only text-generation and sft are trained in this version; leave it out"

static const Key keys[] = {
    LATER("predict_with_generate", BOOL, "false", "Generate in evaluation.", ONE_TASK),
    LATER("generation_max_length", INT, NULL, "Its max_length.", ONE_TASK),
    LATER("generation_num_beams", INT, NULL, "Its beams.", ONE_TASK),
    LATER("generation_config", TEXT, NULL, "Its generation config.", ONE_TASK),
    ACCEPTED("sortish_sampler", BOOL, "false", ANY, "Roughly sorted batches.", "batches are never padded"),
    LATER("task_name", TEXT, NULL, "GLUE task.", ONE_TASK),
    LATER("max_seq_length", INT, NULL, "Longest sequence.", "use block_size, or for sft max_length"),
    LATER("pad_to_max_length", TRI, NULL, "Pad to the longest length.", "nothing is ever padded; leave it out"),
    LATER("text_column_names", TEXT, NULL, "Columns joined as input.", ONE_TASK),
    LATER("text_column_delimiter", TEXT, " ", "What joins them.", ONE_TASK),
    LATER("label_column_name", TEXT, NULL, "Column of labels.", ONE_TASK),
    LATER("metric_name", TEXT, NULL, "Metric.", ONE_TASK),
    LATER("do_regression", TRI, NULL, "Regression.", ONE_TASK),
    LATER("shuffle_train_dataset", BOOL, "false", "Shuffle before taking a subset.", ONE_TASK),
    LATER("shuffle_seed", INT, "42", "Its seed.", ONE_TASK),
    LATER("remove_splits", TEXT, NULL, "Splits to drop.", ONE_TASK),
    LATER("train_split_name", TEXT, NULL, "Name of the training split.", ONE_TASK),
    LATER("doc_stride", INT, "128", "Overlap of the parts of a long context.", ONE_TASK),
    LATER("n_best_size", INT, "20", "Candidates kept.", ONE_TASK),
    LATER("max_answer_length", INT, "30", "Longest answer.", ONE_TASK),
    LATER("version_2_with_negative", BOOL, "false", "SQuAD 2.", ONE_TASK),
    LATER("null_score_diff_threshold", REAL, "0.0", "When there is no answer.", ONE_TASK),
    LATER("source_lang", TEXT, NULL, "Source language.", ONE_TASK),
    LATER("target_lang", TEXT, NULL, "Target language.", ONE_TASK),
    LATER("text_column", TEXT, NULL, "Column of documents.", ONE_TASK),
    LATER("summary_column", TEXT, NULL, "Column of summaries.", ONE_TASK),
    LATER("lang", TEXT, NULL, "Language of a multilingual model.", ONE_TASK),
    LATER("max_source_length", INT, "1024", "Longest input.", ONE_TASK),
    LATER("max_target_length", INT, "128", "Longest target.", ONE_TASK),
    LATER("val_max_target_length", INT, NULL, "Longest target in evaluation.", ONE_TASK),
    LATER("num_beams", INT, NULL, "Beams in evaluation.", ONE_TASK),
    LATER("ignore_pad_token_for_loss", BOOL, "true", "Padding is no target.", "nothing is ever padded; leave it out"),
    LATER("source_prefix", TEXT, NULL, "Text before every input.", ONE_TASK),
    LATER("forced_bos_token", TEXT, NULL, "First generated token.", ONE_TASK),
    LATER("resize_position_embeddings", TRI, NULL, "Grow the position table.", ONE_TASK),
    LATER("train_dir", PATH, NULL, "Folder of training images.", ONE_TASK),
    LATER("validation_dir", PATH, NULL, "Folder of validation images.", ONE_TASK),
    LATER("train_val_split", REAL, "0.15", "Share held out.", ONE_TASK),
    LATER("image_column_name", TEXT, "image", "Column of images.", ONE_TASK),
    LATER("image_processor_name", TEXT, NULL, "Other image preprocessing.", ONE_TASK),
};
KEY_GROUP(tasks, "Other tasks");
