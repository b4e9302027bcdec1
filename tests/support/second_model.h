/* An architecture that is nothing like the product's: RMSNorm, rotary positions, grouped heads, a gated MLP, a
 * parameter used twice (the head is the embedding, and all blocks share one norm), a branch that only batches with an
 * odd number of sequences take, a recomputed block inside a recomputed block. It shows that a model is a file of its
 * own: nothing else in the tree knows it. */
#ifndef HONE_TESTS_SUPPORT_SECOND_MODEL_H
#define HONE_TESTS_SUPPORT_SECOND_MODEL_H

#include "trainer/models/model.h"

extern const ModelType model_second;
/* hidden_size must be a multiple of 4 (heads of hidden_size / 4). */
Status second_model_new(int hidden_size, int num_layers, int vocab_size, float dropout, Model **out);

#endif
