/* The schedules, one function and one table line each, in the arithmetic and order of transformers 5.23
 * (optimization.py), since the rates are compared to the last bit. s: updates done; w: warm-up; T: max_steps. */
#include "optim/schedule.h"

#include <math.h>
#include <string.h>

#include "optim/schedule_kwargs.h"

static const double PI = 3.14159265358979323846;

static double number(const Schedule *s, ScheduleKwarg k) { return s->config.numbers[k]; }
static double at_least_1(int64_t n) { return n > 1 ? (double)n : 1.0; }
/* 0 to 1 over what comes after the warm-up; beyond 1 after max_steps. */
static double progress(const ScheduleConfig *c, int64_t s)
{
    return (double)(s - c->warmup) / at_least_1(c->total - c->warmup);
}

static double linear(const Schedule *sc, int64_t s)
{
    const ScheduleConfig *c = &sc->config;
    return fmax(0.0, (double)(c->total - s) / at_least_1(c->total - c->warmup));
}

static double cosine(const Schedule *sc, int64_t s)
{
    return fmax(0.0, 0.5 * (1.0 + cos(PI * number(sc, SCHEDULE_NUM_CYCLES) * 2.0 * progress(&sc->config, s))));
}

static double cosine_with_restarts(const Schedule *sc, int64_t s)
{
    double p = progress(&sc->config, s);
    if (p >= 1.0) return 0.0;
    return fmax(0.0, 0.5 * (1.0 + cos(PI * fmod(number(sc, SCHEDULE_NUM_CYCLES) * p, 1.0))));
}

static double polynomial(const Schedule *sc, int64_t s)
{
    const ScheduleConfig *c = &sc->config;
    double end = number(sc, SCHEDULE_LR_END);
    if (s > c->total || c->total <= c->warmup)
        return end / c->lr; /* the reference divides by zero where all is warm-up */
    double remaining = 1.0 - (double)(s - c->warmup) / (double)(c->total - c->warmup);
    return ((c->lr - end) * pow(remaining, number(sc, SCHEDULE_POWER)) + end) / c->lr;
}

static double constant(const Schedule *sc, int64_t s) { return (void)sc, (void)s, 1.0; }

static double inverse_sqrt(const Schedule *sc, int64_t s)
{
    double scale = number(sc, SCHEDULE_TIMESCALE), shift = scale - (double)sc->config.warmup;
    return 1.0 / sqrt(((double)s + shift) / scale);
}

static double above_floor(const Schedule *sc, double p)
{
    double floor_rate = number(sc, SCHEDULE_MIN_LR_RATE);
    double factor = 0.5 * (1.0 + cos(PI * number(sc, SCHEDULE_NUM_CYCLES) * 2.0 * p));
    return fmax(0.0, factor * (1.0 - floor_rate) + floor_rate);
}

static double cosine_with_min_lr(const Schedule *sc, int64_t s) { return above_floor(sc, progress(&sc->config, s)); }

/* Its first update does not have rate 0, and step w is one step down already. */
static double cosine_warmup_with_min_lr(const Schedule *sc, int64_t s)
{
    const ScheduleConfig *c = &sc->config;
    if (s >= c->warmup) return above_floor(sc, ((double)(s - c->warmup) + 1.0) / at_least_1(c->total - c->warmup));
    if (!(c->given >> SCHEDULE_WARMUP_LR_RATE & 1)) return ((double)s + 1.0) / at_least_1(c->warmup);
    double first = number(sc, SCHEDULE_WARMUP_LR_RATE);
    return first + (1.0 - first) * (double)s / at_least_1(c->warmup - 1);
}

static double rise(ScheduleCurve curve, double p)
{
    if (curve == CURVE_COSINE) return 0.5 * (1.0 - cos(PI * p));
    return curve == CURVE_LINEAR ? p : 1.0 - sqrt(1.0 - p);
}

static double fall(ScheduleCurve curve, double p, double cycles)
{
    if (curve == CURVE_COSINE) return 0.5 * (1.0 + cos(PI * cycles * 2.0 * p));
    return curve == CURVE_LINEAR ? 1.0 - p : 1.0 - sqrt(p);
}

static double warmup_stable_decay(const Schedule *sc, int64_t s)
{
    const ScheduleConfig *c = &sc->config;
    double low = number(sc, SCHEDULE_MIN_LR_RATIO), factor;
    int64_t decay = (int64_t)number(sc, SCHEDULE_NUM_DECAY_STEPS),
            falls = c->warmup + (int64_t)number(sc, SCHEDULE_NUM_STABLE_STEPS);
    if (s < c->warmup) factor = rise(c->warmup_type, (double)s / at_least_1(c->warmup));
    else if (s < falls) return 1.0;
    else if (s < falls + decay)
        factor = fall(c->decay_type, (double)(s - falls) / at_least_1(decay), number(sc, SCHEDULE_NUM_CYCLES));
    else return low;
    return fmax(0.0, factor * (1.0 - low) + low);
}

struct ScheduleType {
    const char *name;
    double (*factor)(const Schedule *s, int64_t step); /* of lr */
    bool warms_up;                                     /* the plain linear warm-up comes first */
    uint32_t takes, needs, one_of;                     /* kwargs; exactly one of one_of */
    double num_cycles;                                 /* default */
};

