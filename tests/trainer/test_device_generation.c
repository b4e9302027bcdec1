/* links: callbacks */
/* Texts from a device (hone-emulated): those of the CPU, for each model of the fixtures, alone, many at once, several
 * to one prompt, in any order of threads, blocks and queued work. */
#include <dirent.h>

#include "tests/trainer/device_run.h"

#define TEXTS "'hello there' 'so it' '' 'a'"

/* Models by their names alone. */
static int setup_texts(void **state) { return setup(state) || chdir("tests/fixtures/models"); }

/* Into dir/out. */
static void answers(const char *program, const char *device, const char *model, const char *options, const char *out)
{
    static int seed;
    if (run("HONE_EMU_SEED=%d %s pipeline text-generation --device %s --model %s --num_threads 1 %s >%s/%s 2>%s/log",
            seed++ % 5, program, device, model, options, dir, out, dir))
        fail_msg("%s on %s %s failed (%d)", model, device, options, run("cat %s/log", dir));
}

static void same_answers(const char *model, const char *options)
{
    answers(host_program, "cpu", model, options, "host");
    answers(device_program, "cuda", model, options, "device");
    if (run("cmp %s/host %s/device", dir, dir)) fail_msg("%s %s: other texts", model, options);
}

static void every_model_says_on_a_device_what_it_says_on_the_cpu(void **state)
{
    (void)state;
    int count = 0;
    if (!emulated) skip();
    DIR *models = opendir(".");
    assert_non_null(models);
    for (struct dirent *entry; (entry = readdir(models));) {
        char path[512];
        snprintf(path, sizeof path, "%s/tokenizer.json", entry->d_name);
        if (*entry->d_name == '.' || !path_exists(path)) continue;
        same_answers(entry->d_name, "--max_new_tokens 9 " TEXTS);
        count++;
    }
    closedir(models);
    assert_true(count > 5);
}

static void many_texts_and_many_answers(void **state)
{
    (void)state;
    char options[4096] = "--max_new_tokens 4 --batch_size 40";
    if (!emulated) skip();
    for (int i = 0; i < 40; i++) /* more than scores come in one copy */
        snprintf(options + strlen(options), sizeof options - strlen(options), " 'text number %d'", i);
    same_answers("gpt2_tiny", options);
    same_answers("gpt2_tiny", "--max_new_tokens 6 --do_sample true --seed 3 --num_return_sequences 3 " TEXTS);
    same_answers("gpt2_tiny", "--max_new_tokens 6 --repetition_penalty 1.3 --no_repeat_ngram_size 2 " TEXTS);
}

static void refused(const char *program, const char *device, const char *says)
{
    assert_int_not_equal(run("%s pipeline text-generation --device %s --model gpt2_tiny hello >%s/log 2>&1", program,
                             device, dir), 0);
    if (run("grep -q '%s' %s/log", says, dir)) fail_msg("not said: %s (%d)", says, run("cat %s/log", dir));
}

static void a_device_that_is_none_is_refused(void **state)
{
    (void)state;
    if (!emulated) skip();
    refused(device_program, "gpu", "device must be auto, cpu or cuda, and is `gpu`");
    char none[4200];
    snprintf(none, sizeof none, "HONE_EMU_DEVICES=0 %s", device_program);
    refused(none, "cuda", "device: cuda: .*; write device: cpu");
    snprintf(none, sizeof none, "HONE_EMU_MEMORY_MB=0 %s", device_program);
    refused(none, "cuda", "out of memory: .* MB of weights: cuda:0: asked for .* MB; .* GB in use here");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_model_says_on_a_device_what_it_says_on_the_cpu),
        cmocka_unit_test(many_texts_and_many_answers),
        cmocka_unit_test(a_device_that_is_none_is_refused),
    };
    return cmocka_run_group_tests(tests, setup_texts, teardown);
}
