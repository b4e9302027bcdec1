/* Where lengths differ, the updates are walked through as the loader will: orders of epochs are made, examples are not
 * read. A run that is too long for that gets a bound, by one pass over the lengths. */
#include "trainer/data/largest.h"

#include <string.h>

#include "trainer/base/clock.h"

enum {
    LOOKS_AT_CLOCK = 64,   /* every so many updates */
    MOST_WALKED = 1 << 22, /* examples, whose order is quickly made */
};

typedef struct Walk {
    const LargestQuery *q;
    int column;
    MicroBatch now; /* that is being looked at */
    Largest *out;
} Walk;

static int64_t rows_of(const Walk *w, int64_t index)
{
    if (w->q->rows) return w->q->rows(w->q->context, w->q->dataset, index);
    return dataset_length(w->q->dataset, w->column, index);
}

static void take(const MicroBatch *from, MicroBatch *to)
{
    int64_t *index = to->index;
    memcpy(index, from->index, (size_t)from->count * sizeof *index);
    *to = *from;
    to->index = index;
}

static void look(Walk *w, const int64_t *index, int count)
{
    MicroBatch *m = &w->now;
    m->rows = m->longest = 0;
    m->count = count;
    for (int i = 0; i < count; i++) {
        int64_t rows = rows_of(w, m->index[i] = index[i]);
        m->rows += rows;
        if (rows > m->longest) m->longest = rows;
    }
    const MicroBatch *a = &w->out->most, *b = &w->out->long_one;
    if (m->rows > a->rows || (m->rows == a->rows && m->longest > a->longest)) take(m, &w->out->most);
    if (m->longest > b->longest || (m->longest == b->longest && m->rows > b->rows)) take(m, &w->out->long_one);
}

/* most: examples in a micro-batch. */
static Status begin(Walk *w, const LargestQuery *q, int most, Arena *arena, Largest *out)
{
    Status st = OK;
    *out = (Largest){.exact = true};
    *w = (Walk){.q = q, .column = dataset_column(q->dataset, "input_ids"), .out = out};
    if (w->column < 0 && !q->rows) RAISE(BUG, "a dataset without input_ids, of which no task tells the lengths");
    TRY_NEW(arena, w->now.index, most);
    TRY_NEW(arena, out->most.index, most);
    TRY_NEW(arena, out->long_one.index, most);
done:
    return st;
}

static bool is_uniform(const Walk *w) { return !w->q->rows && dataset_fixed_length(w->q->dataset, w->column) >= 0; }

/* The first `most` examples stand for all. */
static void look_at_first(Walk *w, int most)
{
    MicroBatch first = {.index = w->now.index};
    for (int i = 0; i < most; i++) first.index[i] = i;
    look(w, first.index, most);
    w->out->uniform = true;
}

/* The longest `most` examples, kept in order, the shortest of them last. */
static void look_at_longest(Walk *w, int most)
{
    int64_t *best = w->now.index, n = dataset_count(w->q->dataset);
    int count = 0;
    for (int64_t i = 0; i < n; i++) {
        int64_t rows = rows_of(w, i);
        if (count == most && rows <= rows_of(w, best[count - 1])) continue;
        int at = count < most ? count++ : count - 1;
        for (; at > 0 && rows_of(w, best[at - 1]) < rows; at--) best[at] = best[at - 1];
        best[at] = i;
    }
    w->out->most.rows = w->out->long_one.rows = w->out->most.longest = w->out->long_one.longest = -1;
    look(w, best, count);
    w->out->exact = false;
}

Status largest_in_training(const LargestQuery *q, const SamplerConfig *c, int rank, int64_t first, int64_t last,
                           Arena *arena, Largest *out)
{
    Status st = OK;
    Walk w;
    Sampler *s = NULL;
    UpdatePlan plan;
    int most = sampler_most_in_micro(c);
    double until = clock_seconds() + q->limit_s;
    TRY(begin(&w, q, most, arena, out));
    if (is_uniform(&w)) {
        look_at_first(&w, most);
        goto done;
    }
    if (c->strategy == SAMPLER_SEQUENTIAL && last - first > sampler_updates_per_epoch(c))
        last = first + sampler_updates_per_epoch(c); /* the epochs are alike */
    if (c->n > MOST_WALKED) {
        look_at_longest(&w, most);
        goto done;
    }
    TRY(sampler_new(c, &s));
    for (int64_t u = first; u < last; u++) {
        if ((u - first) % LOOKS_AT_CLOCK == 0 && clock_seconds() > until) {
            look_at_longest(&w, most);
            break;
        }
        TRY(sampler_update(s, u, rank, &plan));
        for (int i = 0; i < plan.count; i++) look(&w, plan.micro[i].index, plan.micro[i].count);
    }
done:
    sampler_free(s);
    return st;
}

Status largest_in_evaluation(const LargestQuery *q, const EvalPlan *plan, Arena *arena, Largest *out)
{
    Status st = OK;
    Walk w;
    int64_t *index, number, first, batches = eval_plan_rank_batches(plan);
    int count, most = plan->n < plan->batch ? (int)plan->n : plan->batch;
    TRY(begin(&w, q, most, arena, out));
    TRY_NEW(arena, index, most);
    if (is_uniform(&w)) {
        if (batches) look_at_first(&w, most);
        goto done;
    }
    for (int64_t j = 0; j < batches; j++) {
        eval_plan_batch(plan, j, &number, &first, &count);
        for (int b = 0; b < count; b++) index[b] = first + b;
        look(&w, index, count);
    }
done:
    return st;
}

bool largest_is_one(const Largest *l) { return l->most.longest == l->long_one.longest; }
