/* A run without a model: flat arrays whose every element is a function of the step, so that what is loaded can be
 * checked against the step it claims to be of. Also ranks that are threads. */
#ifndef HONE_TESTS_TOY_RUN_H
#define HONE_TESTS_TOY_RUN_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <unistd.h>

#include "trainer/base/file.h"
#include "trainer/checkpoint/checkpoint.h"

enum { TOY_PARAMETERS = 5, TOY_RANGES = 64 };

typedef struct Toy {
    int rank, size;
    int64_t total;
    FlatParameter parameters[TOY_PARAMETERS];
    NamedTensor tensors[TOY_PARAMETERS];
    FlatRange ranges[TOY_RANGES];
    FlatState states[2];
    OptimizerPiece piece;
    float *weights, *compact[2];
    int64_t owned;
} Toy;

static inline float toy_value(int64_t step, int array, int64_t i)
{
    return (float)((step * 7919 + array * 104729 + i * 31) % 16000057);
}

/* Blocks of `block` elements dealt out in turn, as a sharded optimizer does; states are kept without gaps. */
static inline void toy_deal(Toy *t, int64_t block)
{
    size_t n = 0;
    for (int64_t b = 0; b * block < t->total; b++) {
        if (b % t->size != t->rank || n == TOY_RANGES) continue;
        int64_t end = (b + 1) * block < t->total ? (b + 1) * block : t->total;
        t->ranges[n] = (FlatRange){.begin = b * block, .end = end, .at = t->owned};
        t->owned += end - b * block;
        n++;
    }
    t->piece.range_count = n;
}

/* scale: multiplies the sizes. */
static inline Toy *toy_new(int rank, int size, int64_t scale)
{
    static const struct {
        const char *name;
        int ndim;
        int64_t shape[2];
    } shapes[TOY_PARAMETERS] = {{"wte.weight", 2, {17, 5}},
                                {"h.0.ln.bias", 1, {5}},
                                {"h.0.weight", 2, {11, 13}},
                                {"scalar", 0, {0}},
                                {"empty", 1, {0}}};
    Toy *t = calloc(1, sizeof *t);
    t->rank = rank;
    t->size = size;
    for (int i = 0; i < TOY_PARAMETERS; i++) {
        FlatParameter *p = &t->parameters[i];
        *p = (FlatParameter){.name = shapes[i].name, .ndim = shapes[i].ndim, .offset = t->total, .numel = 1};
        for (int d = 0; d < p->ndim; d++) {
            p->shape[d] = shapes[i].shape[d] * (d == 0 ? scale : 1);
            p->numel *= p->shape[d];
        }
        t->total += (p->numel + 15) / 16 * 16; /* padding between parameters */
    }
    t->weights = calloc((size_t)t->total, sizeof *t->weights);
    for (int i = 0; i < TOY_PARAMETERS; i++) {
        const FlatParameter *p = &t->parameters[i];
        t->tensors[i] = (NamedTensor){.name = p->name, .ndim = p->ndim, .data = t->weights + p->offset};
        memcpy(t->tensors[i].shape, p->shape, sizeof p->shape);
    }
    toy_deal(t, scale == 1 ? 64 : (t->total / 7 + 15) / 16 * 16);
    for (int s = 0; s < 2; s++) {
        t->compact[s] = calloc((size_t)t->owned + 1, sizeof(float));
        t->states[s] = (FlatState){s ? "exp_avg_sq" : "exp_avg", t->compact[s]};
    }
    t->piece.parameters = t->parameters;
    t->piece.parameter_count = TOY_PARAMETERS;
    t->piece.ranges = t->ranges;
    t->piece.states = t->states;
    t->piece.state_count = 2;
    return t;
}

static inline void toy_free(Toy *t)
{
    if (!t) return;
    free(t->weights);
    free(t->compact[0]);
    free(t->compact[1]);
    free(t);
}

static inline void toy_set(Toy *t, int64_t step)
{
    for (int64_t i = 0; i < t->total; i++) t->weights[i] = toy_value(step, 0, i);
    for (size_t r = 0; r < t->piece.range_count; r++)
        for (int64_t i = t->ranges[r].begin; i < t->ranges[r].end; i++)
            for (int s = 0; s < 2; s++)
                t->compact[s][t->ranges[r].at + i - t->ranges[r].begin] = toy_value(step, s + 1, i);
}

/* NULL when all is as toy_set(step) left it, else what is not. Padding is nobody's. */
static inline const char *toy_wrong(const Toy *t, int64_t step)
{
    static _Thread_local char text[128];
    for (int p = 0; p < TOY_PARAMETERS; p++)
        for (int64_t i = t->parameters[p].offset; i < t->parameters[p].offset + t->parameters[p].numel; i++) {
            if (t->weights[i] != toy_value(step, 0, i))
                return snprintf(text, sizeof text, "%s, flat %ld: weight %g", t->parameters[p].name, (long)i,
                                t->weights[i]),
                       text;
            for (size_t r = 0; r < t->piece.range_count; r++) {
                if (i < t->ranges[r].begin || i >= t->ranges[r].end) continue;
                for (int s = 0; s < 2; s++) {
                    float x = t->compact[s][t->ranges[r].at + i - t->ranges[r].begin];
                    if (x != toy_value(step, s + 1, i))
                        return snprintf(text, sizeof text, "%s, flat %ld: %s %g", t->parameters[p].name, (long)i,
                                        t->states[s].name, x),
                               text;
                }
            }
        }
    return NULL;
}

