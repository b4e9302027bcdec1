/* The Hugging Face Trainer's flow (transformers 5.23, trainer_callback.py DefaultFlowCallback): on_step_end and
 * on_epoch_end in one.
 *
 * The last step evaluates and saves with `steps` even where it is no multiple; the last log interval is not logged
 * when it is not full. A run that stops early ends its epoch there: `epoch` saves and logs, `steps` does not. */
#include "trainer/callbacks/when.h"

static bool every(int64_t step, int64_t interval) { return interval > 0 && step % interval == 0; }
static bool at_end(const WhenConfig *w, const Moment *m) { return m->step >= w->max_steps; }
static bool epoch_is_over(const WhenConfig *w, const Moment *m) { return m->epoch_end || m->stopping || at_end(w, m); }

bool should_log(const WhenConfig *w, const Moment *m)
{
    if (m->step == 1 && w->logging_first_step) return true;
    if (w->logging == WHEN_STEPS) return every(m->step, w->logging_steps);
    return w->logging == WHEN_EPOCH && epoch_is_over(w, m);
}

bool should_eval(const WhenConfig *w, const Moment *m)
{
    if (w->eval == WHEN_STEPS)
        return (every(m->step, w->eval_steps) || at_end(w, m)) && w->eval_delay <= (double)m->step;
    return w->eval == WHEN_EPOCH && epoch_is_over(w, m) && w->eval_delay <= m->epoch;
}

bool should_save(const WhenConfig *w, const Moment *m)
{
    if (w->save == WHEN_STEPS) return every(m->step, w->save_steps) || at_end(w, m);
    if (w->save == WHEN_BEST) return m->improved;
    return w->save == WHEN_EPOCH && epoch_is_over(w, m);
}
