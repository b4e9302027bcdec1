/* links: callbacks */
/* Which kernels a training run takes on a device, by the emulator's log of launches: GPT-2 with heads of 64 in bf16 and
 * fp16 has its attention on tensor cores, forward and backward, and the norms that move 16 bytes at a time; nothing of
 * its attention or norms goes another way. Runs hone-emulated; passed over where that was not built. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "trainer/base/file.h"

static char dir[] = "/tmp/hone-paths-XXXXXX", program[4096], log_path[64];

static int setup(void **state)
{
    (void)state;
    if (!realpath("hone-emulated", program)) *program = 0;
    assert_non_null(mkdtemp(dir));
    setenv("HONE_CACHE", dir, 1);
    snprintf(log_path, sizeof log_path, "%s/launches", dir);
    return chdir(FIXTURES "/../..");
}

static int teardown(void **state)
{
    (void)state;
    return dir_remove(dir) != OK;
}

static void train(const char *overrides, const char *options)
{
    char command[8192];
    snprintf(command, sizeof command,
             "rm -rf %s/out %s; HONE_EMU_LOG=%s %s train --device cuda --model_type gpt2 --config_overrides"
             " n_layer=1,n_embd=128,n_head=2,n_positions=16,vocab_size=320,bos_token_id=319,%s"
             " --tokenizer_name tests/fixtures/models/gpt2_tiny --train_file tests/fixtures/data/validation.txt"
             " --block_size 16 --max_train_samples 8 --per_device_train_batch_size 2 --max_steps 2 --disable_tqdm"
             " --num_threads 1 --output_dir %s/out --save_strategy no --report_to none %s >%s/log 2>&1",
             dir, log_path, log_path, program, overrides, dir, options, dir);
    if (system(command)) {
        snprintf(command, sizeof command, "cat %s/log", dir);
        fail_msg("%s failed (%d)", options, system(command));
    }
}

static int launches_of(const char *kernel)
{
    int count = 0;
    char line[4096], text[200];
    FILE *f = fopen(log_path, "r");
    assert_non_null(f);
    snprintf(text, sizeof text, " %s grid ", kernel);
    while (fgets(line, sizeof line, f)) count += strstr(line, text) != NULL;
    fclose(f);
    return count;
}

/* Two steps of one layer with three norms, in `type`; variant: of the attention. */
static void assert_takes(const char *overrides, const char *options, const char *type, const char *variant)
{
    static const struct { const char *format; int least; /* 0: none */ } expected[] = {
        {"mma_forward<64, %s, %s>", 2},   {"mma_queries<64, %s, %s>", 2},   {"mma_keys<64, %s, %s>", 2},
        {"forward<1, %s>", 0},            {"queries<1, %s>", 0},            {"keys<1, %s>", 0},
        {"forward_short<%s, true>", 6},   {"backward_short<%s, true>", 6},  {"forward_short<%s, false>", 0},
        {"backward_short<%s, false>", 0}, {"backward_long<%s, false>", 0},  {"forward_long<%s, false>", 0},
    };
    train(overrides, options);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        char name[200];
        snprintf(name, sizeof name, expected[i].format, type, variant);
        int count = launches_of(name);
        if (expected[i].least ? count < expected[i].least : count > 0)
            fail_msg("%s: %d launches of %s", options, count, name);
    }
}

static void attention_and_norms_take_the_fast_ways(void **state)
{
    (void)state;
    if (!*program) skip();
    assert_takes("attn_pdrop=0.1", "--bf16", "__nv_bfloat16", "true");
    assert_takes("attn_pdrop=0", "--bf16", "__nv_bfloat16", "false");
    assert_takes("attn_pdrop=0", "--fp16", "__half", "false");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(attention_and_norms_take_the_fast_ways)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
