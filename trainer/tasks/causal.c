/* See causal.h. */
#include "trainer/tasks/causal.h"

TextList task_files(const TrainingArguments *a, Split split)
{
    return split == SPLIT_TRAIN ? a->train_file : split == SPLIT_VALIDATION ? a->validation_file : a->test_file;
}

Status causal_batch(Arena *arena, int64_t rows, int seqs, Batch *out, CausalArrays *at)
{
    Status st = OK;
    if (rows > INT32_MAX)
        RAISE(USAGE, "%d sequences of %lld tokens in all are too many for one micro-batch; make "
                     "per_device_train_batch_size (or per_device_eval_batch_size) smaller", seqs, (long long)rows);
    TRY_NEW(arena, at->ids, rows);
    TRY_NEW(arena, at->positions, rows);
    TRY_NEW(arena, at->labels, rows);
    TRY_NEW(arena, at->cu_seqlens, seqs + 1);
    TRY_NEW(arena, at->sample, seqs + 1);
    *out = (Batch){.ids = at->ids,
                   .position_ids = at->positions,
                   .labels = at->labels,
                   .cu_seqlens = at->cu_seqlens,
                   .sample = at->sample};
done:
    return st;
}

Status causal_sequence(const Model *m, const int32_t *ids, const int32_t *labels, int32_t length, int32_t sample,
                       Batch *batch, const CausalArrays *at)
{
    Status st = OK;
    const int32_t begin = at->cu_seqlens[batch->num_seqs];
    for (int32_t t = 0; t < length; t++) {
        const int32_t label = t + 1 < length ? labels[t + 1] : -100;
        if (ids[t] < 0 || ids[t] >= m->vocab_size || label >= m->vocab_size || (label < 0 && label != -100))
            RAISE(FORMAT,
                  "token id %d is outside the model's vocabulary of %lld: do tokenizer and model belong together?",
                  ids[t] < 0 || ids[t] >= m->vocab_size ? ids[t] : label, (long long)m->vocab_size);
        at->ids[begin + t] = ids[t];
        at->positions[begin + t] = t;
        at->labels[begin + t] = label;
        batch->targets += label != -100;
    }
    at->sample[batch->num_seqs++] = sample;
    at->cu_seqlens[batch->num_seqs] = begin + length;
    batch->rows += length;
    if (length > batch->max_seqlen) batch->max_seqlen = length;
done:
    return st;
}

Tensor *causal_loss(Tape *t, const Model *m, const Batch *batch, const LossSpec *spec)
{
    LossSpec of_model = *spec;
    of_model.softcap = m->logit_softcap;
    return op_linear_cross_entropy(t, model_forward(t, m, batch), &m->head->value, batch->labels, &of_model);
}
