/* trainer_state.json as transformers 5.23 writes and reads it (TrainerState.save_to_json). A key that it does not
 * know makes its loader fail, so nothing is added. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/arena.h"
#include "trainer/base/file.h"
#include "trainer/callbacks/state_internal.h"

/* ---- writing ---- */
static int by_key(const void *a, const void *b)
{
    return strcmp(((const LogValue *)a)->key, ((const LogValue *)b)->key);
}

static void add_entry(Text *out, const TrainerState *s, size_t i)
{
    LogEntry e;
    state_log_get(s, i, &e);
    qsort(e.values, (size_t)e.count, sizeof *e.values, by_key);
    text_printf(out, "%s\n    {", i ? "," : "");
    for (int v = 0; v < e.count; v++) {
        text_printf(out, "%s\n      ", v ? "," : "");
        json_add_string(out, e.values[v].key, strlen(e.values[v].key));
        text_add(out, ": ", 2);
        logvalue_add(out, &e.values[v]);
    }
    text_printf(out, e.count ? "\n    }" : "}");
}

static void add_real(Text *out, const char *key, double value, bool null)
{
    text_printf(out, "  \"%s\": ", key);
    if (null) text_add(out, "null", 4);
    else json_add_real(out, value);
    text_add(out, ",\n", 2);
}

static void add_int(Text *out, const char *key, int64_t value)
{
    text_printf(out, "  \"%s\": %lld,\n", key, (long long)value);
}

/* A checkpoint is written before the Trainer takes should_save back. */
static void add_callbacks(Text *out, const TrainerState *s)
{
    text_printf(out, "  \"stateful_callbacks\": {\n");
    if (s->early_stopping_patience > 0) {
        text_printf(out,
                    "    \"EarlyStoppingCallback\": {\n      \"args\": {\n        \"early_stopping_patience\": %lld,\n"
                    "        \"early_stopping_threshold\": ",
                    (long long)s->early_stopping_patience);
        json_add_real(out, s->early_stopping_threshold);
        text_printf(
            out,
            "\n      },\n      \"attributes\": {\n        \"early_stopping_patience_counter\": %lld\n      }\n    },\n",
            (long long)s->early_stopping_counter);
    }
    text_printf(out,
                "    \"TrainerControl\": {\n      \"args\": {\n        \"should_epoch_stop\": false,\n"
                "        \"should_evaluate\": false,\n        \"should_log\": false,\n        \"should_save\": true,\n"
                "        \"should_training_stop\": %s\n      },\n      \"attributes\": {}\n    }\n  },\n",
                s->should_training_stop ? "true" : "false");
}

Status state_to_text(const TrainerState *s, Text *out)
{
    text_printf(out, "{\n  \"best_global_step\": ");
    if (s->best_global_step < 0) text_printf(out, "null,\n");
    else text_printf(out, "%lld,\n", (long long)s->best_global_step);
    add_real(out, "best_metric", s->best_metric, isnan(s->best_metric));
    text_printf(out, "  \"best_model_checkpoint\": ");
    if (*s->best_model_checkpoint) json_add_string(out, s->best_model_checkpoint, strlen(s->best_model_checkpoint));
    else text_printf(out, "null");
    text_printf(out, ",\n");
    add_real(out, "epoch", s->epoch, false);
    add_int(out, "eval_steps", s->eval_steps);
    add_int(out, "global_step", s->global_step);
    text_printf(
        out,
        "  \"is_hyper_param_search\": false,\n  \"is_local_process_zero\": true,\n  \"is_world_process_zero\": true,\n"
        "  \"log_history\": [");
    size_t count = state_log_count(s);
    for (size_t i = 0; i < count; i++) add_entry(out, s, i);
    text_printf(out, count ? "\n  ],\n" : "],\n");
    add_int(out, "logging_steps", s->logging_steps);
    add_int(out, "max_steps", s->max_steps);
    add_int(out, "num_input_tokens_seen", s->num_input_tokens_seen);
    add_int(out, "num_train_epochs", s->num_train_epochs);
    add_int(out, "save_steps", s->save_steps);
    add_callbacks(out, s);
    add_real(out, "total_flos", s->total_flos, false);
    add_int(out, "train_batch_size", s->train_batch_size);
    text_printf(out, "  \"trial_name\": null,\n  \"trial_params\": null\n}\n");
    return out->failed ? status_raise(STATUS_MEMORY, "trainer_state.json: out of memory") : OK;
}

/* ---- reading ---- */
/* Whether a number was written without point and exponent. */
static bool is_integer(const cJSON *number, Text *scratch)
{
    scratch->size = 0;
    json_add(scratch, number, 0, false);
    return !scratch->failed && strspn(scratch->data, "-0123456789") == scratch->size;
}

