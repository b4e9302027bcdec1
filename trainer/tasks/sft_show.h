/* What is learned, for people: --dry_run's samples and the warning of a set that never ends a turn. */
#ifndef HONE_TASKS_SFT_SHOW_H
#define HONE_TASKS_SFT_SHOW_H

#include "trainer/tasks/task.h"

Status sft_show(const TaskContext *c, const Dataset *d, int64_t index, bool colours, Text *out);
Status sft_about(const TaskContext *c, const Dataset *d, Text *out);
/* Warns where no target of the set ends a turn: the model would not learn to stop. */
Status sft_check_turns(const TaskContext *c, const char *eos_token, const char *name, const Dataset *d);

#endif
