/* `hone train` inside a test program, on a model from scratch that takes a step in a millisecond. */
#ifndef HONE_TESTS_TRAINER_TINY_RUN_H
#define HONE_TESTS_TRAINER_TINY_RUN_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/base/file.h"
#include "trainer/trainer.h"

#define TINY_MODEL "n_positions=16,vocab_size=320,bos_token_id=319,n_embd=" /* and the rest */

/* more: options, NULL at the end. */
static inline Status tiny_arguments(const char *output_dir, const char *model, const char *const *more, Arena *arena,
                                    TrainingArguments *out)
{
    enum { MOST = 64 };
    const char *argv[MOST] = {"--model_type", "gpt2", "--config_overrides", model,
                              "--tokenizer_name", FIXTURES "/models/gpt2_tiny",
                              "--train_file", FIXTURES "/data/validation.txt",
                              "--block_size", "8", "--max_train_samples", "20", "--per_device_train_batch_size", "2",
                              "--disable_tqdm", "--num_threads", "1", "--output_dir", output_dir};
    int n = 0;
    while (argv[n]) n++;
    while (*more && n < MOST) argv[n++] = *more++;
    return arguments_load(n, (char **)(uintptr_t)argv, arena, out);
}

/* A fresh directory, in memory where there is one: syncing there costs nothing. Also where caches go. */
static inline bool tiny_directory(char root[static 64])
{
    bool made = mkdtemp(strcpy(root, "/dev/shm/hone-tiny-XXXXXX")) || mkdtemp(strcpy(root, "/tmp/hone-tiny-XXXXXX"));
    return made && setenv("HONE_CACHE", root, 1) == 0;
}

#endif
