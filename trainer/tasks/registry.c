/* One line a task, sorted. */
#include <string.h>

#include "trainer/tasks/task.h"

#define TASKS(TASK) TASK(text_generation)

#define DECLARE(name) extern const Task task_##name;
TASKS(DECLARE)

Status task_find(const TrainingArguments *args, const Model *model, const Task **out)
{
#define ENTRY(name) &task_##name,
    static const Task *const tasks[] = {TASKS(ENTRY)};
    (void)model; /* every model that there is generates text */
    *out = tasks[0];
    if (!args->task) return OK;
    for (size_t i = 0; i < sizeof tasks / sizeof *tasks; i++)
        if (strcmp(tasks[i]->name, args->task) == 0) {
            *out = tasks[i];
            return OK;
        }
    return status_raise(STATUS_USAGE, "task `%s` is not one that hone has: text-generation", args->task);
}
