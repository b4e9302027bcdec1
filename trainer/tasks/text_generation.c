/* Causal language modelling on blocks of text, as the example script run_clm prepares them. Row t predicts id t + 1 of
 * its sequence. */
#include <string.h>

#include "trainer/base/log.h"
#include "trainer/data/preprocess_clm.h"
#include "trainer/tasks/causal.h"

enum { LONGEST_DEFAULT = 1024 };

Status clm_block_size(const TaskContext *c, int64_t *out)
{
    Status st = OK;
    int64_t tokenizer_max = tokenizer_config(c->tokenizer)->model_max_length, block = c->args->block_size;
    if (block == ARG_UNSET) {
        block = tokenizer_max;
        if (block > c->model->max_positions)
            block = c->model->max_positions < LONGEST_DEFAULT ? c->model->max_positions : LONGEST_DEFAULT;
    } else if (block > tokenizer_max) {
        log_warning("block_size %lld is more than the tokenizer's model_max_length; using %lld", (long long)block,
                    (long long)tokenizer_max);
        block = tokenizer_max;
    }
    if (block > c->model->max_positions && c->model->type->positions_end)
        RAISE(USAGE, "block_size %lld is more than the %lld positions of the model; set block_size: %lld or less",
              (long long)block, (long long)c->model->max_positions, (long long)c->model->max_positions);
    if (block > c->model->max_positions)
        log_warning("block_size %lld is more than the %lld positions that the model was made for", (long long)block,
                    (long long)c->model->max_positions);
    if (block < 2) RAISE(USAGE, "block_size %lld leaves nothing to predict; set it to 2 or more", (long long)block);
    *out = block;
done:
    return st;
}

static Status open_split(const TaskContext *c, Split split, Dataset **out)
{
    Status st = OK;
    const TrainingArguments *a = c->args;
    static const char *const names[] = {"train", "validation", "test"};
    TextList files = task_files(a, split);
    bool cut =
        split != SPLIT_TEST && !a->validation_file.count; /* the first percent of the train rows are for validation */
    if (split == SPLIT_VALIDATION && cut) files = a->train_file;
    *out = NULL;
    if (!files.count) return OK;

    ClmSource source = {.name = names[split], .paths = files.items, .num_paths = files.count,
                        .keep_linebreaks = a->keep_linebreaks,
                        .part = !cut ? SPLIT_ALL : split == SPLIT_TRAIN ? SPLIT_TAIL : SPLIT_HEAD,
                        .percent = (int)a->validation_split_percentage, .tokenizer = c->tokenizer,
                        .tokenizer_dir = c->tokenizer_dir,
                        .workers = a->preprocessing_num_workers == ARG_UNSET ? 0 : (int)a->preprocessing_num_workers,
                        .cache_dir = a->cache_dir, .overwrite_cache = a->overwrite_cache, .run = c->run,
                        .threads = c->threads};
    TRY(clm_block_size(c, &source.block_size));
    TRY(dataset_open_clm(&source, out));
    int64_t limit = split == SPLIT_TRAIN        ? a->max_train_samples
                    : split == SPLIT_VALIDATION ? a->max_eval_samples
                                                : a->max_predict_samples;
    if (limit != ARG_UNSET) dataset_select(*out, limit);
done:
    return st;
}

static Status collate(void *context, const Dataset *d, const int64_t *index, const int32_t *ordinal, int count,
                      Arena *arena, Batch *out)
{
    Status st = OK;
    const TaskContext *c = context;
    int column = dataset_column(d, "input_ids");
    CausalArrays at;
    int64_t rows = 0;
    for (int b = 0; b < count; b++) rows += dataset_length(d, column, index[b]);
    TRY(causal_batch(arena, rows, count, out, &at));
    for (int b = 0; b < count; b++) {
        Span span = dataset_get(d, column, index[b]);
        const int32_t length = (int32_t)span.length;
        TRY(causal_sequence(c->model, span.data, span.data, length, ordinal[b], out, &at));
        out->hf_targets += c->model->type->counts_all_labels ? length : length > 0 ? length - 1 : 0;
    }
    out->padded_width = out->max_seqlen;
done:
    return st;
}

static Status show(const TaskContext *c, const Dataset *d, int64_t index, bool colours, Text *out)
{
    (void)colours; /* every token is learned */
    Span span = dataset_get(d, dataset_column(d, "input_ids"), index);
    return tokenizer_decode(c->tokenizer, span.data, span.length, false, out);
}

const Task task_text_generation = {
    .name = "text-generation",
    .model_card = "text generation",
    .open = open_split,
    .collate = collate,
    .loss = causal_loss,
    .perplexity = true,
    .show = show,
};
