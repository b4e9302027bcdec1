/* One entry of the log: numbers by name, in the order in which they were added. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "trainer/callbacks/state_internal.h"

void logentry_reset(LogEntry *e) { e->count = 0, e->overflow = false; }

static LogValue *find(LogEntry *e, const char *key)
{
    for (int i = 0; i < e->count; i++)
        if (strcmp(e->values[i].key, key) == 0) return &e->values[i];
    return NULL;
}

static void add(LogEntry *e, const char *key, double value, bool integer)
{
    LogValue *v = find(e, key);
    size_t size = strlen(key) + 1;
    if (!v && (e->count == LOG_ENTRY_VALUES || size > LOG_KEY_BYTES)) {
        e->overflow = true;
        return;
    }
    if (!v) {
        v = &e->values[e->count++];
        memcpy(v->key, key, size);
    }
    v->value = value;
    v->integer = integer;
}

void logentry_add_real(LogEntry *e, const char *key, double value) { add(e, key, value, false); }
void logentry_add_int(LogEntry *e, const char *key, int64_t value) { add(e, key, (double)value, true); }

const LogValue *logentry_find(const LogEntry *e, const char *key)
{
    for (int i = 0; i < e->count; i++)
        if (strcmp(e->values[i].key, key) == 0) return &e->values[i];
    return NULL;
}

double logentry_get(const LogEntry *e, const char *key, double fallback)
{
    const LogValue *v = logentry_find(e, key);
    return v ? v->value : fallback;
}

void logvalue_add(Text *out, const LogValue *v)
{
    if (v->integer) text_printf(out, "%lld", (long long)v->value);
    else json_add_real(out, v->value);
}

void logentry_to_json(const LogEntry *e, Text *out)
{
    text_add(out, "{", 1);
    for (int i = 0; i < e->count; i++) {
        if (i) text_add(out, ", ", 2);
        json_add_string(out, e->values[i].key, strlen(e->values[i].key));
        text_add(out, ": ", 2);
        logvalue_add(out, &e->values[i]);
    }
    text_add(out, "}", 1);
}

/* Kept for the files: where the bar shows them, or where they would make a line too long to read. */
static bool hidden_on_console(const char *key)
{
    return strcmp(key, "step") == 0 || strcmp(key, "total_flos") == 0 || strncmp(key, "communication_", 14) == 0;
}

/* As Python's f"{value:.4g}", which writes nan and inf in small letters as C does. */
void logentry_to_console(const LogEntry *e, Text *out)
{
    bool first = true;
    text_add(out, "{", 1);
    for (int i = 0; i < e->count; i++) {
        const LogValue *v = &e->values[i];
        if (hidden_on_console(v->key)) continue;
        text_printf(out, "%s'%s': ", first ? "" : ", ", v->key);
        if (v->integer) text_printf(out, "%lld", (long long)v->value);
        else if (isnan(v->value)) text_printf(out, "'nan'");
        else text_printf(out, "'%.4g'", v->value);
        first = false;
    }
    text_add(out, "}", 1);
}
