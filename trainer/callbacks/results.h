/* train_results.json, eval_results.json, all_results.json: the Trainer's save_metrics (indent 4, sorted keys). */
#ifndef HONE_CALLBACKS_RESULTS_H
#define HONE_CALLBACKS_RESULTS_H

#include "trainer/base/status.h"
#include "trainer/callbacks/state.h"

/* dir/<split>_results.json is replaced; dir/all_results.json keeps what it had and gets these values too. `step` is
 * left out, as the scripts' metrics have none. split: "train", "eval", "test". */
Status results_save(const char *dir, const char *split, const LogEntry *metrics);

#endif
