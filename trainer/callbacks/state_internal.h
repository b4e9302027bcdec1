/* What the files about the state share. */
#ifndef HONE_CALLBACKS_STATE_INTERNAL_H
#define HONE_CALLBACKS_STATE_INTERNAL_H

#include "trainer/callbacks/state.h"

/* The number as JSON: "3" or "3.0". */
void logvalue_add(Text *out, const LogValue *v);
/* All values of a key with their steps, oldest first; both arrays have room for state_log_count. Returns how many. */
size_t state_series(const TrainerState *s, const char *key, double *steps, double *values);

#endif
