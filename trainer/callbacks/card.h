/* README.md of a trained model: the model card that the Trainer writes (transformers 5.23, modelcard.py
 * TrainingSummary). */
#ifndef HONE_CALLBACKS_CARD_H
#define HONE_CALLBACKS_CARD_H

#include <stdbool.h>
#include <stdint.h>

#include "trainer/base/json.h"
#include "trainer/base/status.h"
#include "trainer/callbacks/state.h"

typedef struct CardFacts {
    const char *model_name;  /* "my-model": the last part of output_dir */
    const char *base_model;  /* model_name_or_path; NULL: trained from scratch */
    bool adapter;            /* what was trained is an adapter beside it */
    const char *license;     /* NULL: not known */
    const char *language;    /* NULL: not known */
    const char *dataset;     /* a name for people; NULL: unknown */
    const char *model_type;  /* config.json's model_type, for the tags; may be NULL */
    const char *pipeline_tag; /* "text-generation"; may be NULL */

    double learning_rate;
    int64_t train_batch_size, eval_batch_size; /* per device */
    int64_t seed;
    int64_t ranks, gradient_accumulation_steps;
    const char *optim;      /* "adamw_torch_fused" */
    bool has_betas;         /* adam: the next three count */
    double adam_beta1, adam_beta2, adam_epsilon;
    const char *optim_args; /* NULL: none */
    const char *lr_scheduler_type;
    int64_t warmup_steps;
    int64_t max_steps;      /* as configured: -1 where epochs count */
    double num_train_epochs;
    double label_smoothing_factor;
    bool mixed_precision;   /* fp16: the reference says nothing of bf16 */
    const char *hone_version, *tokenizers_version; /* the second may be NULL */
    const char *device;     /* "cpu/avx2"; NULL: a CPU */
} CardFacts;

Status card_text(const CardFacts *facts, const TrainerState *state, Text *out);
Status card_write(const CardFacts *facts, const TrainerState *state, const char *path);

#endif
