/* Causal language modelling on blocks of text, as the example script run_clm prepares them. Row t predicts id t + 1 of
 * its sequence. */
#include <string.h>

#include "trainer/base/log.h"
#include "trainer/data/preprocess_clm.h"
#include "trainer/tasks/task.h"

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

static TextList files_of(const TrainingArguments *a, Split split)
{
    return split == SPLIT_TRAIN ? a->train_file : split == SPLIT_VALIDATION ? a->validation_file : a->test_file;
}

static Status open_split(const TaskContext *c, Split split, Dataset **out)
{
    Status st = OK;
    const TrainingArguments *a = c->args;
    static const char *const names[] = {"train", "validation", "test"};
    TextList files = files_of(a, split);
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
    int32_t *ids, *positions, *labels, *cu_seqlens, *sample;
    int64_t rows = 0;
    for (int b = 0; b < count; b++) rows += dataset_length(d, column, index[b]);
    if (rows > INT32_MAX)
        RAISE(USAGE, "%d sequences of %lld tokens in all are too many for one micro-batch; make "
                     "per_device_train_batch_size (or per_device_eval_batch_size) smaller", count, (long long)rows);
    TRY_NEW(arena, ids, rows);
    TRY_NEW(arena, positions, rows);
    TRY_NEW(arena, labels, rows);
    TRY_NEW(arena, cu_seqlens, count + 1);
    TRY_NEW(arena, sample, count + 1);
    *out = (Batch){.num_seqs = count,
                   .rows = rows,
                   .ids = ids,
                   .position_ids = positions,
                   .labels = labels,
                   .cu_seqlens = cu_seqlens,
                   .sample = sample};
    for (int b = 0; b < count; b++) {
        Span span = dataset_get(d, column, index[b]);
        int32_t begin = cu_seqlens[b], length = (int32_t)span.length;
        for (int32_t t = 0; t < length; t++) {
            if (span.data[t] < 0 || span.data[t] >= c->model->vocab_size)
                RAISE(FORMAT,
                      "token id %d is outside the model's vocabulary of %lld: do tokenizer and model belong together?",
                      span.data[t], (long long)c->model->vocab_size);
            ids[begin + t] = span.data[t];
            positions[begin + t] = t;
            labels[begin + t] = t + 1 < length ? span.data[t + 1] : -100;
        }
        cu_seqlens[b + 1] = begin + length;
        sample[b] = ordinal[b];
        if (length > out->max_seqlen) out->max_seqlen = length;
        out->targets += length > 0 ? length - 1 : 0;
        out->hf_targets += c->model->type->counts_all_labels ? length : length > 0 ? length - 1 : 0;
    }
    out->padded_width = out->max_seqlen;
done:
    return st;
}

static Tensor *loss(Tape *t, const Model *m, const Batch *batch, const LossSpec *spec)
{
    LossSpec of_model = *spec;
    of_model.softcap = m->logit_softcap;
    return op_linear_cross_entropy(t, model_forward(t, m, batch), &m->head->value, batch->labels, &of_model);
}

static Status show(const TaskContext *c, const Dataset *d, int64_t index, Text *out)
{
    Span span = dataset_get(d, dataset_column(d, "input_ids"), index);
    return tokenizer_decode(c->tokenizer, span.data, span.length, false, out);
}

const Task task_text_generation = {
    .name = "text-generation",
    .model_card = "text generation",
    .open = open_split,
    .collate = collate,
    .loss = loss,
    .perplexity = true,
    .show = show,
};
