/* A tiny random model against transformers: logits, loss and every gradient (tests/fixtures/README.md), with
 * recomputation too. */
#ifndef HONE_TESTS_SUPPORT_GOLDEN_MODEL_H
#define HONE_TESTS_SUPPORT_GOLDEN_MODEL_H

#include "tests/support/test_model.h"

/* dir has the model, golden_dir what it must give; both in tests/fixtures/models. config: a file of dir instead of
 * config.json; NULL. */
void check_model(const char *dir, const char *golden_dir, const char *config, unsigned isa, double tolerance);

#endif
