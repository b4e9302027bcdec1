/* links: callbacks */
/* A step on a device: the host waits once, at its end, and after the first one nothing is allocated. Two runs of which
 * one is longer are compared by what the emulator's log says that the host has asked for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "trainer/base/file.h"

#define SMALL "n_layer=2,n_embd=16,n_head=2,n_positions=16,vocab_size=320,bos_token_id=319"
#define LARGE "n_layer=3,n_embd=32,n_head=2,n_positions=64,vocab_size=320,bos_token_id=319"

static char dir[] = "/tmp/hone-steps-XXXXXX", program[4096];

typedef struct Asked {
    int64_t synchronizes, waits, allocates, pageable;
    int64_t early; /* passes of the optimizer that were queued behind a stop when no forward was. A stop is told before
                      what it waits for, so this is right where all work is done as late as may be */
} Asked;

static int setup(void **state)
{
    (void)state;
    if (!realpath("hone-emulated", program)) return 0;
    assert_non_null(mkdtemp(dir));
    setenv("HONE_CACHE", dir, 1);
    return chdir(FIXTURES "/../..");
}

static int teardown(void **state)
{
    (void)state;
    return *program && dir_remove(dir) != OK;
}

static Asked read_log(const char *path)
{
    enum { DEVICES = 4 };
    Asked a = {0};
    bool forward[DEVICES] = {false};
    char line[4096];
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        int device = line[strlen("cuda:")] - '0';
        assert_true(device >= 0 && device < DEVICES);
        if (!strstr(line, " host ")) {
            if (strstr(line, " gather<")) forward[device] = true;
            if (strstr(line, " step<") && !forward[device]) a.early++;
            continue;
        }
        if (strstr(line, "synchronizes")) forward[device] = false;
        a.synchronizes += strstr(line, "synchronizes") != NULL;
        a.waits += strstr(line, "waits for an event") != NULL;
        a.allocates += strstr(line, "allocates") != NULL;
        a.pageable += strstr(line, "copies pageable") != NULL;
    }
    fclose(f);
    return a;
}

typedef struct Run {
    const char *options;
    int waits; /* for events, that a step may take */
    int ranks; /* each with a device of its own */
    bool large; /* the tape's memory is several blocks at first */
} Run;

static void run(const Run *r, int seed, int steps, Asked *out)
{
    char command[8192], log[64], launcher[128] = "";
    if (r->ranks)
        snprintf(launcher, sizeof launcher, "HONE_EMU_DEVICES=%d mpirun --oversubscribe --timeout 100 -np %d", r->ranks,
                 r->ranks);
    snprintf(log, sizeof log, "%s/calls", dir);
    snprintf(command, sizeof command,
             "rm -rf %s/calls %s/out; HONE_EMU_LOG=%s HONE_EMU_SEED=%d %s %s train --device cuda --model_type gpt2"
             " --config_overrides %s --tokenizer_name tests/fixtures/models/gpt2_tiny"
             " --train_file tests/fixtures/data/validation.txt --block_size %d --max_train_samples 36"
             " --per_device_train_batch_size %d --max_steps %d --logging_steps 1 --disable_tqdm --num_threads 1"
             " --output_dir %s/out --save_strategy no --report_to none %s >%s/log 2>&1",
             dir, dir, log, seed, launcher, program, r->large ? LARGE : SMALL, r->large ? 64 : 16, r->large ? 20 : 2,
             steps, dir, r->options, dir);
    if (system(command)) {
        snprintf(command, sizeof command, "cat %s/log", dir);
        fail_msg("%s failed (%d)", r->options, system(command));
    }
    *out = read_log(log);
}

static void a_step_stops_once_and_after_the_first_allocates_nothing(void **state)
{
    (void)state;
    if (!*program) skip();
    static const Run runs[] = {
        {"", 0, 0, false},
        {"--fp16", 0, 0, false},
        {"", 0, 0, true}, /* every other update has the 16 blocks that are left */
        {"--gradient_accumulation_steps 2 --gradient_checkpointing", 0, 0, false},
        {"--gradient_accumulation_steps 4 --optim sgd", 2, 0, false}, /* for the copy of the batch before the last but
                                                                         one */
        {"--bf16 --gradient_accumulation_steps 2", 0, 0, false},
        {"", 0, 2, false},
        {"--zero_stage 0 --gradient_accumulation_steps 2 --fp16", 0, 2, false},
        {"--full_determinism", 0, 2, false},
    };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++)
        for (int seed = 1; seed < (runs[i].large || runs[i].ranks ? 2 : 3); seed++) {
            const char *options = runs[i].options;
            Asked a, b;
            int64_t steps = runs[i].large ? 1 : 4;
            run(&runs[i], seed, 1, &a), run(&runs[i], seed, 1 + (int)steps, &b);
            if (runs[i].ranks) steps *= runs[i].ranks;
            int64_t waits = b.waits - a.waits;
            if (b.synchronizes - a.synchronizes != steps)
                fail_msg("%s: %d steps stop %d times", options, (int)steps, (int)(b.synchronizes - a.synchronizes));
            if (seed == 1 && b.early) fail_msg("%s: %d stops before the optimizer", options, (int)b.early);
            if (b.allocates != a.allocates)
                fail_msg("%s: %d steps allocate %d times", options, (int)steps, (int)(b.allocates - a.allocates));
            if (b.pageable != a.pageable)
                fail_msg("%s: %d steps copy pageable memory %d times", options, (int)steps,
                         (int)(b.pageable - a.pageable));
            if (waits > steps * runs[i].waits)
                fail_msg("%s: %d steps wait for %d events", options, (int)steps, (int)waits);
        }
}

/* Whatever comes first to a device that is too small. */
static void out_of_memory_says_what_was_asked_and_where(void **state)
{
    (void)state;
    if (!*program) skip();
    for (int megabytes = 2; megabytes <= 72; megabytes += 35) {
        char command[8192];
        snprintf(command, sizeof command,
                 "rm -rf %s/none; HONE_EMU_MEMORY_MB=%d %s train --device cuda --model_type gpt2"
                 " --config_overrides " SMALL " --tokenizer_name tests/fixtures/models/gpt2_tiny"
                 " --train_file tests/fixtures/data/validation.txt"
                 " --block_size 16 --max_train_samples 36 --max_steps 1 --num_threads 1 --disable_tqdm"
                 " --output_dir %s/none --save_strategy no --report_to none >%s/log 2>&1",
                 dir, megabytes, program, dir, dir);
        bool well = system(command) == 0;
        snprintf(command, sizeof command,
                 "grep -q 'error: .*out of memory.*: cuda:0: asked for [0-9.]* MB; [0-9.]* GB in use' %s/log", dir);
        bool says = system(command) == 0;
        snprintf(command, sizeof command, "cat %s/log", dir);
        if (well != (megabytes > 70) || well == says)
            fail_msg("%d MB: %s, %s (%d)", megabytes, well ? "goes well" : "fails", says ? "says so" : "says nothing",
                     system(command));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_step_stops_once_and_after_the_first_allocates_nothing),
                                       cmocka_unit_test(out_of_memory_says_what_was_asked_and_where)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
