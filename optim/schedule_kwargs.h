/* The names of lr_scheduler_kwargs' members: what schedule.c and schedule_kwargs.c share. */
#ifndef HONE_OPTIM_SCHEDULE_KWARGS_H
#define HONE_OPTIM_SCHEDULE_KWARGS_H

#include <stdint.h>

enum { SCHEDULE_NAMES_BYTES = 256 };

/* "min_lr, min_lr_rate": the kwargs of the set, into `text` of SCHEDULE_NAMES_BYTES, which is returned. */
const char *schedule_kwarg_names(uint32_t set, char *text);

#endif
