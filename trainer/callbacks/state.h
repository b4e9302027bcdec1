/* What the run has been so far, as the Hugging Face Trainer's trainer_state.json keeps it, and one entry of its log.
 *
 * A LogEntry keeps the order in which values were added, which is the order of the console and of log.jsonl;
 * trainer_state.json sorts them. The history is kept compactly: 16 bytes a value, each key once. Not thread-safe. */
#ifndef HONE_CALLBACKS_STATE_H
#define HONE_CALLBACKS_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/base/json.h"
#include "trainer/base/status.h"

enum { LOG_ENTRY_VALUES = 32, LOG_KEY_BYTES = 64, STATE_PATH_BYTES = 4096 };

typedef struct LogValue {
    char key[LOG_KEY_BYTES];
    double value;
    bool integer; /* written "3"; else "3.0" */
} LogValue;

typedef struct LogEntry {
    int count;
    bool overflow; /* more than LOG_ENTRY_VALUES values, or a key longer than 63 bytes: state_log refuses it */
    LogValue values[LOG_ENTRY_VALUES];
} LogEntry;

void logentry_reset(LogEntry *e); /* or {0} */
/* Adds at the end; a key that is there already gets the new value in its place. */
void logentry_add_real(LogEntry *e, const char *key, double value);
void logentry_add_int(LogEntry *e, const char *key, int64_t value);
/* NULL: not there. */
const LogValue *logentry_find(const LogEntry *e, const char *key);
/* The value of the key, or the fallback. */
double logentry_get(const LogEntry *e, const char *key, double fallback);
/* {"loss": 2.5, "step": 3}: one line without its end, in order, or (sorted, indent as json.dumps) several. */
void logentry_to_json(const LogEntry *e, Text *out);
/* As the Trainer prints it: {'loss': '2.345', 'epoch': '0.5'}; 4 significant digits, step left out. */
void logentry_to_console(const LogEntry *e, Text *out);

typedef struct LogHistory LogHistory;

typedef struct TrainerState {
    int64_t global_step, max_steps;
    int64_t num_train_epochs; /* epochs looped: ceil */
    double epoch;
    int64_t logging_steps, eval_steps, save_steps; /* resolved */
    int64_t train_batch_size;
    int64_t num_input_tokens_seen;
    double total_flos;
    double best_metric;       /* NAN: none yet */
    int64_t best_global_step; /* -1: none yet */
    char best_model_checkpoint[STATE_PATH_BYTES]; /* "": none */
    bool should_training_stop;

    int64_t early_stopping_patience; /* 0: off, and not in the file */
    double early_stopping_threshold;
    int64_t early_stopping_counter;

    LogHistory *history;
} TrainerState;

void state_init(TrainerState *s);
void state_free(TrainerState *s); /* a zeroed one is fine */

/* Appends to log_history. The entry should hold "step". */
Status state_log(TrainerState *s, const LogEntry *e);
size_t state_log_count(const TrainerState *s);
/* Entry i, 0 the oldest; in the order it was logged (sorted by key once it came from a file). */
void state_log_get(const TrainerState *s, size_t i, LogEntry *out);
/* Forgets the entries of later steps. */
void state_cut(TrainerState *s, int64_t step);

/* trainer_state.json: sorted keys, indent 2, newline at the end. Appends to out; STATUS_MEMORY. */
Status state_to_text(const TrainerState *s, Text *out);
/* Reads one (the Hugging Face Trainer's too) into an initialised *s, replacing all of it, on success only. Values of
 * the history that are not numbers are left out. `name` is for messages. */
Status state_parse(TrainerState *s, const char *text, size_t size, const char *name);
Status state_read(TrainerState *s, const char *path);

#endif
