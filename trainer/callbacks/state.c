/* The state of a run and the history of its log. A value of the history is 16 bytes: its key's number, whether it is
 * an integer, and the number; entries are runs of values. A run of a million steps, each logged, keeps 100 MB. */
#include "trainer/callbacks/state_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct Kept {
    double value;
    int32_t key;
    bool integer;
} Kept;

struct LogHistory {
    char **keys;
    size_t key_count, key_capacity;
    Kept *values;
    size_t value_count, value_capacity;
    size_t *ends; /* entry i: values [ends[i-1], ends[i]) */
    size_t count, capacity;
};

void state_init(TrainerState *s)
{
    *s = (TrainerState){
        .logging_steps = 500, .eval_steps = 500, .save_steps = 500, .best_metric = NAN, .best_global_step = -1};
}

void state_free(TrainerState *s)
{
    LogHistory *h = s->history;
    for (size_t i = 0; h && i < h->key_count; i++) free(h->keys[i]);
    if (h) free(h->keys), free(h->values), free(h->ends);
    free(h);
    s->history = NULL;
}

/* Room for `need` elements; the array may move. */
static bool grow(void **array, size_t *capacity, size_t need, size_t size)
{
    if (need <= *capacity) return true;
    size_t wanted = *capacity ? *capacity * 2 : 64;
    while (wanted < need) wanted *= 2;
    void *fresh = realloc(*array, wanted * size);
    if (!fresh) return false;
    *array = fresh;
    *capacity = wanted;
    return true;
}

/* The key's number; -1: no memory. */
static int32_t intern(LogHistory *h, const char *key)
{
    for (size_t i = 0; i < h->key_count; i++)
        if (strcmp(h->keys[i], key) == 0) return (int32_t)i;
    char *copy = grow((void **)&h->keys, &h->key_capacity, h->key_count + 1, sizeof *h->keys) ? strdup(key) : NULL;
    if (!copy) return -1;
    h->keys[h->key_count] = copy;
    return (int32_t)h->key_count++;
}

Status state_log(TrainerState *s, const LogEntry *e)
{
    Status st = OK;
    if (e->overflow)
        RAISE(BUG, "a log entry has more than %d values, or a name is longer than %d bytes", LOG_ENTRY_VALUES,
              LOG_KEY_BYTES - 1);
    if (!s->history && !(s->history = calloc(1, sizeof *s->history))) RAISE(MEMORY, "the log: out of memory");
    LogHistory *h = s->history;
    if (!grow((void **)&h->values, &h->value_capacity, h->value_count + (size_t)e->count, sizeof *h->values) ||
        !grow((void **)&h->ends, &h->capacity, h->count + 1, sizeof *h->ends))
        RAISE(MEMORY, "the log: out of memory");
    for (int i = 0; i < e->count; i++) {
        int32_t key = intern(h, e->values[i].key);
        if (key < 0) RAISE(MEMORY, "the log: out of memory");
        h->values[h->value_count + (size_t)i] = (Kept){e->values[i].value, key, e->values[i].integer};
    }
    h->value_count += (size_t)e->count;
    h->ends[h->count++] = h->value_count;
done:
    return st;
}

size_t state_log_count(const TrainerState *s) { return s->history ? s->history->count : 0; }

void state_log_get(const TrainerState *s, size_t i, LogEntry *out)
{
    const LogHistory *h = s->history;
    logentry_reset(out);
    for (size_t v = i ? h->ends[i - 1] : 0; v < h->ends[i]; v++) {
        LogValue *to = &out->values[out->count++];
        memcpy(to->key, h->keys[h->values[v].key], strlen(h->keys[h->values[v].key]) + 1);
        to->value = h->values[v].value;
        to->integer = h->values[v].integer;
    }
}

void state_cut(TrainerState *s, int64_t step)
{
    LogHistory *h = s->history;
    size_t kept = 0, to = 0, from = 0;
    LogEntry e;
    for (size_t i = 0; h && i < h->count; i++) {
        size_t end = h->ends[i], size = end - from;
        logentry_reset(&e);
        for (size_t v = from; v < end; v++)
            if (strcmp(h->keys[h->values[v].key], "step") == 0) logentry_add_real(&e, "step", h->values[v].value);
        if (logentry_get(&e, "step", -1) <= (double)step) {
            memmove(h->values + to, h->values + from, size * sizeof *h->values);
            to += size;
            h->ends[kept++] = to;
        }
        from = end;
    }
    if (h) h->count = kept, h->value_count = to;
}

static int32_t key_of(const LogHistory *h, const char *key)
{
    for (size_t i = 0; h && i < h->key_count; i++)
        if (strcmp(h->keys[i], key) == 0) return (int32_t)i;
    return -1;
}

size_t state_series(const TrainerState *s, const char *key, double *steps, double *values)
{
    const LogHistory *h = s->history;
    int32_t step_key = key_of(h, "step"), value_key = key_of(h, key);
    size_t count = 0, v = 0;
    if (step_key < 0 || value_key < 0) return 0;
    for (size_t i = 0; i < h->count; i++) {
        const Kept *step = NULL, *value = NULL;
        for (; v < h->ends[i]; v++) {
            if (h->values[v].key == step_key) step = &h->values[v];
            if (h->values[v].key == value_key) value = &h->values[v];
        }
        if (!step || !value) continue;
        steps[count] = step->value;
        values[count++] = value->value;
    }
    return count;
}
