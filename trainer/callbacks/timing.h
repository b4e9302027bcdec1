/* Clocks, rates, times left, and memory, for logs and bars. */
#ifndef HONE_CALLBACKS_TIMING_H
#define HONE_CALLBACKS_TIMING_H

#include <stddef.h>
#include <stdint.h>

#include "trainer/base/json.h"

/* Seconds of a clock that never jumps; its zero has no meaning. */
double timing_now(void);
/* When this process began, on that clock: what a user waits from. Falls back to now. */
double timing_process_start(void);
/* Seconds since 1970. */
double timing_wall(void);

/* The speed of the recent past: an average that forgets with a time constant of some 30 s, so that a slow start is
 * forgotten. */
typedef struct RateMeter {
    double last_s, count, seconds;
} RateMeter;
void rate_start(RateMeter *m, double now_s);
void rate_add(RateMeter *m, double count, double now_s);
void rate_skip(RateMeter *m, double now_s); /* the time since the last call does not count */
double rate_per_s(const RateMeter *m);      /* 0: not known yet */

/* Durations of the last steps, of which the median tells what a step takes: saves and evaluations between steps do not
 * move it. */
enum { STEP_TIMES = 512 };
typedef struct StepTimes {
    double last_s, seconds[STEP_TIMES]; /* a ring */
    int64_t count;
} StepTimes;
void step_times_add(StepTimes *t, double now_s); /* a step ends; the first call only starts the clock */
double step_times_median(const StepTimes *t);    /* 0: no step yet */

/* "0:07", "1:05", "2:03:04", "3 d 2:03:04"; negative or not finite: "?". */
void timing_add(Text *out, double seconds);

/* Values of the Trainer's last entry: rounded as it does (train_runtime 4 decimals, rates 3). */
double timing_round(double value, int decimals);

/* Peak and current memory of this process in bytes: VmHWM and VmRSS of /proc/self/status; 0 where that is not there. */
uint64_t memory_peak_bytes(void);
uint64_t memory_now_bytes(void);

#endif
