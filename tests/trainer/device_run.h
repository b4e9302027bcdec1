/* `hone train` by the programs in the working directory, on the CPU and, where the emulator was built, on the emulated
 * device (hone-emulated), and the curves that come of it. */
#ifndef HONE_TESTS_TRAINER_DEVICE_RUN_H
#define HONE_TESTS_TRAINER_DEVICE_RUN_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "trainer/base/file.h"
#include "trainer/callbacks/state.h"

#define UNUSED_FN static inline __attribute__((unused))

#define MODEL "n_layer=2,n_embd=24,n_head=2,n_positions=16,vocab_size=320,bos_token_id=319"
enum { STEPS = 8, HALF = 4 };

static char dir[] = "/tmp/hone-device-XXXXXX", host_program[4096], device_program[4096];
static bool emulated;
static int ranks = 1; /* of a run on the device, each with one of its own */

UNUSED_FN int setup(void **state)
{
    (void)state;
    assert_non_null(realpath("hone", host_program));
    emulated = realpath("hone-emulated", device_program) != NULL;
    assert_non_null(mkdtemp(dir));
    setenv("HONE_CACHE", dir, 1);
    return chdir(FIXTURES "/../..");
}

UNUSED_FN int teardown(void **state)
{
    (void)state;
    return dir_remove(dir) != OK;
}

static inline int run(const char *format, ...) __attribute__((format(printf, 1, 2), unused));
static inline int run(const char *format, ...)
{
    char command[16384];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    return system(command);
}

/* What starts as many ranks. */
UNUSED_FN const char *launcher(void)
{
    static char text[128];
    *text = '\0';
    if (ranks > 1)
        snprintf(text, sizeof text, "HONE_EMU_DEVICES=%d mpirun --oversubscribe --timeout 100 -np %d", ranks, ranks);
    return text;
}

/* Trains into dir/out; on a device in another order of threads, blocks and queued work each time. */
UNUSED_FN void train(bool on_device, const char *out, const char *options)
{
    static int seed;
    int failed = run("HONE_EMU_SEED=%d %s %s train --device %s --model_type gpt2 --config_overrides " MODEL
                     " --tokenizer_name tests/fixtures/models/gpt2_tiny --train_file tests/fixtures/data/validation.txt"
                     " --validation_file tests/fixtures/data/validation.txt --max_eval_samples 10 --block_size 16"
                     " --max_train_samples 40 --per_device_train_batch_size 3 --learning_rate 1e-2 --max_steps %d"
                     " --logging_steps 1 --disable_tqdm --num_threads 1 --output_dir %s/%s --save_strategy no"
                     " --report_to none %s >%s/log 2>&1",
                     seed++ % 5, launcher(), on_device ? device_program : host_program, on_device ? "cuda" : "cpu",
                     STEPS, dir, out, options, dir);
    if (failed) fail_msg("%s %s failed (%d)", out, options, run("cat %s/log", dir));
    assert_int_equal(run("grep -q ', %s, %d ranks* of 1 thread' %s/log",
                         on_device ? "cuda\\( in b*float16\\)*" : "cpu/[a-z0-9]*\\( in b*float16\\)*", ranks, dir), 0);
}

UNUSED_FN void read_state(const char *out, TrainerState *s)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/trainer_state.json", dir, out);
    state_init(s);
    assert_int_equal(state_read(s, path), OK);
}

/* Losses, norms and evaluations of two runs, within a share of each; in f32 they differ by rounding, which training
 * makes larger. */
static const double ROUNDING = 2e-5;
UNUSED_FN void same_curves(const char *a, const char *b, double share, const char *what)
{
    static const char *const keys[] = {"loss", "grad_norm", "eval_loss", "train_loss"};
    TrainerState x, y;
    int compared = 0;
    read_state(a, &x), read_state(b, &y);
    assert_int_equal(state_log_count(&x), state_log_count(&y));
    for (size_t i = 0; i < state_log_count(&x); i++) {
        LogEntry e, f;
        state_log_get(&x, i, &e), state_log_get(&y, i, &f);
        for (size_t j = 0; j < sizeof keys / sizeof *keys; j++) {
            double want = logentry_get(&e, keys[j], NAN), got = logentry_get(&f, keys[j], NAN);
            if (isnan(want) && isnan(got)) continue;
            if (!(fabs(want - got) <= share * fabs(want)))
                fail_msg("%s: step %g: %s is %.9g and %.9g", what, logentry_get(&e, "step", 0), keys[j], want, got);
            compared++;
        }
    }
    assert_true(compared >= 2 * STEPS);
    state_free(&x), state_free(&y);
}

