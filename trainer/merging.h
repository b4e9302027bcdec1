/* `hone merge`: adapters into the weights of their model. */
#ifndef HONE_TRAINER_MERGING_H
#define HONE_TRAINER_MERGING_H

#include <stdbool.h>
#include <stdint.h>

#include "trainer/base/status.h"

typedef struct MergeRequest {
    const char *model;               /* a model's directory, or an adapter's that names its model */
    const char *const *adapters;     /* further adapters, all at once */
    int num_adapters;
    const char *output;              /* directory to be made; empty or new unless overwrite */
    const char *dtype;               /* "auto": each tensor as the model's file has it; float32, bfloat16, float16 */
    bool overwrite;
    int64_t num_threads;
} MergeRequest;

typedef struct MergeResult {
    double difference, largest; /* of the logits before and after; the largest logit before */
    int layers;                 /* that were merged */
    int64_t parameters;
} MergeResult;

/* Writes a model's directory and reads it back: the logits of a made-up text, before and after, are compared. */
Status merge_run(const MergeRequest *request, MergeResult *out);

#endif
