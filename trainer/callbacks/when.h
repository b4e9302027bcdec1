/* When to log, evaluate and save: the Hugging Face Trainer's DefaultFlowCallback (transformers 5.23) as pure functions.
 *
 * After each update, in this order: log, evaluate, (best model), save. At the end of an epoch the same again with epoch_end set; what was
 * done at this step already need not be done twice: give one Moment with epoch_end where the update was the epoch's last. */
#ifndef HONE_CALLBACKS_WHEN_H
#define HONE_CALLBACKS_WHEN_H

#include <stdbool.h>
#include <stdint.h>

typedef enum WhenStrategy { WHEN_NO, WHEN_STEPS, WHEN_EPOCH, WHEN_BEST /* saving only */ } WhenStrategy;

typedef struct WhenConfig {
    WhenStrategy logging, eval, save;
    int64_t logging_steps, eval_steps, save_steps; /* resolved; 0: never by count */
    bool logging_first_step;
    double eval_delay; /* steps, or epochs with WHEN_EPOCH */
    int64_t max_steps;
} WhenConfig;

typedef struct Moment {
    int64_t step;   /* updates done */
    double epoch;   /* epochs done */
    bool epoch_end; /* this update was the last of its epoch (or of the run) */
    bool improved;  /* the evaluation of this moment was the best so far: saving only */
    bool stopping;  /* the run ends after this update before max_steps: early stopping */
} Moment;

bool should_log(const WhenConfig *w, const Moment *m);
bool should_eval(const WhenConfig *w, const Moment *m);
bool should_save(const WhenConfig *w, const Moment *m);

#endif