/* The largest relative difference of a number between the log entries of two runs; -1: it is in none. */
UNUSED_FN double worst(const char *a, const char *b, const char *key)
{
    TrainerState x, y;
    double most = -1;
    read_state(a, &x), read_state(b, &y);
    assert_int_equal(state_log_count(&x), state_log_count(&y));
    for (size_t i = 0; i < state_log_count(&x); i++) {
        LogEntry e, f;
        state_log_get(&x, i, &e), state_log_get(&y, i, &f);
        double want = logentry_get(&e, key, NAN), got = logentry_get(&f, key, NAN);
        if (isnan(want) && isnan(got)) continue;
        double share = fabs(want - got) / fabs(want);
        if (!(share <= most)) most = share;
    }
    state_free(&x), state_free(&y);
    return most;
}

UNUSED_FN double logged(const char *out, size_t entry, const char *key)
{
    TrainerState s;
    LogEntry e;
    read_state(out, &s);
    assert_true(entry < state_log_count(&s));
    state_log_get(&s, entry, &e);
    state_free(&s);
    return logentry_get(&e, key, NAN);
}

/* eval_loss that `hone eval` prints of the model in dir/name. */
UNUSED_FN double evaluate(bool on_device, const char *name, const char *options)
{
    char path[4096], line[4096] = "";
    cJSON *metrics;
    int failed = run("%s eval --device %s --model_name_or_path %s/%s --validation_file "
                     "tests/fixtures/data/validation.txt --max_eval_samples 10 --block_size 16 --disable_tqdm "
                     "--num_threads 1 --output_dir %s/none %s 2>%s/log >%s/metrics",
                     on_device ? device_program : host_program, on_device ? "cuda" : "cpu", dir, name, dir, options,
                     dir, dir);
    if (failed) fail_msg("eval %s failed (%d)", options, run("cat %s/log", dir));
    snprintf(path, sizeof path, "%s/metrics", dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    fclose(f);
    assert_int_equal(json_parse(line, strlen(line), path, &metrics), OK);
    const cJSON *loss = cJSON_GetObjectItemCaseSensitive(metrics, "eval_loss");
    double value = cJSON_IsNumber(loss) ? loss->valuedouble : NAN;
    cJSON_Delete(metrics);
    return value;
}

UNUSED_FN void remove_runs(void) { assert_int_equal(run("rm -rf %s/*/", dir), 0); }

/* Their difference is at least and at most such a share. */
UNUSED_FN void within(const char *a, const char *b, const char *key, double least, double most, const char *what)
{
    double share = worst(a, b, key);
    if (!(share >= least && share <= most))
        fail_msg("%s: %s is up to %.3g of it apart, not %.3g to %.3g", what, key, share, least, most);
}

/* Lines of dir/file that match. */
UNUSED_FN int count_lines(const char *file, const char *pattern)
{
    char path[4096], text[32] = "";
    assert_true(run("grep -c '%s' %s/%s >%s/count", pattern, dir, file, dir) >= 0);
    snprintf(path, sizeof path, "%s/count", dir);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(text, sizeof text, f));
    fclose(f);
    return atoi(text);
}

/* Trains in two parts, each with options of its own, where the first is lost after its checkpoint at HALF. */
UNUSED_FN void train_in_parts(const char *first, const char *then, bool first_on_device, bool then_on_device,
                              const char *out)
{
    char options[1024];
    snprintf(options, sizeof options, "--save_strategy steps --save_steps %d %s", HALF, first);
    train(first_on_device, out, options);
    assert_int_equal(run("rm -r %s/%s/*.* %s/%s/checkpoint-%d", dir, out, dir, out, STEPS), 0);
    snprintf(options, sizeof options, "--save_strategy steps --save_steps %d --resume_from_checkpoint true %s", HALF,
             then);
    train(then_on_device, out, options);
    assert_int_equal(run("grep -q 'resumed from .*checkpoint-%d at step %d' %s/log", HALF, HALF, dir), 0);
}

#endif
