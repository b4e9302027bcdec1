/* A curve of tests/fixtures/curves: `hone train` on its run.yaml, and its log beside the reference's. Runs the program
 * that lies in the working directory. */
#ifndef HONE_TESTS_TRAINER_CURVES_H
#define HONE_TESTS_TRAINER_CURVES_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/base/file.h"
#include "trainer/callbacks/state.h"

static char dir[] = "/tmp/hone-curves-XXXXXX", program[4096];

static int setup(void **state)
{
    (void)state;
    assert_non_null(realpath("hone", program));
    assert_non_null(mkdtemp(dir));
    setenv("HONE_CACHE", dir, 1);
    return chdir(FIXTURES "/../..");
}

static int teardown(void **state)
{
    (void)state;
    return dir_remove(dir) != OK;
}

static inline void train(int ranks, const char *name, const char *options)
{
    char command[16384], mpi[128] = "";
    if (ranks > 1) snprintf(mpi, sizeof mpi, "mpirun --oversubscribe --timeout 120 -np %d", ranks);
    snprintf(command, sizeof command,
             "%s %s train tests/fixtures/curves/%s/run.yaml --overwrite_output_dir --output_dir %s/out %s >%s/log 2>&1",
             mpi, program, name, dir, options, dir);
    if (system(command) != 0) {
        snprintf(command, sizeof command, "cat %s/log", dir);
        fail_msg("%s failed (%d)", name, system(command));
    }
}

static inline double number(const cJSON *o, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(o, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

/* The run's entry of that step that has the key. */
static inline double logged(const TrainerState *s, int64_t step, const char *kind, const char *key)
{
    LogEntry e;
    for (size_t i = 0; i < state_log_count(s); i++) {
        state_log_get(s, i, &e);
        if ((int64_t)logentry_get(&e, "step", -1) == step && logentry_find(&e, kind)) return logentry_get(&e, key, NAN);
    }
    return NAN;
}

static inline int compare_line(const char *name, const TrainerState *s, const char *line)
{
    static const char *const keys[] = {"loss",       "grad_norm",  "learning_rate", "eval_loss",
                                       "train_loss", "total_flos", "epoch"};
    cJSON *want;
    assert_int_equal(json_parse(line, strlen(line), name, &want), OK);
    const char *kind = !isnan(number(want, "loss"))        ? "loss"
                       : !isnan(number(want, "eval_loss")) ? "eval_loss"
                                                           : "train_loss";
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        double value = number(want, keys[i]), got = logged(s, (int64_t)number(want, "step"), kind, keys[i]);
        if (isnan(value) || value == got) continue;
        if (!(fabs(got - value) <= 2e-5 * fabs(value)))
            fail_msg("%s: step %g: %s is %.9g, the reference has %.9g", name, number(want, "step"), keys[i], got,
                     value);
    }
    cJSON_Delete(want);
    return 1;
}

/* options: more of the command line. */
static inline void check_with(const char *name, int ranks, const char *options)
{
    char path[4096], line[4096];
    TrainerState s;
    int lines = 0;
    train(ranks, name, options);
    state_init(&s);
    snprintf(path, sizeof path, "%s/out/trainer_state.json", dir);
    assert_int_equal(state_read(&s, path), OK);
    snprintf(path, sizeof path, FIXTURES "/curves/%s/expected.jsonl", name);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) lines += compare_line(name, &s, line);
    fclose(f);
    assert_true(lines > 16);
    state_free(&s);
}

static inline void check(const char *name, int ranks) { check_with(name, ranks, ""); }

#endif
