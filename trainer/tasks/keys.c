/* Keys that belong to one task. Which task a run is may come from its data, so this is checked when that is known. */
#include <string.h>

#include "trainer/tasks/task.h"

Status task_check_keys(const TrainingArguments *a, const Task *task)
{
    const struct { const char *key, *task; bool given; const char *instead; } keys[] = {
        {"block_size", "text-generation", a->block_size != ARG_UNSET, "max_length is sft's"},
        {"keep_linebreaks", "text-generation", !a->keep_linebreaks, "sft reads no plain texts"},
        {"chat_template_path", "sft", a->chat_template_path != NULL, "plain texts have no template"},
        {"dataset_text_field", "sft", strcmp(a->dataset_text_field, "text") != 0, "name the column text"},
        {"eos_token", "sft", a->eos_token != NULL, "texts are taken as they are"},
        {"max_length", "sft", a->max_length != 1024, "use block_size"},
        {"truncation_mode", "sft", strcmp(a->truncation_mode, "keep_start") != 0, "nothing is cut off"},
        {"shuffle_dataset", "sft", a->shuffle_dataset, "examples are drawn in random order in any case"},
        {"packing", "sft", a->packing, "text-generation always lays texts end to end in blocks"},
        {"packing_strategy", "sft", strcmp(a->packing_strategy, "bfd") != 0, "texts are laid end to end"},
        {"padding_free", "sft", a->padding_free, "nothing is ever padded"},
        {"eval_packing", "sft", a->eval_packing >= 0, "texts are laid end to end"},
        {"completion_only_loss", "sft", a->completion_only_loss >= 0, "every token is learned"},
        {"assistant_only_loss", "sft", a->assistant_only_loss, "every token is learned"},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].given && strcmp(keys[i].task, task->name) != 0)
            return status_raise(STATUS_USAGE, "`%s` is for task: %s, and this is %s%s (%s); set task: %s, or remove it",
                                keys[i].key, keys[i].task, task->name, a->task ? "" : " by its data", keys[i].instead,
                                keys[i].task);
    return OK;
}
