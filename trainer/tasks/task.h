/* Tasks: columns → features, collation, loss. One file and one registry line each. */
#ifndef HONE_TASKS_TASK_H
#define HONE_TASKS_TASK_H

#include "trainer/config/arguments.h"
#include "trainer/data/loader.h"
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
    const char *name;       /* the `task` key, pipeline()'s name */
    const char *model_card; /* in words: "text generation" */
    /* *out NULL: the config names no data for the split. */
    Status (*open)(const TaskContext *c, Split split, Dataset **out);
    CollateFn *collate; /* its context is a TaskContext; counts targets and hf_targets */
    /* Losses a row (op_linear_cross_entropy and its like). */
    Tensor *(*loss)(Tape *t, const Model *m, const Batch *batch, const LossSpec *spec);
    bool perplexity; /* exp(eval_loss) is reported */
    /* One line a sample for --dry_run. */
    Status (*show)(const TaskContext *c, const Dataset *d, int64_t index, Text *out);
} Task;

/* The task that the config names, or that fits the model. An unknown name lists what there is. */
Status task_find(const TrainingArguments *args, const Model *model, const Task **out);
/* The length of a block: block_size, or what the tokenizer and model take, at most 1024; as the example script
 * run_clm. */
Status clm_block_size(const TaskContext *c, int64_t *out);

#endif