static inline Status toy_begin(CheckpointStore *store, const Toy *t, int64_t step, int64_t best)
{
    static const MetadataPair pairs[] = {{"step", "ten"}};
    char state[64], rng[32];
    SmallFile files[3] = {{"config.json", "{}\n", 3}, {"trainer_state.json", state, 0}, {"empty.txt", "", 0}};
    SmallFile mine = {rng, "rng", 3};
    files[1].size = (size_t)snprintf(state, sizeof state, "{\"global_step\": %ld}\n", (long)step);
    snprintf(rng, sizeof rng, "rng_state_%d.json", t->rank);
    SaveRequest r = {.step = step,
                     .best_step = best,
                     .tensors = t->tensors,
                     .tensor_count = TOY_PARAMETERS,
                     .optimizer = t->piece,
                     .optimizer_metadata = pairs,
                     .optimizer_metadata_count = 1,
                     .files = t->rank ? &mine : files,
                     .file_count = t->rank ? 1 : 3};
    return checkpoint_save_begin(store, &r);
}

/* Sets, saves, waits. */
static inline Status toy_save(CheckpointStore *store, Toy *t, int64_t step, int64_t best)
{
    toy_set(t, step);
    Status st = toy_begin(store, t, step, best);
    return st == OK ? checkpoint_wait(store) : st;
}

/* Loads a checkpoint into t, wiped first. */
static inline Status toy_load(Toy *t, const char *path)
{
    Status st = OK;
    Arena *arena = NULL;
    MetadataPair *pairs;
    size_t count;
    toy_set(t, -1);
    TRY(arena_new(&arena));
    TRY(checkpoint_load_tensors(path, NULL, t->tensors, TOY_PARAMETERS, true));
    TRY(checkpoint_load_optimizer(path, &t->piece, arena, &pairs, &count));
    if (count != 2 || strcmp(pairs[1].value, "ten") != 0) RAISE(BUG, "metadata is lost");
done:
    arena_free(arena);
    return st;
}

/* ---- ranks that are threads ---- */
typedef struct Meeting {
    int size;
    pthread_barrier_t barrier;
    Status status[16];
    char message[16][4096];
    char shared[8192];
} Meeting;

typedef struct Seat {
    Meeting *meeting;
    int rank;
} Seat;

static inline Status meeting_agree(void *context, Status mine)
{
    Seat *seat = context;
    Meeting *m = seat->meeting;
    m->status[seat->rank] = mine;
    snprintf(m->message[seat->rank], sizeof m->message[0], "%s", mine == OK ? "" : status_message());
    pthread_barrier_wait(&m->barrier);
    Status st = OK;
    for (int r = 0; r < m->size && st == OK; r++)
        if (m->status[r] != OK) st = status_raise(m->status[r], "%s", m->message[r]);
    pthread_barrier_wait(&m->barrier);
    return st;
}

static inline Status meeting_broadcast(void *context, void *data, size_t size)
{
    Seat *seat = context;
    Meeting *m = seat->meeting;
    if (seat->rank == 0) memcpy(m->shared, data, size);
    pthread_barrier_wait(&m->barrier);
    memcpy(data, m->shared, size);
    pthread_barrier_wait(&m->barrier);
    return OK;
}

typedef struct RankThread {
    Seat seat;
    RankGroup group;
    pthread_t thread;
    const char *(*body)(const RankGroup *group, void *argument); /* NULL, or what went wrong */
    void *argument;
    const char *wrong;
    char text[4096];
} RankThread;

static inline void *rank_main(void *context)
{
    RankThread *r = context;
    const char *wrong = r->body(&r->group, r->argument);
    if (wrong) snprintf(r->text, sizeof r->text, "rank %d: %s", r->seat.rank, wrong);
    r->wrong = wrong ? r->text : NULL;
    return NULL;
}

/* Runs body on `size` threads; NULL, or the first complaint (in a static buffer). */
static inline const char *on_ranks(int size, const char *(*body)(const RankGroup *, void *), void *argument)
{
    static char complaint[4096];
    static RankThread ranks[16];
    Meeting *m = calloc(1, sizeof *m);
    m->size = size;
    pthread_barrier_init(&m->barrier, NULL, (unsigned)size);
    for (int r = 0; r < size; r++) {
        ranks[r] = (RankThread){.seat = {m, r}, .body = body, .argument = argument};
        ranks[r].group = (RankGroup){r, size, &ranks[r].seat, meeting_agree, meeting_broadcast};
        pthread_create(&ranks[r].thread, NULL, rank_main, &ranks[r]);
    }
    const char *wrong = NULL;
    for (int r = 0; r < size; r++) {
        pthread_join(ranks[r].thread, NULL);
        if (ranks[r].wrong && !wrong) wrong = strcpy(complaint, ranks[r].wrong);
    }
    pthread_barrier_destroy(&m->barrier);
    free(m);
    return wrong;
}

/* Standard error goes nowhere while errors are provoked by the hundred; returns what unhush needs. */
static inline int hush(void)
{
    int kept = dup(2), null = open("/dev/null", O_WRONLY);
    if (null >= 0) dup2(null, 2), close(null);
    return kept;
}

static inline void unhush(int kept)
{
    dup2(kept, 2);
    close(kept);
}

/* A fresh directory in memory where there is one: syncing there costs nothing. */
static inline bool scratch_dir(char root[static 64])
{
    strcpy(root, path_is_dir("/dev/shm") ? "/dev/shm/hone-checkpoint-XXXXXX" : "/tmp/hone-checkpoint-XXXXXX");
    return mkdtemp(root) || (strcpy(root, "/tmp/hone-checkpoint-XXXXXX"), mkdtemp(root));
}

#endif
