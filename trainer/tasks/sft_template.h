/* The chat template and the end-of-turn token of a run, and what they change in the model's files: TRL's
 * chat_template_path and eos_token. */
#ifndef HONE_TASKS_SFT_TEMPLATE_H
#define HONE_TASKS_SFT_TEMPLATE_H

#include "trainer/tasks/task.h"
#include "trainer/template/chat_template.h"

typedef struct SftTemplate {
    ChatTemplate *template; /* NULL: there is none; then `missing` says so */
    char missing[512];
    cJSON *special_tokens;
    const char *eos_token;  /* NULL: the tokenizer names none */
    bool changes_eos;       /* it is not the tokenizer's own */
    const char *paths[2];   /* files of a template that is not the tokenizer's */
    int num_paths;
} SftTemplate;

/* Paths are in arena. Free with sft_template_close, also after an error. */
Status sft_template_open(const TaskContext *c, Arena *arena, SftTemplate *out);
void sft_template_close(SftTemplate *t);

/* The task's files (Task). */
extern const char *const sft_files[];
Status sft_file(const TaskContext *c, const char *name, Arena *arena, const char **data, size_t *size);

#endif
