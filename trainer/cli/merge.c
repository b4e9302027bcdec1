/* hone merge: adapters into the weights of their model. */
#include <stdio.h>

#include "trainer/cli/cli.h"
#include "trainer/merging.h"

static Status run(int argc, char **argv)
{
    Status st = OK;
    OptionTexts adapters = {0};
    MergeRequest r = {.dtype = "auto"};
    MergeResult result;
    int first;
    const Option options[] = {{.name = "model", .type = OPTION_TEXT, .into = &r.model},
                              {.name = "adapter", .type = OPTION_TEXTS, .into = &adapters},
                              {.name = "output", .type = OPTION_TEXT, .into = &r.output},
                              {.name = "dtype", .type = OPTION_TEXT, .into = &r.dtype},
                              {.name = "overwrite", .type = OPTION_FLAG, .into = &r.overwrite},
                              {.name = "num_threads", .type = OPTION_INT, .into = &r.num_threads, .most = 4096}};
    TRY(options_parse(argc, argv, options, sizeof options / sizeof *options, &first));
    if (first < argc) RAISE(USAGE, "merge takes options only: %s", command_merge.usage);
    if (!r.model || !r.output)
        RAISE(USAGE, "%s", r.model ? "--output is missing: the directory to write the merged model to"
                                   : "--model is missing: a model's directory, or an adapter's");
    r.adapters = adapters.items;
    r.num_adapters = adapters.count;
    TRY(merge_run(&r, &result));
    printf("%s: %lld parameters, adapters merged into %d layers\n"
           "largest difference of logits before and after: %.3g (the largest logit is %.3g)\n", r.output,
           (long long)result.parameters, result.layers, result.difference, result.largest);
done:
    return st;
}

const Command command_merge = {
    .name = "merge",
    .usage = "merge --model DIR [--adapter DIR ...] --output DIR [--dtype auto] [--overwrite]",
    .summary = "Adapters into the weights of their model.",
    .run = run,
    .help = "Writes a model directory that needs no adapter, reads it back, and prints the largest difference of the\n"
            "logits of a made-up text before and after. --model may be an adapter that names its model.\n"
            "  --adapter DIR    an adapter in PEFT's format; several are added up\n"
            "  --output DIR     a new or empty directory\n"
            "  --dtype TYPE     auto (as the model's file), float32, bfloat16, float16\n"
            "  --overwrite      also into a directory that holds something\n"
            "  --num_threads N  0: as the machine has cores\n",
};
