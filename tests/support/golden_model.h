/* A tiny random model against transformers: logits, loss and every gradient (tests/fixtures/README.md), with
 * recomputation too. */
#ifndef HONE_TESTS_SUPPORT_GOLDEN_MODEL_H
#define HONE_TESTS_SUPPORT_GOLDEN_MODEL_H

#include "tests/support/test_model.h"

/* dir has the model, golden_dir what it must give; both in tests/fixtures/models. config: a file of dir instead of
 * config.json; NULL. */
void check_model(const char *dir, const char *golden_dir, const char *config, unsigned isa, double tolerance);

/* The mean loss of a batch on the tape, which has begun; with its gradients where the tape wants them. */
double golden_loss(TestModel *m, const Batch *b, float smoothing);
/* A model of tests/fixtures/models with an adapter of tests/fixtures/adapters: the gradients are those of what trains.
 */
void check_adapted(const char *dir, const char *adapter, unsigned isa, double tolerance);

#endif
