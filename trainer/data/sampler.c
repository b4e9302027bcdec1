/* An epoch is one row of positions 0, 1, ...: position p holds order[p], and beyond n the order from its start again.
 * Global batch k covers positions kB .. kB + B - 1, so an update is a run of positions, and an ordinal is the distance
 * from its start. The epoch's order is made when first asked for and kept until another epoch is. */
#include "trainer/data/sampler.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "trainer/data/order.h"

struct Sampler {
    SamplerConfig c;
    int64_t *order; /* [n] of `epoch` */
    int64_t epoch;  /* -1: none yet */
    int64_t *index;   /* [G B] of the plan given last */
    int32_t *ordinal; /* likewise */
    MicroPlan *micro; /* [G], or [G B] when granular */
};

static int64_t divide_up(int64_t a, int64_t b)
{
    return a / b + (a % b > 0);
}

/* Whether a round that is not complete is filled up from the start of the order. */
static bool completes(const SamplerConfig *c)
{
    return c->world > 1 && c->even_batches && !c->drop_last;
}

int64_t sampler_micro_per_epoch(const SamplerConfig *c)
{
    if (c->drop_last) return c->n / c->batch / c->world;
    return divide_up(divide_up(c->n, c->batch), c->world);
}

int64_t sampler_updates_per_epoch(const SamplerConfig *c)
{
    int64_t updates = divide_up(sampler_micro_per_epoch(c), c->accumulation);
    return updates > 1 ? updates : 1;
}

int64_t sampler_total_updates(const SamplerConfig *c, double epochs, int64_t max_steps, int64_t *num_epochs)
{
    int64_t per_epoch = sampler_updates_per_epoch(c);
    if (num_epochs) *num_epochs = max_steps > 0 ? divide_up(max_steps, per_epoch) : (int64_t)ceil(epochs);
    return max_steps > 0 ? max_steps : (int64_t)ceil(epochs * (double)per_epoch);
}

double sampler_epoch_after(const SamplerConfig *c, int64_t updates)
{
    int64_t done = updates - c->skip, per_epoch = sampler_updates_per_epoch(c), L = sampler_micro_per_epoch(c);
    if (done <= 0 || L <= 0) return 0;
    int64_t micro = ((done - 1) % per_epoch + 1) * c->accumulation;
    return (double)((done - 1) / per_epoch) + (double)(micro < L ? micro : L) / (double)L;
}

bool sampler_ends_epoch(const SamplerConfig *c, int64_t updates)
{
    int64_t done = updates - c->skip;
    return done > 0 && done % sampler_updates_per_epoch(c) == 0;
}

int sampler_most_in_micro(const SamplerConfig *c)
{
    if (c->granular) return 1;
    return c->n < c->batch && !completes(c) ? (int)c->n : c->batch;
}

int64_t sampler_most_in_update(const SamplerConfig *c)
{
    int64_t most = (int64_t)c->batch * c->world * c->accumulation;
    int64_t epoch = completes(c) ? sampler_micro_per_epoch(c) * c->world * c->batch : c->n;
    return most < epoch ? most : epoch;
}

Status sampler_check(const SamplerConfig *c)
{
    Status st = OK;
    if (c->batch < 1 || c->accumulation < 1 || c->world < 1)
        RAISE(USAGE, "per_device_train_batch_size %d, gradient_accumulation_steps %d, %d ranks: each must be 1 or more",
              c->batch, c->accumulation, c->world);
    if (c->n < 1) RAISE(USAGE, "there are no training examples; give more data or a smaller block_size");
    if ((int64_t)c->batch * c->accumulation > INT32_MAX / c->world)
        RAISE(USAGE, "per_device_train_batch_size %d x gradient_accumulation_steps %d x %d ranks is more than %d "
              "samples an update; make one smaller", c->batch, c->accumulation, c->world, INT32_MAX);
    if (sampler_micro_per_epoch(c) < 1)
        RAISE(USAGE, "dataloader_drop_last drops everything: %" PRId64 " training examples do not fill one "
              "per_device_train_batch_size %d on %d rank%s; remove the key or make the batch smaller",
              c->n, c->batch, c->world, c->world > 1 ? "s" : "");
    if (c->strategy == SAMPLER_GROUP_BY_LENGTH && !c->lengths)
        return status_raise(STATUS_BUG, "sampler: group_by_length without lengths");
done:
    return st;
}

Status sampler_check_granular(const SamplerConfig *c)
{
    Status st = OK;
    TRY(sampler_check(c));
    int64_t update = (int64_t)c->batch * c->accumulation * c->world, whole = c->n / update * update;
    if (whole == c->n) goto done;
    if (whole == 0)
        RAISE(USAGE, "full_determinism needs updates of the same samples however they are split over ranks: %" PRId64
              " training examples are fewer than one update of %" PRId64 " (per_device_train_batch_size %d x "
              "gradient_accumulation_steps %d x %d ranks); make one smaller",
              c->n, update, c->batch, c->accumulation, c->world);
    RAISE(USAGE, "full_determinism needs updates of the same samples however they are split over ranks: %" PRId64
          " training examples are not a multiple of the %" PRId64 " of an update (per_device_train_batch_size %d x "
          "gradient_accumulation_steps %d x %d ranks); set max_train_samples: %" PRId64,
          c->n, update, c->batch, c->accumulation, c->world, whole);
done:
    return st;
}

