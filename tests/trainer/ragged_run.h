/* Whole training runs inside a test program: the real loop on ragged sequences that no file holds, on ranks that a test
 * may slow down, many runs in one process. A test-only task gives the data; all else is what `hone train` does. */
#ifndef HONE_TESTS_TRAINER_RAGGED_RUN_H
#define HONE_TESTS_TRAINER_RAGGED_RUN_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/data/sha256.h"
#include "tests/distributed/mpi_test.h"
#include "trainer/trainer.h"

enum { RAGGED_LONGEST = 130, MOST_SEQUENCES = 512, MOST_TOKENS = 1 << 16, RUN_OPTIONS = 96, RUN_STEPS = 8 };

typedef struct RunResult {
    Status st;
    char weights[65];                        /* sha256 of all weights */
    double loss[RUN_STEPS], norm[RUN_STEPS]; /* as logged */
    double hidden_s[RUN_STEPS], exposed_s[RUN_STEPS];
    int logged;
    double step_ms; /* median */
    int buckets;    /* of gradients */
    size_t kept_bytes,
        scratch_bytes; /* most that the tape held for backward; most gradients of activations and remade outputs */
} RunResult;

extern const Task task_text_generation;

/* What the next run trains on. */
static int64_t ragged_count;
static int64_t (*ragged_length)(int64_t i);
/* Called in its place where it is not NULL: to look on. */
static Tensor *(*ragged_loss)(Tape *t, const Model *m, const Batch *batch, const LossSpec *spec);

/* 1 to 130 tokens, most of them short; the ends and their neighbours are there. */
static inline int64_t length_1_to_130(int64_t i)
{
    static const int64_t first[] = {1, 130, 1, 129, 64, 65, 2, 128, 1, 33};
    if (i < (int64_t)(sizeof first / sizeof *first)) return first[i];
    int64_t u = (i * 7919 + 13) % 101;
    return 1 + u * u * u * (RAGGED_LONGEST - 1) / (100 * 100 * 100);
}

static inline int64_t length_1(int64_t i) { return (void)i, 1; }
static inline int64_t length_256(int64_t i) { return (void)i, 256; }
static inline int64_t length_512(int64_t i) { return (void)i, 512; }

static inline Status ragged_open(const TaskContext *c, Split split, Dataset **out)
{
    int64_t tokens = 0, lengths[MOST_SEQUENCES];
    static int32_t ids[MOST_TOKENS];
    *out = NULL;
    if (split != SPLIT_TRAIN && !c->args->do_eval) return OK;
    for (int64_t i = 0; i < ragged_count; i++) {
        if (i == MOST_SEQUENCES || tokens + ragged_length(i) > MOST_TOKENS)
            return status_raise(STATUS_BUG, "too many tokens for this test");
        lengths[i] = ragged_length(i);
        for (int64_t t = 0; t < lengths[i]; t++)
            ids[tokens++] = (int32_t)((i * 40503 + t * t * 31 + t * 7) % c->model->vocab_size);
    }
    return dataset_from_lists(ids, ragged_count, lengths, out);
}

static inline void read_log(const Trainer *tr, RunResult *out)
{
    LogEntry e;
    for (size_t i = 0; i < state_log_count(&tr->state) && out->logged < RUN_STEPS; i++) {
        state_log_get(&tr->state, i, &e);
        if (!logentry_find(&e, "loss")) continue;
        out->loss[out->logged] = logentry_get(&e, "loss", 0);
        out->norm[out->logged] = logentry_get(&e, "grad_norm", 0);
        out->hidden_s[out->logged] = logentry_get(&e, "communication_hidden", -1);
        out->exposed_s[out->logged++] = logentry_get(&e, "communication_exposed", -1);
    }
}

static inline void hash_weights(Trainer *tr, char out[65])
{
    size_t bytes = (size_t)tr->model->params.flat_count * sizeof(float);
    float *weights = malloc(bytes);
    if (!weights) return;
    tr->machine.k->copy(tr->machine.stream, weights, tr->model->params.weights, bytes);
    stream_sync(tr->machine.stream);
    sha256_hex(weights, bytes, out);
    free(weights);
}

/* One run with these options ("--key value --key value"; no spaces in values) on group, which is closed. Its output_dir
 * is dir. */
static inline RunResult ragged_run(ProcessGroup *group, const char *dir, const char *options)
{
    RunResult r = {0};
    Arena *arena;
    TrainingArguments args;
    Task task = task_text_generation;
    char text[4096], *argv[RUN_OPTIONS], *rest = text;
    int argc = 0;
    snprintf(text, sizeof text,
             "--output_dir %s --overwrite_output_dir --tokenizer_name %s/models/gpt2_tiny --model_type gpt2 "
             "--block_size 48 --save_strategy no "
             "--logging_steps 1 --report_to none --disable_tqdm true --log_level error %s",
             dir, FIXTURES, options);
    for (char *word = strtok_r(text, " ", &rest); word && argc < RUN_OPTIONS; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    task.open = ragged_open;
    if (ragged_loss) task.loss = ragged_loss;

    Trainer tr;
    if ((r.st = arena_new(&arena))) return r;
    if (!(r.st = arguments_load(argc, argv, arena, &args))) {
        trainer_init(&tr, &args, arena);
        tr.task = &task;
        tr.machine.group = group;
        r.st = trainer_run(&tr);
        if (!r.st) {
            read_log(&tr, &r);
            int early;
            gradients_counts(tr.gradients, &early, &r.buckets);
            r.kept_bytes = tr.tape.region.peak;
            r.scratch_bytes = tr.tape.pool.region.peak;
            for (int i = 0; i < TAPE_SLOTS; i++) r.scratch_bytes += tr.tape.slots[i].bytes;
            r.step_ms = 1e3 * step_times_median(&tr.step_times);
            hash_weights(&tr, r.weights);
        }
        trainer_close(&tr);
    }
    arena_free(arena);
    return r;
}

#endif
