/* What `hone pipeline` can do: one file a task, and its name in PIPELINES. A task's answer has the shape of
 * transformers' pipeline(). */
#ifndef HONE_CLI_PIPELINE_H
#define HONE_CLI_PIPELINE_H

#include "trainer/cli/cli.h"

typedef struct Pipeline {
    const char *name, *summary; /* name as transformers has it */
    CommandRun *run;            /* what stands after the task */
    void (*print_help)(void);   /* below usage and summary */
} Pipeline;

#define PIPELINES(PIPELINE) PIPELINE(text_generation) /* sorted */
#define PIPELINE_DECLARE(name) extern const Pipeline pipeline_##name;
PIPELINES(PIPELINE_DECLARE)

#endif
