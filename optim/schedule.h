/* Learning-rate schedules of transformers' get_scheduler (5.23), step by step equal to the last bit or two.
 *
 *     ScheduleConfig c = {.type = "cosine", .lr = 5e-5, .warmup = 10, .total = 1000};
 *     TRY(schedule_number(&c, "num_cycles", 0.5));   for each member of lr_scheduler_kwargs
 *     TRY(schedule_init(&schedule, &c));
 *     rate = schedule_at(&schedule, updates_done);   step 0 is the first update's
 *
 * A schedule is one function and one line of the table in schedule.c. */
#ifndef HONE_OPTIM_SCHEDULE_H
#define HONE_OPTIM_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

#include "trainer/base/status.h"

/* The members of lr_scheduler_kwargs. */
typedef enum ScheduleKwarg {
    SCHEDULE_NUM_CYCLES, SCHEDULE_LR_END, SCHEDULE_POWER, SCHEDULE_MIN_LR, SCHEDULE_MIN_LR_RATE,
    SCHEDULE_WARMUP_LR_RATE, SCHEDULE_TIMESCALE, SCHEDULE_NUM_STABLE_STEPS, SCHEDULE_NUM_DECAY_STEPS,
    SCHEDULE_MIN_LR_RATIO,
    SCHEDULE_NUMBERS, /* those above are numbers, those below names of curves */
    SCHEDULE_WARMUP_TYPE = SCHEDULE_NUMBERS,
    SCHEDULE_DECAY_TYPE,
    SCHEDULE_KWARGS
} ScheduleKwarg;

typedef enum ScheduleCurve { CURVE_LINEAR, CURVE_COSINE, CURVE_ONE_MINUS_SQRT } ScheduleCurve;

typedef struct ScheduleConfig {
    const char *type;      /* "linear"; only schedule_init reads it */
    double lr;             /* the peak */
    int64_t warmup, total; /* updates: warmup_steps and max_steps, resolved */
    double numbers[SCHEDULE_NUMBERS];
    ScheduleCurve warmup_type, decay_type;
    uint32_t given; /* bit k: kwarg k is set */
} ScheduleConfig;

typedef struct ScheduleType ScheduleType;

typedef struct Schedule {
    const ScheduleType *type;
    ScheduleConfig config; /* defaults filled in */
} Schedule;

/* NULL: no such schedule. */
const ScheduleType *schedule_type_find(const char *name);
/* "constant,constant_with_warmup,…", for messages. */
const char *schedule_type_names(void);

/* Sets one kwarg by its name. STATUS_USAGE names what is wrong: unknown, of the other kind, not finite, out of
 * range. */
Status schedule_number(ScheduleConfig *c, const char *key, double value);
Status schedule_text(ScheduleConfig *c, const char *key, const char *value); /* warmup_type, decay_type */

/* Checks which kwargs this type needs, takes and excludes. STATUS_USAGE with the names. Keeps nothing of *c but
 * values. */
Status schedule_init(Schedule *s, const ScheduleConfig *c);
/* The rate of the update after `step` updates. Any step >= 0; pure. */
double schedule_at(const Schedule *s, int64_t step);

#endif
