/* See generation_model.h. */
#include "trainer/cli/generation_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/models/adapter.h"

enum { SHARED = 4 };

/* The generation parameters among the options: `values` in the order of the keys, then of the refused. */
static Status put_settings(cJSON *call, const char **values, Text *problems)
{
    int num_keys, num_refused;
    const GenerationKey *keys = generation_keys(&num_keys);
    const char *const *refused = generation_refused(&num_refused);
    for (int i = 0; i < num_keys + num_refused; i++) {
        const char *name = i < num_keys ? keys[i].name : refused[i - num_keys];
        Status st = values[i] ? generation_settings_put(call, name, values[i]) : OK;
        if (st && st != STATUS_USAGE && st != STATUS_FORMAT) return st;
        if (st) text_printf(problems, "%s--%s", problems->size ? "\n" : "", status_message());
    }
    return OK;
}

Status generation_model_options(GenerationModel *m, int argc, char **argv, const Option *own, int num_own,
                                int *first_word)
{
    Status st = OK;
    int num_keys, num_refused, count = 0;
    const GenerationKey *keys = generation_keys(&num_keys);
    const char *const *refused = generation_refused(&num_refused);
    size_t all = (size_t)(num_keys + num_refused);
    Option *options = calloc(all + SHARED + (size_t)num_own, sizeof *options);
    const char **values = calloc(all, sizeof *values);
    Text problems = {0};
    m->call = cJSON_CreateObject();
    if (!options || !values || !m->call) RAISE(MEMORY, "out of memory");
    options[count++] = (Option){"model", OPTION_TEXT, &m->dir, 0, 0};
    options[count++] = (Option){"adapter", OPTION_TEXTS, &m->adapters, 0, 0};
    for (int i = 0; i < num_own; i++) options[count++] = own[i];
    options[count++] = (Option){"num_threads", OPTION_INT, &m->num_threads, 0, 4096};
    options[count++] = (Option){"device", OPTION_TEXT, &m->device, 0, 0};
    for (int i = 0; i < num_keys; i++) options[count++] = (Option){keys[i].name, OPTION_TEXT, &values[i], 0, 0};
    for (int i = 0; i < num_refused; i++)
        options[count++] = (Option){refused[i], OPTION_TEXT, &values[num_keys + i], 0, 0};
    TRY(options_parse(argc, argv, options, count, first_word));
    TRY(put_settings(m->call, values, &problems));
    if (!m->dir) text_printf(&problems, "%s--model is missing: a model's directory", problems.size ? "\n" : "");
    if (m->device && strcmp(m->device, "cpu") && strcmp(m->device, "cuda") && strcmp(m->device, "auto"))
        text_printf(&problems, "%s--device must be auto, cpu or cuda, and is `%s`", problems.size ? "\n" : "",
                    m->device);
    if (problems.size) RAISE(USAGE, "%s", problems.data);
done:
    free(options);
    free(values);
    text_free(&problems);
    return st;
}

static bool has_tokenizer(Arena *arena, const char *dir)
{
    const char *path = path_join(arena, dir, "tokenizer.json");
    return path && path_exists(path);
}

/* Where the model, its adapters and the tokenizer are: an adapter may bring the tokenizer that it was trained with. */
static Status find_directories(GenerationModel *m)
{
    Status st = OK;
    TRY(adapters_resolve(m->dir, m->adapters.items, m->adapters.count, m->arena, &m->adapted, &m->model_dir));
    m->tokenizer_dir = m->model_dir;
    for (int i = 0; m->adapted && i < m->adapted->count; i++)
        if (has_tokenizer(m->arena, m->adapted->configs[i].dir)) m->tokenizer_dir = m->adapted->configs[i].dir;
    if (!m->adapted) {
        TRY_NEW(m->arena, m->adapted, 1);
        TRY(lora_set_init(m->adapted, m->arena, NULL, 0));
    }
done:
    return st;
}

/* What can be wrong with files is found before weights are read. */
static Status open_files(GenerationModel *m, cJSON **config)
{
    Status st = OK;
    cJSON *settings = NULL;
    TRY(find_directories(m));
    char *where = path_join(m->arena, m->model_dir, "generation_config.json");
    TRY_MEMORY(where);
    if (!path_exists(where)) TRY_MEMORY(where = path_join(m->arena, m->model_dir, "config.json"));
    TRY(model_config_read(m->model_dir, config)); /* first: it tells best what is no model directory */
    TRY(tokenizer_load(m->tokenizer_dir, &m->tokenizer));
    TRY(generation_settings_read(m->model_dir, m->tokenizer, &settings));
    TRY(generation_config_resolve(m->call, settings, where, m->defaults, m->arena, &m->config));
done:
    cJSON_Delete(settings);
    return st;
}

Status generation_model_open(GenerationModel *m)
{
    Status st = OK;
    cJSON *config = NULL, *mine;
    DeviceChoice device = !m->device || strcmp(m->device, "auto") == 0 ? DEVICE_CHOICE_AUTO
                          : strcmp(m->device, "cuda") == 0             ? DEVICE_CHOICE_CUDA
                                                                       : DEVICE_CHOICE_CPU;
    TRY(arena_new(&m->arena));
    TRY(open_files(m, &config));
    TRY(group_open(&m->machine.group));
    if (m->machine.group->size > 1) RAISE(USAGE, "this command runs alone: start it without mpirun");
    TRY(machine_start(device, m->num_threads, &m->machine));
    mine = config, config = NULL; /* the model takes it over */
    TRY(model_new_adapted(mine, arena_printf(m->arena, "%s/config.json", m->model_dir), m->adapted, &m->model));
    m->model->threads = stream_threads(m->machine.host);
    TRY(model_place(m->model, m->machine.k, m->machine.stream, m->model_dir, 0, &m->weights));
    TRY(generator_new(m->model, m->machine.k, m->machine.stream, m->tokenizer, &m->generator));
done:
    cJSON_Delete(config);
    return st;
}

void generation_model_close(GenerationModel *m)
{
    generator_free(m->generator);
    if (m->machine.stream) stream_release(m->machine.stream, m->weights);
    model_free(m->model);
    tokenizer_free(m->tokenizer);
    machine_close(&m->machine);
    cJSON_Delete(m->call);
    arena_free(m->arena);
}

void generation_model_help(void)
{
    printf("  --model DIR                          a model's directory, or an adapter's that names its model\n"
           "  --adapter DIR                        an adapter beside it, in PEFT's format; several are added up\n"
           "  --num_threads N                      0: as the machine has cores; changes no answer\n"
           "  --device cuda                        compute on a GPU; auto, the default, where one works\n");
}

void generation_settings_help(void)
{
    int count;
    const GenerationKey *keys = generation_keys(&count);
    printf("Generation, as the arguments of transformers' generate(). What is not given here is taken from the\n"
           "model's generation_config.json, then from the defaults in brackets; null switches a thing off.\n\n");
    for (int i = 0; i < count; i++)
        printf("  --%-32s %-16s %s\n", keys[i].name, generation_type_name(keys[i].type), keys[i].help);
}