Status sampler_new(const SamplerConfig *c, Sampler **out)
{
    Status st = OK;
    Sampler *s = NULL;

    *out = NULL;
    TRY(sampler_check(c));
    if (c->granular) TRY(sampler_check_granular(c));
    s = calloc(1, sizeof *s);
    if (!s) RAISE(MEMORY, "no memory for a sampler");
    s->c = *c;
    s->epoch = -1;
    const size_t most = (size_t)c->batch * (size_t)c->accumulation;
    s->order = malloc((size_t)c->n * sizeof *s->order);
    s->index = malloc(most * sizeof *s->index);
    s->ordinal = malloc(most * sizeof *s->ordinal);
    s->micro = malloc((c->granular ? most : (size_t)c->accumulation) * sizeof *s->micro);
    if (!s->order || !s->index || !s->ordinal || !s->micro)
        RAISE(MEMORY, "no memory for the order of %" PRId64 " examples", c->n);
    *out = s;
    s = NULL;
done:
    sampler_free(s);
    return st;
}

void sampler_free(Sampler *s)
{
    if (!s) return;
    free(s->order);
    free(s->index);
    free(s->ordinal);
    free(s->micro);
    free(s);
}

const SamplerConfig *sampler_config(const Sampler *s)
{
    return &s->c;
}

/* The run of an update: positions first .. first + samples - 1 of the epoch, in `micro` rounds. */
typedef struct Run {
    int64_t first, samples, micro;
} Run;

static Run run_of(const SamplerConfig *c, int64_t update_in_epoch)
{
    const int64_t L = sampler_micro_per_epoch(c), round = (int64_t)c->world * c->batch;
    int64_t begin = update_in_epoch * c->accumulation, end = begin + c->accumulation;
    if (end > L) end = L;
    Run run = {.first = begin * round, .samples = (end - begin) * round, .micro = end - begin};
    if (!completes(c) && run.first + run.samples > c->n) run.samples = c->n - run.first;
    return run;
}

bool sampler_begins_full(const SamplerConfig *c, int64_t update, int rank)
{
    const int64_t width = sampler_most_in_micro(c);
    const Run run = run_of(c, (update - c->skip) % sampler_updates_per_epoch(c));
    return run.samples >= rank * (c->granular ? 1 : (int64_t)c->batch) + width;
}

Status sampler_update(Sampler *s, int64_t update, int rank, UpdatePlan *out)
{
    Status st = OK;
    const SamplerConfig *c = &s->c;
    const int64_t per_epoch = sampler_updates_per_epoch(c), at = update - c->skip;

    if (at < 0 || rank < 0 || rank >= c->world)
        RAISE(BUG, "sampler: no update %" PRId64 " of rank %d", update, rank);
    if (s->epoch != at / per_epoch) {
        s->epoch = -1;
        TRY(order_make(c, at / per_epoch, s->order));
        s->epoch = at / per_epoch;
    }
    const Run run = run_of(c, at % per_epoch);
    /* Micro-step i of this rank has the ordinals i*step + rank*width, `width` of them. */
    const int64_t width = c->granular ? 1 : c->batch, step = width * c->world;
    const int64_t count = c->granular ? divide_up(run.samples, c->world) : run.micro;
    int64_t filled = 0;
    for (int64_t i = 0; i < count; i++) {
        const int64_t begin = i * step + rank * width;
        MicroPlan *m = &s->micro[i];
        *m = (MicroPlan){.index = s->index + filled, .ordinal = s->ordinal + filled};
        for (int64_t o = begin; o < begin + width && o < run.samples; o++, filled++) {
            const int64_t position = run.first + o;
            s->index[filled] = s->order[position < c->n ? position : (position - c->n) % c->n];
            s->ordinal[filled] = (int32_t)o;
            m->count++;
        }
    }
    *out = (UpdatePlan){.update = update, .epoch = s->epoch, .count = (int)count, .micro = s->micro,
                        .samples = run.samples};
done:
    return st;
}

int64_t eval_plan_batches(const EvalPlan *p)
{
    return p->drop_last ? p->n / p->batch : divide_up(p->n, p->batch);
}

int64_t eval_plan_rank_batches(const EvalPlan *p)
{
    int64_t all = eval_plan_batches(p);
    return all > p->rank ? divide_up(all - p->rank, p->world) : 0;
}

void eval_plan_batch(const EvalPlan *p, int64_t j, int64_t *number, int64_t *first, int *count)
{
    *number = j * p->world + p->rank;
    *first = *number * p->batch;
    int64_t left = p->n - *first;
    *count = (int)(left < p->batch ? left : p->batch);
}
