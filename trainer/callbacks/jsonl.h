/* log.jsonl in the logging directory: one JSON object a line for each entry of the log, in the order of the console,
 * written at once. */
#ifndef HONE_CALLBACKS_JSONL_H
#define HONE_CALLBACKS_JSONL_H

#include <stdbool.h>
#include <stdint.h>

#include "trainer/base/arena.h"
#include "trainer/base/status.h"
#include "trainer/callbacks/state.h"

typedef struct JsonlLog JsonlLog;

/* Where logs go, made with its parents: logging_dir if not NULL, else output_dir/runs/<MonDD_HH-MM-SS>_<host>. With
 * `resume` the directory that the run had before, which output_dir/runs/latest names, if it is there. *out in arena.
 * Rank 0 only. */
Status logging_dir_make(const char *output_dir, const char *logging_dir, bool resume, Arena *arena, const char **out);

/* Opens dir/log.jsonl. cut_step >= 0 (a resume): lines of later steps and a torn last line are taken out first, the
 * rest goes on. cut_step < 0: an older content is dropped. */
Status jsonl_open(const char *dir, int64_t cut_step, JsonlLog **out);
Status jsonl_log(JsonlLog *log, const LogEntry *e); /* NULL log is fine */
Status jsonl_close(JsonlLog *log);                  /* NULL is fine */

#endif
