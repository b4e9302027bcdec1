/* Evaluations as a list and as a table, formatted as transformers does (modelcard.py). */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "trainer/callbacks/card_internal.h"

enum { CELL_BYTES = 80, COLUMNS = LOG_ENTRY_VALUES + 3 };

bool card_last_evaluation(const TrainerState *s, LogEntry *out)
{
    for (size_t i = state_log_count(s); i-- > 0;) {
        state_log_get(s, i, out);
        if (logentry_find(out, "eval_loss")) return true;
    }
    return false;
}

/* "eval_mean_f1" -> "Mean F1". */
static void title_case(const char *key, char *out)
{
    size_t n = 0;
    if (strncmp(key, "eval_", 5) == 0) key += 5;
    for (bool first = true; *key && n < CELL_BYTES - 1; key++, n++) {
        out[n] = *key == '_' ? ' ' : (char)(first ? toupper((unsigned char)*key) : tolower((unsigned char)*key));
        first = *key == '_';
    }
    out[n] = '\0';
}

/* _maybe_round: four decimals where Python's text of the number has more. */
static void cell_number(const LogValue *v, char *out)
{
    Text t = {0};
    if (v->integer) {
        snprintf(out, CELL_BYTES, "%lld", (long long)v->value);
        return;
    }
    json_add_real(&t, v->value);
    const char *point = t.data ? strchr(t.data, '.') : NULL;
    if (isnan(v->value)) snprintf(out, CELL_BYTES, "nan");
    else if (isinf(v->value)) snprintf(out, CELL_BYTES, v->value > 0 ? "inf" : "-inf");
    else if (!point || strlen(point + 1) <= 4) snprintf(out, CELL_BYTES, "%.*s", CELL_BYTES - 1, t.data ? t.data : "");
    else snprintf(out, CELL_BYTES, fabs(v->value) < 1e15 ? "%.4f" : "%.4g", v->value);
    text_free(&t);
}

static bool is_bookkeeping(const char *key)
{
    static const char *const names[] = {
        "eval_runtime", "eval_samples_per_second", "eval_steps_per_second", "epoch", "step", "total_flos"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(key, names[i]) == 0) return true;
    return false;
}

void card_add_results(Text *out, const TrainerState *s)
{
    LogEntry e;
    char name[CELL_BYTES], number[CELL_BYTES];
    if (!card_last_evaluation(s, &e)) return;
    text_printf(out, "\nIt achieves the following results on the evaluation set:");
    for (int i = 0; i < e.count; i++) {
        if (is_bookkeeping(e.values[i].key)) continue;
        title_case(e.values[i].key, name);
        cell_number(&e.values[i], number);
        text_printf(out, "\n- %s: %s", name, number);
    }
}

typedef struct Row {
    int count;
    char cells[COLUMNS][CELL_BYTES];
} Row;

static char *next_cell(Row *row) { return row->count < COLUMNS ? row->cells[row->count++] : row->cells[COLUMNS - 1]; }

/* names: the head's cells, else the values. */
static void fill_row(const LogEntry *e, const LogValue *training_loss, bool names, Row *row)
{
    static const char *const first[] = {"epoch", "step"};
    row->count = 0;
    char *cell = next_cell(row);
    if (names) snprintf(cell, CELL_BYTES, "Training Loss");
    else if (!training_loss) snprintf(cell, CELL_BYTES, "No log");
    else cell_number(training_loss, cell);
    for (int i = 0; i < 2; i++) {
        const LogValue *v = logentry_find(e, first[i]);
        cell = next_cell(row);
        if (names) title_case(first[i], cell);
        else if (v) cell_number(v, cell);
        else snprintf(cell, CELL_BYTES, "None");
    }
    for (int i = 0; i < e->count; i++) {
        const LogValue *v = &e->values[i];
        if (is_bookkeeping(v->key)) continue;
        cell = next_cell(row);
        if (!names) cell_number(v, cell);
        else if (strcmp(v->key, "eval_loss") == 0) snprintf(cell, CELL_BYTES, "Validation Loss");
        else title_case(v->key, cell);
    }
}

static void widen(const Row *row, size_t *widths)
{
    for (int c = 0; c < row->count; c++)
        if (strlen(row->cells[c]) > widths[c]) widths[c] = strlen(row->cells[c]);
}

static void add_row(Text *out, const Row *row, const size_t *widths)
{
    for (int c = 0; c < row->count; c++)
        text_printf(out, "| %s%*s", row->cells[c], (int)(widths[c] - strlen(row->cells[c])) + 1, "");
    text_printf(out, "|\n");
}

/* Walks the evaluations before entry `end`; out NULL: only measures. */
static void walk(const TrainerState *s, size_t end, size_t *widths, Text *out)
{
    LogEntry e;
    LogValue loss = {0};
    Row row;
    bool has_loss = false, head = true;
    for (size_t i = 0; i < end; i++) {
        state_log_get(s, i, &e);
        const LogValue *v = logentry_find(&e, "loss");
        if (v) loss = *v, has_loss = true;
        if (!logentry_find(&e, "eval_loss")) continue;
        for (int names = head; names >= 0; names--) {
            fill_row(&e, has_loss ? &loss : NULL, names, &row);
            if (!out) widen(&row, widths);
            else add_row(out, &row, widths);
            for (int c = 0; out && names && c < row.count; c++) {
                text_printf(out, "|:");
                for (size_t d = 0; d < widths[c]; d++) text_add(out, "-", 1);
                text_printf(out, c + 1 < row.count ? ":" : ":|\n");
            }
        }
        head = false;
    }
}

void card_add_table(Text *out, const TrainerState *s)
{
    size_t widths[COLUMNS] = {0}, end = 0, count = state_log_count(s);
    LogEntry e = {0};
    for (; end < count; end++) {
        state_log_get(s, end, &e);
        if (logentry_find(&e, "train_runtime") && logentry_find(&e, "train_loss")) break;
    }
    if (end == count) return;
    text_printf(out, "\n### Training results\n\n");
    walk(s, end, widths, NULL);
    walk(s, end, widths, out);
    text_printf(out, "\n");
}
