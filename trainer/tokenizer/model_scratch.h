/* What a model keeps in a Work between texts: its buffers and its cache of words. A Work may be used with one tokenizer
 * after another; each model has a serial number, so that none takes another's scratch for its own. */
#ifndef HONE_TOKENIZER_MODEL_SCRATCH_H
#define HONE_TOKENIZER_MODEL_SCRATCH_H

#include "trainer/tokenizer/word_cache.h"
#include "trainer/tokenizer/work.h"

uint64_t model_serial(void); /* a new one, from 1 */

typedef struct ModelScratch {
    WordCache cache;
    Buffer buffers[5]; /* as the model likes; freed with it */
} ModelScratch;

/* The scratch of the model with this serial; another model's is freed. */
Status model_scratch(Work *w, uint64_t serial, ModelScratch **out);

#endif
