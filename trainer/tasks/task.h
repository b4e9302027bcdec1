/* Tasks: columns → features, collation, loss. One file and one registry line each. */
#ifndef HONE_TASKS_TASK_H
#define HONE_TASKS_TASK_H

#include "trainer/config/arguments.h"
#include "trainer/data/largest.h"
#include "trainer/data/loader.h"
#include "trainer/data/readers.h"
#include "trainer/models/model.h"
#include "trainer/tokenizer/tokenizer.h"

typedef enum Split { SPLIT_TRAIN, SPLIT_VALIDATION, SPLIT_TEST } Split;

typedef struct TaskContext {
    const TrainingArguments *args;
    const Model *model;
    const Tokenizer *tokenizer;
    const char *tokenizer_dir; /* what its cache key is made of */
    int threads;               /* for preprocessing */
    uint64_t run; /* a number of this run, the same on all ranks: overwrite_cache makes it anew once a run */
} TaskContext;

typedef struct Task {
    const char *name;         /* the `task` key, pipeline()'s name */
    const char *pipeline_tag; /* NULL: its name is one */
    const char *model_card; /* in words: "text generation" */
    /* *out NULL: the config names no data for the split. */
    Status (*open)(const TaskContext *c, Split split, Dataset **out);
    CollateFn *collate; /* its context is a TaskContext; counts targets and hf_targets */
    /* Rows that collate makes of an example; NULL: the length of input_ids. Memory is sized by it: too few only cost
     * an allocation later. */
    ExampleRows *rows;
    /* Losses a row (op_linear_cross_entropy and its like). */
    Tensor *(*loss)(Tape *t, const Model *m, const Batch *batch, const LossSpec *spec);
    bool perplexity; /* exp(eval_loss) is reported */
    /* loss_normalization hf divides an evaluation's batch by its targets, whatever the model counts in training. */
    bool evaluates_means;
    /* For --dry_run: an example as the model sees it; coloured for a terminal, or with marks. And a line about the
     * set; NULL: nothing. */
    Status (*show)(const TaskContext *c, const Dataset *d, int64_t index, bool colours, Text *out);
    Status (*about)(const TaskContext *c, const Dataset *d, Text *out);
    /* Whether the task is what rows with these columns are for. NULL: never by the columns. */
    bool (*takes)(const TrainingArguments *args, const Row *row);
    /* The small files of the model that the run changes: another content for one that there is, or a new one (*data
     * NULL before the call). Called with each name of `files`; all in arena. NULL: none. */
    const char *const *files;
    Status (*file)(const TaskContext *c, const char *name, Arena *arena, const char **data, size_t *size);
} Task;

/* The task that the config names, or that fits the model and the data's columns. An unknown name lists what there
 * is. */
Status task_find(const TrainingArguments *args, const Model *model, const Task **out);
/* A key that only another task reads, and that is not at its default, is an error: nothing is read and ignored. */
Status task_check_keys(const TrainingArguments *args, const Task *task);
/* The length of a block: block_size, or what the tokenizer and model take, at most 1024; as the example script
 * run_clm. */
Status clm_block_size(const TaskContext *c, int64_t *out);

#endif
