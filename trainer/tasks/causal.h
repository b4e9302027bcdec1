/* What tasks that predict the next token share. */
#ifndef HONE_TASKS_CAUSAL_H
#define HONE_TASKS_CAUSAL_H

#include "trainer/tasks/task.h"

/* The config's files of a split. */
TextList task_files(const TrainingArguments *args, Split split);

/* Where a batch is being filled. */
typedef struct CausalArrays {
    int32_t *ids, *positions, *labels, *cu_seqlens, *sample;
} CausalArrays;

/* A batch with room for `rows` tokens in `seqs` sequences, without one yet. */
Status causal_batch(Arena *arena, int64_t rows, int seqs, Batch *out, CausalArrays *at);
/* Adds one: row t predicts labels[t + 1] of its sequence, -100 is no target. labels may be ids. sample: its number in
 * the update. Counts targets. */
Status causal_sequence(const Model *m, const int32_t *ids, const int32_t *labels, int32_t length, int32_t sample,
                       Batch *batch, const CausalArrays *at);

/* Cross entropy of the model's logits, capped where the model caps them. */
Tensor *causal_loss(Tape *t, const Model *m, const Batch *batch, const LossSpec *spec);

#endif
