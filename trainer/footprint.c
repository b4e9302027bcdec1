/* Memory for the largest micro-batches, so that nothing is allocated after the first step (architecture.md, 4).
 *
 * Where examples are alike the first step is the largest. Where they are not, on a device the largest micro-batches of
 * this rank's run are computed before the first step and their gradients thrown away: what the tape, the kernels and
 * the libraries need is had by then, and a run that does not fit ends here, not hours later. It costs one or two
 * micro-steps. On the CPU that would be seconds for nothing: memory there is address space until it is touched, so
 * after the first step all of it is made as large as the largest micro-batch could need. (A product of another shape
 * may still take a way of its own, which needs some more scratch then.) */
#include "trainer/trainer.h"

#include "trainer/base/log.h"

static const double WALK_S = 0.2;
enum { MOST_FACTOR = 1 << 20 };

static int64_t task_rows(void *trainer, const Dataset *d, int64_t index)
{
    Trainer *tr = trainer;
    return tr->task->rows(&tr->context, d, index);
}

static LargestQuery query(Trainer *tr, const Dataset *d)
{
    return (LargestQuery){.dataset = d, .rows = tr->task->rows ? task_rows : NULL, .context = tr, .limit_s = WALK_S};
}

static Status collate(Trainer *tr, const Dataset *d, const MicroBatch *m, Arena *arena, Batch *out)
{
    Status st = OK;
    int32_t *ordinal;
    *out = (Batch){0};
    TRY_NEW(arena, ordinal, m->count);
    for (int i = 0; i < m->count; i++) ordinal[i] = i;
    TRY(tr->task->collate(&tr->context, d, m->index, ordinal, m->count, arena, out));
done:
    return st;
}

/* Most sequences in a micro-batch: an example may be several. */
static int64_t most_sequences(const Trainer *tr, const Batch *largest)
{
    int column = dataset_column(tr->train_set, "seq_lengths");
    int64_t most = column < 0 ? 0 : tr->largest.most.count * dataset_longest(tr->train_set, column);
    return most > largest->num_seqs ? most : largest->num_seqs;
}

Status footprint_open(Trainer *tr, size_t *step_bytes)
{
    Status st = OK;
    Arena *arena = NULL;
    Batch batch;
    const SamplerConfig *c = &tr->sampler_config;
    LargestQuery q = query(tr, tr->train_set);
    TRY(largest_in_training(&q, c, tr->machine.group->rank, tr->global_step, tr->max_steps, tr->arena, &tr->largest));
    TRY(arena_new(&arena));
    TRY(collate(tr, tr->train_set, &tr->largest.most, arena, &batch));
    int64_t micros = c->accumulation, epoch = sampler_micro_per_epoch(c);
    if (micros > epoch) micros = epoch;
    if (c->granular) micros *= c->batch;
    *step_bytes = (size_t)micros * (arena_bytes(arena) + arena_bytes(arena) / 16 + 1024);
    TRY(step_results_begin(tr, micros * most_sequences(tr, &batch)));
    log_debug("largest micro-batch: %lld tokens in %d examples; longest example: %lld%s", (long long)batch.rows,
              tr->largest.most.count, (long long)tr->largest.long_one.longest,
              tr->largest.exact ? "" : " (a bound: the run is too long to look at each)");
done:
    arena_free(arena);
    return st;
}

/* A failure of a batch that the run may not have is none. */
static Status failed(Trainer *tr, const Largest *l, const MicroBatch *m, Status st)
{
    char why[512];
    snprintf(why, sizeof why, "%s", status_message());
    tape_forget(&tr->tape);
    stream_clear(tr->machine.stream);
    if (st == STATUS_MEMORY && !l->exact) return OK;
    return status_raise(st, "the largest micro-batch of this run, %lld tokens in %d examples: %s", (long long)m->rows,
                        m->count, why);
}

static Status compute(Trainer *tr, const Dataset *d, const Largest *l, const MicroBatch *m, bool training)
{
    Status st = OK;
    Arena *arena = NULL;
    Batch batch;
    const double *sum;
    if (!m->count || !m->rows) return OK;
    TRY(arena_new(&arena));
    TRY(collate(tr, d, m, arena, &batch));
    ParameterReady *ready = tr->tape.ready;
    tr->tape.ready = NULL; /* these gradients are nobody's */
    parameters_begin_update(&tr->model->params);
    if (training) st = step_results_begin(tr, batch.num_seqs);
    if (!st && training) st = trainer_micro_batch(tr, &batch, 1, step_results_losses(tr));
    else if (!st) st = trainer_evaluate_batch(tr, &batch, &sum);
    stream_sync(tr->machine.stream);
    if (!st) st = machine_check(&tr->machine);
    tr->tape.ready = ready;
    if (st) TRY(failed(tr, l, m, st));
    tape_end(&tr->tape);
done:
    arena_free(arena);
    return st;
}

static Status compute_both(Trainer *tr, const Dataset *d, const Largest *l, bool training)
{
    Status st = OK;
    TRY(compute(tr, d, l, &l->most, training));
    if (!largest_is_one(l)) TRY(compute(tr, d, l, &l->long_one, training));
done:
    return st;
}

Status footprint_rehearse(Trainer *tr)
{
    const SamplerConfig *c = &tr->sampler_config;
    if (!stream_is_device(tr->machine.stream) || tr->global_step >= tr->max_steps) return OK;
    if (tr->largest.uniform && sampler_begins_full(c, tr->global_step, tr->machine.group->rank)) return OK;
    return compute_both(tr, tr->train_set, &tr->largest, true);
}

Status footprint_of_evaluation(Trainer *tr, const EvalPlan *plan)
{
    Status st = OK;
    Arena *arena = NULL;
    Largest largest;
    LargestQuery q = query(tr, tr->eval_set);
    if (tr->evaluated || !stream_is_device(tr->machine.stream)) return OK;
    tr->evaluated = true;
    TRY(arena_new(&arena));
    TRY(largest_in_evaluation(&q, plan, arena, &largest));
    if (!largest.uniform) TRY(compute_both(tr, tr->eval_set, &largest, false));
done:
    arena_free(arena);
    return st;
}

/* How much larger the largest micro-batches are than those of this update. */
static double factor_of(const Largest *l, const Step *step)
{
    int64_t rows = 0, longest = 0;
    for (int i = 0; i < step->count; i++) {
        const Batch *b = &step->micro[i];
        if (b->rows > rows) rows = b->rows;
        if (b->max_seqlen > longest) longest = b->max_seqlen;
    }
    if (!rows || !longest) return 1;
    double more = (double)l->most.rows / (double)rows, longer = (double)l->long_one.longest / (double)longest;
    double factor = more > longer ? more : longer;
    return factor < MOST_FACTOR ? factor : MOST_FACTOR;
}

void footprint_settle(Trainer *tr, const Step *step)
{
    if (tr->settled) {
        tape_end(&tr->tape);
        return;
    }
    tr->settled = true;
    tape_end(&tr->tape);
    if (stream_is_device(tr->machine.stream)) return;
    double factor = factor_of(&tr->largest, step);
    if (factor > 1) tape_expect(&tr->tape, factor);
    stream_expect(tr->machine.stream, factor > 1 ? factor : 1);
}
