/* Which evaluation was the best, and when to stop early: the Trainer's rules as pure functions (trainer_semantics
 * 9). */
#ifndef HONE_CALLBACKS_BEST_H
#define HONE_CALLBACKS_BEST_H

#include <stdbool.h>
#include <stdint.h>

#include "trainer/base/status.h"
#include "trainer/callbacks/state.h"

typedef struct BestRule {
    const char *metric;     /* metric_for_best_model, with or without "eval_"; NULL: none, nothing is tracked */
    bool greater_is_better;
    int64_t patience;       /* early_stopping_patience; 0: off */
    double threshold;       /* early_stopping_threshold */
} BestRule;

typedef struct BestOutcome {
    bool improved; /* the best so far: best_metric and best_global_step are its */
    bool stop;     /* patience is used up */
} BestOutcome;

/* After an evaluation at s->global_step. Early stopping compares with the best before this evaluation, then the best
 * is updated. A value that is NaN never is better. STATUS_MISSING: the metric is not among the metrics (they are
 * listed). */
Status best_update(const BestRule *rule, TrainerState *s, const LogEntry *metrics, BestOutcome *out);

/* Pure: is `value` better than `best` (NAN: there is none yet)? */
bool best_is_better(bool greater_is_better, double value, double best);
/* Pure: the counter after an evaluation. */
int64_t early_stopping_count(const BestRule *rule, double value, double best, int64_t counter);

#endif
