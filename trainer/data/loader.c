/* A ring of three slots: the step that the trainer holds, and two ahead of it. The thread makes item i in slot i mod 3
 * as soon as item i - 3 has been given back, which loader_next does with the step that it gave before. */
#include "trainer/data/loader.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 3 };

typedef struct Slot {
    Step step;
    Arena *arena;
} Slot;

struct Loader {
    LoaderConfig c;
    EvalPlan evaluation;
    int64_t count; /* items in all */
    Slot slots[SLOTS];
    int64_t *index;   /* of an evaluation batch */
    int32_t *ordinal; /* likewise */
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mutex;
    pthread_cond_t made_one, gave_back;
    int64_t made, given, back; /* items: back <= given <= made <= back + SLOTS */
    bool stopping;
    Status st; /* of the item `made`, which will not come */
    char *message;
};

static Status collate(Loader *l, Slot *slot, int i, const int64_t *index, const int32_t *ordinal, int count)
{
    Status st = OK;
    Step *step = &slot->step;
    Batch *batch = &step->micro[i];
    TRY(l->c.collate(l->c.context, l->c.dataset, index, ordinal, count, slot->arena, batch));
    step->targets += batch->targets;
    step->hf_targets += batch->hf_targets;
    step->rows += batch->rows;
    step->padded_tokens += batch->padded_width ? (int64_t)batch->num_seqs * batch->padded_width : batch->rows;
    step->sequences += batch->num_seqs;
done:
    return st;
}

static Status make_update(Loader *l, Slot *slot, int64_t item)
{
    Status st = OK;
    UpdatePlan plan;
    Step *step = &slot->step;
    TRY(sampler_update(l->c.sampler, l->c.first_update + item, l->c.rank, &plan));
    *step = (Step){.update = plan.update, .epoch = plan.epoch, .count = plan.count, .samples = plan.samples};
    TRY_NEW(slot->arena, step->micro, plan.count);
    for (int i = 0; i < plan.count; i++)
        TRY(collate(l, slot, i, plan.micro[i].index, plan.micro[i].ordinal, plan.micro[i].count));
done:
    return st;
}

static Status make_evaluation(Loader *l, Slot *slot, int64_t item)
{
    Status st = OK;
    int64_t number, first;
    int count;
    Step *step = &slot->step;
    eval_plan_batch(&l->evaluation, item, &number, &first, &count);
    *step = (Step){.update = number, .count = 1, .samples = count};
    TRY_NEW(slot->arena, step->micro, 1);
    for (int b = 0; b < count; b++) {
        l->index[b] = first + b;
        l->ordinal[b] = b;
    }
    TRY(collate(l, slot, 0, l->index, l->ordinal, count));
done:
    return st;
}

static void *run(void *context)
{
    Loader *l = context;
    pthread_mutex_lock(&l->mutex);
    while (l->made < l->count) {
        while (!l->stopping && l->made - l->back == SLOTS) pthread_cond_wait(&l->gave_back, &l->mutex);
        if (l->stopping) break;
        const int64_t item = l->made;
        Slot *slot = &l->slots[item % SLOTS];
        pthread_mutex_unlock(&l->mutex);
        arena_reset(slot->arena);
        const Status st = l->c.evaluation ? make_evaluation(l, slot, item) : make_update(l, slot, item);
        char *message = st != OK ? strdup(status_message()) : NULL;
        pthread_mutex_lock(&l->mutex);
        if (st == OK) l->made++;
        l->st = st;
        l->message = message;
        pthread_cond_signal(&l->made_one);
        if (st != OK) break;
    }
    pthread_mutex_unlock(&l->mutex);
    return NULL;
}

/* The thread takes no signals: they are the program's. */
static Status start(Loader *l)
{
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    l->has_thread = pthread_create(&l->thread, NULL, run, l) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return l->has_thread ? OK : status_raise(STATUS_MEMORY, "cannot start the loader's thread");
}

Status loader_new(const LoaderConfig *config, Loader **out)
{
    Status st = OK;
    Loader *l = calloc(1, sizeof *l);

    *out = NULL;
    if (!l) RAISE(MEMORY, "no memory for a loader");
    pthread_mutex_init(&l->mutex, NULL);
    pthread_cond_init(&l->made_one, NULL);
    pthread_cond_init(&l->gave_back, NULL);
    l->c = *config;
    l->count = config->last_update - config->first_update;
    if (config->evaluation) {
        l->evaluation = *config->evaluation;
        l->c.evaluation = &l->evaluation;
        l->count = eval_plan_rank_batches(&l->evaluation);
        l->index = malloc((size_t)l->evaluation.batch * sizeof *l->index);
        l->ordinal = malloc((size_t)l->evaluation.batch * sizeof *l->ordinal);
        if (!l->index || !l->ordinal) RAISE(MEMORY, "no memory for a batch of %d", l->evaluation.batch);
    }
    for (int i = 0; i < SLOTS; i++) {
        TRY(arena_new(&l->slots[i].arena));
        TRY(arena_reserve(l->slots[i].arena, config->step_bytes));
    }
    TRY(start(l));
    *out = l;
    l = NULL;
done:
    loader_free(l);
    return st;
}

Status loader_next(Loader *l, const Step **out)
{
    Status st = OK;
    *out = NULL;
    pthread_mutex_lock(&l->mutex);
    if (l->back < l->given) {
        l->back = l->given;
        pthread_cond_signal(&l->gave_back);
    }
    while (l->given < l->count && l->given == l->made && l->st == OK) pthread_cond_wait(&l->made_one, &l->mutex);
    if (l->given < l->made) *out = &l->slots[l->given++ % SLOTS].step;
    else if (l->st != OK) st = status_raise(l->st, "%s", l->message ? l->message : "out of memory");
    pthread_mutex_unlock(&l->mutex);
    return st;
}

void loader_free(Loader *l)
{
    if (!l) return;
    pthread_mutex_lock(&l->mutex);
    l->stopping = true;
    pthread_cond_signal(&l->gave_back);
    pthread_mutex_unlock(&l->mutex);
    if (l->has_thread) pthread_join(l->thread, NULL);
    for (int i = 0; i < SLOTS; i++) arena_free(l->slots[i].arena);
    pthread_cond_destroy(&l->made_one);
    pthread_cond_destroy(&l->gave_back);
    pthread_mutex_destroy(&l->mutex);
    free(l->message);
    free(l->index);
    free(l->ordinal);
    free(l);
}
