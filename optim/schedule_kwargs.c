/* lr_scheduler_kwargs, member by member. */
#include "optim/schedule_kwargs.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "optim/schedule.h"

typedef struct Kwarg {
    const char *name;
    bool whole, above_0; /* steps; above 0, where the others are at least 0 */
} Kwarg;

static const Kwarg kwargs[SCHEDULE_KWARGS] = {
    [SCHEDULE_NUM_CYCLES] = {"num_cycles", false, false},
    [SCHEDULE_LR_END] = {"lr_end", false, false},
    [SCHEDULE_POWER] = {"power", false, false},
    [SCHEDULE_MIN_LR] = {"min_lr", false, false},
    [SCHEDULE_MIN_LR_RATE] = {"min_lr_rate", false, false},
    [SCHEDULE_WARMUP_LR_RATE] = {"warmup_lr_rate", false, false},
    [SCHEDULE_TIMESCALE] = {"timescale", true, true},
    [SCHEDULE_NUM_STABLE_STEPS] = {"num_stable_steps", true, false},
    [SCHEDULE_NUM_DECAY_STEPS] = {"num_decay_steps", true, false},
    [SCHEDULE_MIN_LR_RATIO] = {"min_lr_ratio", false, false},
    [SCHEDULE_WARMUP_TYPE] = {"warmup_type", false, false},
    [SCHEDULE_DECAY_TYPE] = {"decay_type", false, false},
};

const char *schedule_kwarg_names(uint32_t set, char *text)
{
    size_t n = 0;
    text[0] = '\0';
    for (int k = 0; k < SCHEDULE_KWARGS; k++)
        if (set >> k & 1)
            n += (size_t)snprintf(text + n, SCHEDULE_NAMES_BYTES - n, "%s%s", n ? ", " : "", kwargs[k].name);
    return text;
}

static int find(const char *key)
{
    for (int k = 0; k < SCHEDULE_KWARGS; k++)
        if (strcmp(kwargs[k].name, key) == 0) return k;
    return -1;
}

Status schedule_number(ScheduleConfig *c, const char *key, double value)
{
    Status st = OK;
    char names[SCHEDULE_NAMES_BYTES];
    int k = find(key);
    if (k < 0)
        RAISE(USAGE, "lr_scheduler_kwargs: `%s` is none of %s", key,
              schedule_kwarg_names((1u << SCHEDULE_KWARGS) - 1, names));
    if (k >= SCHEDULE_NUMBERS) RAISE(USAGE, "lr_scheduler_kwargs: %s must be one of linear, cosine, 1-sqrt", key);
    if (!(value >= 0) || isinf(value) || (kwargs[k].above_0 && value <= 0))
        RAISE(USAGE, "lr_scheduler_kwargs: %s is %g, but must be a number %s 0", key, value,
              kwargs[k].above_0 ? "above" : "of at least");
    if (kwargs[k].whole && (value != trunc(value) || value > 1e15))
        RAISE(USAGE, "lr_scheduler_kwargs: %s is %g, but must be a whole number of steps", key, value);
    c->numbers[k] = value;
    c->given |= 1u << k;
done:
    return st;
}

Status schedule_text(ScheduleConfig *c, const char *key, const char *value)
{
    static const char *const curves[] = {
        [CURVE_LINEAR] = "linear", [CURVE_COSINE] = "cosine", [CURVE_ONE_MINUS_SQRT] = "1-sqrt"};
    Status st = OK;
    char names[SCHEDULE_NAMES_BYTES];
    int k = find(key), curve = -1;
    if (k < 0)
        RAISE(USAGE, "lr_scheduler_kwargs: `%s` is none of %s", key,
              schedule_kwarg_names((1u << SCHEDULE_KWARGS) - 1, names));
    if (k < SCHEDULE_NUMBERS) RAISE(USAGE, "lr_scheduler_kwargs: %s is `%s`, but must be a number", key, value);
    for (int i = 0; i < 3; i++)
        if (strcmp(curves[i], value) == 0) curve = i;
    if (curve < 0)
        RAISE(USAGE, "lr_scheduler_kwargs: %s is `%s`, but must be one of linear, cosine, 1-sqrt", key, value);
    if (k == SCHEDULE_WARMUP_TYPE) c->warmup_type = (ScheduleCurve)curve;
    else c->decay_type = (ScheduleCurve)curve;
    c->given |= 1u << k;
done:
    return st;
}
