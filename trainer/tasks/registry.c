/* One line a task, sorted; the last is what a model is for whose data ask for no other. */
#include <string.h>

#include "trainer/tasks/task.h"

#define TASKS(TASK) TASK(sft) TASK(text_generation)

#define DECLARE(name) extern const Task task_##name;
TASKS(DECLARE)

/* The first row of the config's data, or NULL: whoever opens them says what is wrong. Close *rows. */
static const Row *first_row(const TrainingArguments *a, Rows **rows)
{
    const TextList *lists[] = {&a->train_file, &a->validation_file, &a->test_file};
    const Row *row = NULL;
    RowsFormat format;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        if (!lists[i]->count) continue;
        RowsConfig config = {.paths = lists[i]->items, .num_paths = lists[i]->count};
        if (rows_format(config.paths, config.num_paths, &format) || format == ROWS_TEXT) return NULL;
        if (rows_open(&config, rows) || rows_next(*rows, &row)) return NULL;
        return row;
    }
    return NULL;
}

Status task_find(const TrainingArguments *args, const Model *model, const Task **out)
{
#define ENTRY(name) &task_##name,
    static const Task *const tasks[] = {TASKS(ENTRY)};
    enum { COUNT = sizeof tasks / sizeof *tasks };
    Rows *rows = NULL;
    (void)model; /* every model that there is generates text */
    *out = tasks[COUNT - 1];
    if (!args->task) {
        const Row *row = first_row(args, &rows);
        for (int i = 0; row && i < COUNT; i++)
            if (tasks[i]->takes && tasks[i]->takes(args, row)) *out = tasks[i];
        rows_close(rows);
        return task_check_keys(args, *out);
    }
    for (int i = 0; i < COUNT; i++)
        if (strcmp(tasks[i]->name, args->task) == 0) {
            *out = tasks[i];
            return task_check_keys(args, *out);
        }
    return status_raise(STATUS_USAGE, "task `%s` is not one that hone has: sft, text-generation", args->task);
}
