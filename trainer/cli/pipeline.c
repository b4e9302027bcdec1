/* hone pipeline TASK: a model's answers. */
#include <stdio.h>
#include <string.h>

#include "trainer/base/json.h"
#include "trainer/cli/pipeline.h"

#define PIPELINE_ADDRESS(name) &pipeline_##name,
static const Pipeline *const pipelines[] = {PIPELINES(PIPELINE_ADDRESS)};
enum { COUNT = sizeof pipelines / sizeof *pipelines };

static const Pipeline *find(const char *name)
{
    for (int i = 0; i < COUNT; i++)
        if (strcmp(pipelines[i]->name, name) == 0) return pipelines[i];
    return NULL;
}

static Status unknown(const char *name)
{
    Text names = {0};
    for (int i = 0; i < COUNT; i++) text_printf(&names, "%s%s", i ? ", " : "", pipelines[i]->name);
    Status st = status_raise(STATUS_USAGE, "no task `%.100s`; tasks are %s", name, names.data ? names.data : "");
    text_free(&names);
    return st;
}

static Status run(int argc, char **argv)
{
    if (!argc) {
        for (int i = 0; i < COUNT; i++) printf("%-24s %s\n", pipelines[i]->name, pipelines[i]->summary);
        return OK;
    }
    const Pipeline *pipeline = find(argv[0]);
    if (!pipeline) return unknown(argv[0]);
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        printf("hone pipeline %s --model DIR [OPTIONS] [--] [TEXT...]\n\n%s\n\n", pipeline->name, pipeline->summary);
        pipeline->print_help();
        return OK;
    }
    return pipeline->run(argc - 1, argv + 1);
}

const Command command_pipeline = {
    .name = "pipeline",
    .usage = "pipeline TASK --model DIR [OPTIONS] [--] [TEXT...]",
    .summary = "A model's answers, in the shape of transformers' pipeline().",
    .run = run,
    .help = "Without a task: lists the tasks. `hone pipeline TASK --help` tells a task's options.\n"
            "One TEXT gives what pipeline(text) returns, several give what pipeline([text, ...]) returns, as one line "
            "of JSON.\n"
            "Without a TEXT, each line of stdin is one, and each gets its own line, as if it had been the only one.\n",
};