#define K(NAME) (1u << SCHEDULE_##NAME)
static const ScheduleType types[] = { /* sorted */
    {.name = "constant", constant},
    {.name = "constant_with_warmup", constant, .warms_up = true},
    {.name = "cosine", cosine, .warms_up = true, .takes = K(NUM_CYCLES), .num_cycles = 0.5},
    {.name = "cosine_warmup_with_min_lr", cosine_warmup_with_min_lr, .takes = K(NUM_CYCLES) | K(WARMUP_LR_RATE),
     .one_of = K(MIN_LR) | K(MIN_LR_RATE), .num_cycles = 0.5},
    {.name = "cosine_with_min_lr", cosine_with_min_lr, .warms_up = true, .takes = K(NUM_CYCLES),
     .one_of = K(MIN_LR) | K(MIN_LR_RATE), .num_cycles = 0.5},
    {.name = "cosine_with_restarts", cosine_with_restarts, .warms_up = true, .takes = K(NUM_CYCLES), .num_cycles = 1},
    {.name = "inverse_sqrt", inverse_sqrt, .warms_up = true, .takes = K(TIMESCALE)},
    {.name = "linear", linear, .warms_up = true},
    {.name = "polynomial", polynomial, .warms_up = true, .takes = K(LR_END) | K(POWER)},
    {.name = "warmup_stable_decay", warmup_stable_decay, .needs = K(NUM_DECAY_STEPS), .num_cycles = 0.5,
     .takes = K(NUM_CYCLES) | K(NUM_STABLE_STEPS) | K(WARMUP_TYPE) | K(DECAY_TYPE) | K(MIN_LR_RATIO)},
};

const ScheduleType *schedule_type_find(const char *name)
{
    for (size_t i = 0; name && i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0) return &types[i];
    return NULL;
}

const char *schedule_type_names(void)
{
    return "constant,constant_with_warmup,cosine,cosine_warmup_with_min_lr,cosine_with_min_lr,cosine_with_restarts,"
           "inverse_sqrt,linear,polynomial,warmup_stable_decay";
}

static void set_default(ScheduleConfig *c, ScheduleKwarg k, double value)
{
    if (!(c->given >> k & 1)) c->numbers[k] = value;
}

static void fill_defaults(const ScheduleType *type, ScheduleConfig *c)
{
    set_default(c, SCHEDULE_NUM_CYCLES, type->num_cycles);
    set_default(c, SCHEDULE_LR_END, 1e-7);
    set_default(c, SCHEDULE_POWER, 1);
    set_default(c, SCHEDULE_TIMESCALE, c->warmup ? (double)c->warmup : 10000);
    set_default(c, SCHEDULE_MIN_LR_RATIO, 0);
    set_default(c, SCHEDULE_NUM_STABLE_STEPS, (double)(c->total - c->warmup) - c->numbers[SCHEDULE_NUM_DECAY_STEPS]);
    if (c->given & K(MIN_LR)) c->numbers[SCHEDULE_MIN_LR_RATE] = c->lr > 0 ? c->numbers[SCHEDULE_MIN_LR] / c->lr : 0;
    if (!(c->given & K(WARMUP_TYPE))) c->warmup_type = CURVE_LINEAR;
    if (!(c->given & K(DECAY_TYPE))) c->decay_type = CURVE_COSINE;
}

static Status check(const ScheduleType *type, const ScheduleConfig *c)
{
    Status st = OK;
    char names[SCHEDULE_NAMES_BYTES];
    uint32_t all = type->takes | type->needs | type->one_of, given = c->given & type->one_of;
    if (c->given & ~all)
        RAISE(USAGE, "lr_scheduler_kwargs: lr_scheduler_type %s has no %s", type->name,
              schedule_kwarg_names(c->given & ~all, names));
    if (type->needs & ~c->given)
        RAISE(USAGE, "lr_scheduler_kwargs: lr_scheduler_type %s needs %s", type->name,
              schedule_kwarg_names(type->needs & ~c->given, names));
    if (type->one_of && (!given || (given & (given - 1))))
        RAISE(USAGE, "lr_scheduler_kwargs: lr_scheduler_type %s needs exactly one of %s", type->name,
              schedule_kwarg_names(type->one_of, names));
    if (!(c->lr >= 0) || isinf(c->lr)) RAISE(USAGE, "learning_rate: %g is not a number of at least 0", c->lr);
    if (c->warmup < 0 || c->total < 0) RAISE(USAGE, "warmup_steps and max_steps must be at least 0");
done:
    return st;
}

Status schedule_init(Schedule *s, const ScheduleConfig *c)
{
    Status st = OK;
    const ScheduleType *type = schedule_type_find(c->type);
    if (!type) RAISE(USAGE, "lr_scheduler_type: `%s` is none of %s", c->type ? c->type : "", schedule_type_names());
    TRY(check(type, c));
    *s = (Schedule){.type = type, .config = *c};
    s->config.type = type->name;
    fill_defaults(type, &s->config);
    if (type->factor == polynomial && !(c->lr > s->config.numbers[SCHEDULE_LR_END]))
        RAISE(USAGE, "learning_rate: must be above lr_end (%g) with lr_scheduler_type polynomial",
              s->config.numbers[SCHEDULE_LR_END]);
done:
    return st;
}

double schedule_at(const Schedule *s, int64_t step)
{
    const ScheduleConfig *c = &s->config;
    if (s->type->warms_up && step < c->warmup) return c->lr * ((double)step / at_least_1(c->warmup));
    return c->lr * s->type->factor(s, step);
}
