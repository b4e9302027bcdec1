/* When to log, evaluate and save: the Hugging Face Trainer's DefaultFlowCallback (transformers 5.23) as pure
 * functions.
 *
 * After each update, in this order: should_log, should_eval, best_update, should_save: so that a saved state
 * includes its evaluation. The update that is the last of its epoch is one Moment, with epoch_end set. */
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
    bool epoch_end; /* this update was the last of its epoch */
    bool improved;  /* the evaluation of this moment was the best so far: saving only */
    bool stopping;  /* the run ends after this update, before max_steps: early stopping */
} Moment;

bool should_log(const WhenConfig *w, const Moment *m);
bool should_eval(const WhenConfig *w, const Moment *m);
bool should_save(const WhenConfig *w, const Moment *m);

#endif