static Status parse_entry(const cJSON *object, const char *name, Text *scratch, TrainerState *s)
{
    Status st = OK;
    LogEntry e = {0};
    if (!cJSON_IsObject(object))
        RAISE(FORMAT, "%s: log_history holds something that is no object; take another checkpoint", name);
    for (const cJSON *v = object->child; v; v = v->next) {
        if (!cJSON_IsNumber(v)) continue;
        if (is_integer(v, scratch) && fabs(v->valuedouble) < 9e15)
            logentry_add_int(&e, v->string, (int64_t)v->valuedouble);
        else logentry_add_real(&e, v->string, v->valuedouble);
    }
    if (e.overflow)
        RAISE(FORMAT, "%s: an entry of log_history has too many values or too long a name; take another checkpoint",
              name);
    TRY(state_log(s, &e));
done:
    return st;
}

static Status parse_history(const cJSON *root, const char *name, TrainerState *s)
{
    Status st = OK;
    Text scratch = {0};
    const cJSON *list = cJSON_GetObjectItemCaseSensitive(root, "log_history");
    if (list && !cJSON_IsNull(list) && !cJSON_IsArray(list))
        RAISE(FORMAT, "%s: log_history is no list; take another checkpoint", name);
    for (const cJSON *c = list ? list->child : NULL; c; c = c->next) TRY(parse_entry(c, name, &scratch, s));
done:
    text_free(&scratch);
    return st;
}

static const cJSON *member(const cJSON *object, const char *key)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

static Status parse_early_stopping(const cJSON *root, const char *name, TrainerState *s)
{
    Status st = OK;
    const cJSON *saved = member(member(root, "stateful_callbacks"), "EarlyStoppingCallback");
    const cJSON *args = member(saved, "args"), *attributes = member(saved, "attributes");
    if (args) {
        TRY(json_int_or(args, name, "early_stopping_patience", 0, &s->early_stopping_patience));
        TRY(json_real_or(args, name, "early_stopping_threshold", 0, &s->early_stopping_threshold));
    }
    if (attributes)
        TRY(json_int_or(attributes, name, "early_stopping_patience_counter", 0, &s->early_stopping_counter));
done:
    return st;
}

static Status parse_numbers(const cJSON *root, const char *name, TrainerState *s)
{
    Status st = OK;
    struct { const char *key; int64_t *to; } counts[] = {
        {"global_step", &s->global_step}, {"max_steps", &s->max_steps}, {"num_train_epochs", &s->num_train_epochs},
        {"logging_steps", &s->logging_steps}, {"eval_steps", &s->eval_steps}, {"save_steps", &s->save_steps},
        {"train_batch_size", &s->train_batch_size}, {"num_input_tokens_seen", &s->num_input_tokens_seen},
        {"best_global_step", &s->best_global_step},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        double value, fallback = (double)*counts[i].to; /* a real: a step count given as 500.0 is one too */
        TRY(json_real_or(root, name, counts[i].key, fallback, &value));
        if (value != trunc(value) || fabs(value) > 9e15 || (value < 0 && value != fallback))
            RAISE(FORMAT, "%s: %s is %g, which is no count; take another checkpoint", name, counts[i].key, value);
        *counts[i].to = (int64_t)value;
    }
    TRY(json_real_or(root, name, "epoch", 0, &s->epoch));
    TRY(json_real_or(root, name, "best_metric", NAN, &s->best_metric));
    TRY(json_real_or(root, name, "total_flos", 0, &s->total_flos));
done:
    return st;
}

Status state_parse(TrainerState *s, const char *text, size_t size, const char *name)
{
    Status st = OK;
    cJSON *root = NULL;
    const char *best;
    TrainerState fresh;
    state_init(&fresh);
    TRY(json_parse(text, size, name, &root));
    if (!cJSON_IsObject(root) || !member(root, "global_step"))
        RAISE(FORMAT, "%s: no object with global_step, so no trainer_state.json; take another checkpoint", name);
    TRY(parse_numbers(root, name, &fresh));
    TRY(json_string_or(root, name, "best_model_checkpoint", "", &best));
    if (strlen(best) >= sizeof fresh.best_model_checkpoint)
        RAISE(FORMAT, "%s: best_model_checkpoint is longer than a path can be", name);
    memcpy(fresh.best_model_checkpoint, best, strlen(best) + 1);
    TRY(parse_early_stopping(root, name, &fresh));
    TRY(parse_history(root, name, &fresh));
    state_free(s);
    *s = fresh;
    state_init(&fresh);
done:
    state_free(&fresh);
    cJSON_Delete(root);
    return st;
}

Status state_read(TrainerState *s, const char *path)
{
    Status st = OK;
    Arena *arena = NULL;
    char *text;
    size_t size;
    TRY(arena_new(&arena));
    TRY(file_read_all(path, arena, (size_t)512 << 20, &text, &size));
    TRY(state_parse(s, text, size, path));
done:
    arena_free(arena);
    return st;
}
