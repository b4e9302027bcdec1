/* The one place where commands that generate open a model: its directory, tokenizer, generation settings, machine,
 * weights. `hone pipeline text-generation` and `hone chat` are its users.
 *
 *     GenerationModel m = {.defaults = DEFAULTS_PIPELINE};
 *     TRY(generation_model_options(&m, argc, argv, own, count, &first_word));
 *     TRY(generation_model_open(&m));
 *     … m.generator, m.config, m.tokenizer …
 *     generation_model_close(&m);
 */
#ifndef HONE_CLI_GENERATION_MODEL_H
#define HONE_CLI_GENERATION_MODEL_H

#include "trainer/cli/cli.h"
#include "trainer/generate/generate.h"
#include "trainer/trainer.h"

typedef struct GenerationModel {
    GenerationDefaults defaults; /* set before */

    /* generation_model_options */
    const char *dir, *device;
    OptionTexts adapters;
    int64_t num_threads;
    cJSON *call; /* what the command line says of generation */

    /* generation_model_open */
    GenerationConfig config; /* lists in arena */
    Arena *arena;
    Machine machine;
    const char *model_dir, *tokenizer_dir; /* dir, or those that an adapter says */
    LoraSet *adapted; /* of no adapter too: nothing trains, so weights stay as their file has them */
    Tokenizer *tokenizer;
    Model *model;
    float *weights;
    Generator *generator;
} GenerationModel;

/* Reads --model, --device, --num_threads, every generation parameter and the command's own options. STATUS_USAGE: all
 * problems in one go. */
Status generation_model_options(GenerationModel *m, int argc, char **argv, const Option *own, int num_own,
                                int *first_word);
Status generation_model_open(GenerationModel *m);
void generation_model_close(GenerationModel *m); /* all zero is fine */
/* Help of the options that it reads: those of the model, those of generation. */
void generation_model_help(void);
void generation_settings_help(void);

#endif
