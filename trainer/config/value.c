/* A value is read by its key's type, never by what it looks like: 1e-4 is a number, `no` is an enumeration's no. */
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/config/settings.h"

int read_bool(const char *text)
{
    static const char *const yes[] = {"true", "yes", "on", "t", "y", "1"}, *const no[] = {"false", "no", "off",
                                                                                          "f",     "n",  "0"};
    for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) {
        if (strcasecmp(text, yes[i]) == 0) return 1;
        if (strcasecmp(text, no[i]) == 0) return 0;
    }
    return -1;
}

bool read_real(const char *text, double *out)
{
    const char *p = text;
    char *end;
    if (*p == '+' || *p == '-') p++;
    if (!isdigit((unsigned char)*p) && !(*p == '.' && isdigit((unsigned char)p[1]))) return false; /* nan, inf */
    if (p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) return false;
    *out = strtod(text, &end);
    return !*end && isfinite(*out);
}

/* "90", "90s", "90m", "1.5h", "2d", "30:00", "1:30:00" → seconds. */
static bool read_duration(const char *text, double *out)
{
    static const struct { char unit; double seconds; } units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
    char part[32];
    double total = 0, value;
    size_t length = strlen(text);
    if (!length || length >= sizeof part) return false;
    for (int fields = 1;; fields++) {
        size_t n = strcspn(text, ":");
        bool last = text[n] == '\0';
        memcpy(part, text, n);
        part[n] = '\0';
        double scale = 1;
        for (size_t i = 0; fields == 1 && last && n > 1 && i < sizeof units / sizeof *units; i++)
            if (part[n - 1] == units[i].unit) scale = units[i].seconds, part[n - 1] = '\0';
        if (!read_real(part, &value) || value < 0 || fields > 3 || (fields > 1 && value >= 60)) return false;
        total = total * 60 + value * scale;
        if (last) break;
        text += n + 1;
    }
    *out = total;
    return true;
}

static const char *range_text(const Key *key, Arena *arena)
{
    const Range *r = &key->range;
    if (!r->limited) return "";
    if (r->most == DBL_MAX) return arena_printf(arena, " %s %g", r->least_open ? "above" : "of at least", r->least);
    return arena_printf(arena, " %s %.10g %s %.10g", r->least_open ? "above" : "of at least", r->least,
                        r->most_open ? "and below" : "and at most", r->most);
}

static bool in_range(const Range *r, double x)
{
    if (!r->limited) return true;
    return (r->least_open ? x > r->least : x >= r->least) && (r->most_open ? x < r->most : x <= r->most);
}

#define WRONG(...) do { *wrong = arena_printf(arena, __VA_ARGS__); return *wrong ? OK : STATUS_MEMORY; } while (0)

static Status read_number(const Key *key, const Raw *raw, Arena *arena, Value *out, const char **wrong)
{
    bool integer = key->type == TYPE_INT, duration = key->type == TYPE_DURATION;
    const char *what = integer ? "an integer" : duration ? "a duration (5400, 90m, 1:30:00)" : "a number";
    const char *limits = range_text(key, arena);
    if (!limits) return STATUS_MEMORY;
    bool fine = duration ? read_duration(raw->text, &out->real) : read_real(raw->text, &out->real);
    if (!fine || (integer && (out->real != trunc(out->real) || fabs(out->real) > 9007199254740992.0)) ||
        !in_range(&key->range, out->real))
        WRONG("must be %s%s, and is `%s`", what, limits, raw->text);
    if (integer) out->integer = (int64_t)out->real;
    return OK;
}

/* `text` among the key's choices: its position, or *wrong. */
static Status read_choice(const Key *key, const char *text, Arena *arena, int64_t *position, const char **wrong)
{
    size_t length = strlen(text);
    *position = choice_find(key->choices, text, length);
    if (*position >= 0) return OK;
    if (length > 1 && read_bool(text) == 0) *position = choice_find(key->choices, "no", 2);
    if (length > 1 && read_bool(text) == 1) *position = choice_find(key->choices, "all", 3);
    if (*position >= 0) return OK;
    *position = 0;
    if (key->others && choice_find(key->others, text, length) >= 0)
        WRONG("`%s` is not honoured by this version of hone: %s", text, key->why);
    WRONG("must be one of %s, and is `%s`", key->choices, text);
}

static char *expand_home(Arena *arena, const char *path)
{
    const char *home = getenv("HOME");
    if (path[0] != '~' || (path[1] && path[1] != '/') || !home) return arena_strdup(arena, path);
    return arena_printf(arena, "%s%s", home, path + 1);
}

static const char *choice_text(const Key *key, int64_t position, Arena *arena)
{
    const char *at = key->choices;
    while (position-- > 0) at = strchr(at, ',') + 1;
    return arena_strndup(arena, at, strcspn(at, ","));
}

static Status read_text(const Key *key, const Raw *raw, Arena *arena, Value *out, const char **wrong)
{
    Status st = OK;
    if (key->type == TYPE_NAME || key->type == TYPE_CHOICE) {
        TRY(read_choice(key, raw->text, arena, &out->integer, wrong));
        if (*wrong) goto done;
        if (key->type == TYPE_CHOICE) goto done;
        out->text = choice_text(key, out->integer, arena);
    } else {
        out->text = key->type == TYPE_PATH ? expand_home(arena, raw->text) : arena_strdup(arena, raw->text);
    }
    TRY_MEMORY(out->text);
done:
    return st;
}

static Status add_item(const Key *key, const char *text, size_t length, Arena *arena, Value *out, size_t *capacity,
                       const char **wrong)
{
    Status st = OK;
    int64_t position;
    TextList *list = &out->list;
    const char *item = arena_strndup(arena, text, length);
    TRY_MEMORY(item);
    if (key->choices) TRY(read_choice(key, item, arena, &position, wrong));
    if (key->type == TYPE_PATHS) item = expand_home(arena, item);
    TRY_MEMORY(item);
    list->items = arena_grow(arena, list->items, capacity, (size_t)list->count + 1, sizeof *list->items);
    TRY_MEMORY(list->items);
    list->items[list->count++] = item;
done:
    return st;
}

/* A list; a text of words; or, for paths, one path. A text that begins with [ is JSON. */
static Status read_list(const Key *key, const Raw *raw, Arena *arena, Value *out, const char **wrong)
{
    static const char separators[] = " \t\n,";
    Status st = OK;
    size_t capacity = 0;
    cJSON *parsed = NULL;
    if (raw->kind == RAW_SCALAR && raw->text[0] == '[') {
        if (json_parse(raw->text, strlen(raw->text), "list", &parsed) != OK) {
            *wrong = arena_printf(arena, "must be a list: %s", status_message());
            TRY_MEMORY(*wrong);
            goto done;
        }
        raw = raw_from_json(arena, parsed);
        TRY_MEMORY(raw);
    }
    if (raw->kind == RAW_SCALAR) {
        if (key->type == TYPE_PATHS) TRY(add_item(key, raw->text, strlen(raw->text), arena, out, &capacity, wrong));
        else
            for (const char *at = raw->text + strspn(raw->text, separators); *at && !*wrong;) {
                size_t n = strcspn(at, separators);
                TRY(add_item(key, at, n, arena, out, &capacity, wrong));
                at += n + strspn(at + n, separators);
            }
    }
    for (size_t i = 0; raw->kind == RAW_LIST && i < raw->count && !*wrong; i++) {
        if (raw->items[i]->kind == RAW_SCALAR)
            TRY(add_item(key, raw->items[i]->text, strlen(raw->items[i]->text), arena, out, &capacity, wrong));
        else *wrong = "must be a list of texts";
    }
done:
    cJSON_Delete(parsed);
    return st;
}

/* A mapping; or its JSON as text; or the path of a JSON file. */
static Status read_mapping(const Key *key, const Raw *raw, Arena *arena, Value *out, const char **wrong)
{
    Status st = OK;
    cJSON *parsed = NULL;
    if (raw->kind == RAW_SCALAR) {
        const char *text = raw->text + strspn(raw->text, " \t\n");
        st = text[0] == '{' ? json_parse(text, strlen(text), key->name, &parsed) : json_read_file(text, &parsed);
        if (st != OK && st != STATUS_MEMORY) {
            st = OK;
            *wrong = arena_printf(arena, "must be a mapping, or a JSON object or file: %s", status_message());
            TRY_MEMORY(*wrong);
        }
        if (st != OK || *wrong) goto done;
        raw = raw_from_json(arena, parsed);
        TRY_MEMORY(raw);
    }
    if (raw->kind != RAW_MAPPING) {
        *wrong = "must be a mapping";
        goto done;
    }
    out->mapping = raw_to_json(arena, raw);
    TRY_MEMORY(out->mapping);
done:
    cJSON_Delete(parsed);
    return st;
}

void value_unset(const Key *key, Value *out)
{
    *out = (Value){.integer = key->type == TYPE_TRI ? -1 : key->type == TYPE_INT ? ARG_UNSET : 0,
                   .real = key->type == TYPE_DURATION ? 0 : NAN};
}

Status value_read(const Key *key, const Raw *raw, Arena *arena, Value *out, const char **wrong)
{
    *wrong = NULL;
    value_unset(key, out);
    if (raw->kind == RAW_NULL) return OK;
    if (key->type == TYPE_LIST || key->type == TYPE_PATHS) {
        if (raw->kind == RAW_MAPPING) WRONG("must be a list");
        return read_list(key, raw, arena, out, wrong);
    }
    if (key->type == TYPE_MAPPING) return read_mapping(key, raw, arena, out, wrong);
    if (raw->kind != RAW_SCALAR) WRONG("takes a single value, not a %s", raw->kind == RAW_LIST ? "list" : "mapping");
    switch (key->type) {
    case TYPE_BOOL:
    case TYPE_TRI:
        out->integer = read_bool(raw->text);
        if (out->integer < 0) WRONG("must be true or false, and is `%s`", raw->text);
        return OK;
    case TYPE_INT:
    case TYPE_REAL:
    case TYPE_STEPS:
    case TYPE_DURATION: return read_number(key, raw, arena, out, wrong);
    default: return read_text(key, raw, arena, out, wrong);
    }
}

static bool same_text(const char *a, const char *b) { return a == b || (a && b && strcmp(a, b) == 0); }
static bool same_real(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

bool value_equal(const Key *key, const Value *a, const Value *b)
{
    switch (key->type) {
    case TYPE_REAL:
    case TYPE_STEPS:
    case TYPE_DURATION: return same_real(a->real, b->real);
    case TYPE_TEXT:
    case TYPE_PATH:
    case TYPE_NAME: return same_text(a->text, b->text);
    case TYPE_MAPPING:
        return a->mapping == b->mapping || (a->mapping && b->mapping && cJSON_Compare(a->mapping, b->mapping, true));
    case TYPE_LIST:
    case TYPE_PATHS:
        if (a->list.count != b->list.count) return false;
        for (int i = 0; i < a->list.count; i++)
            if (!same_text(a->list.items[i], b->list.items[i])) return false;
        return true;
    default: return a->integer == b->integer;
    }
}

void value_store(const Key *key, const Value *value, TrainingArguments *out)
{
    if (key->offset < 0) return;
    void *at = (char *)out + key->offset;
    switch (key->type) {
    case TYPE_BOOL: *(bool *)at = value->integer != 0; break;
    case TYPE_TRI: *(int8_t *)at = (int8_t)value->integer; break;
    case TYPE_INT: *(int64_t *)at = value->integer; break;
    case TYPE_REAL:
    case TYPE_STEPS:
    case TYPE_DURATION: *(double *)at = value->real; break;
    case TYPE_TEXT:
    case TYPE_PATH:
    case TYPE_NAME: *(const char **)at = value->text; break;
    case TYPE_CHOICE: *(unsigned *)at = (unsigned)value->integer; break; /* enums without negative values */
    case TYPE_LIST:
    case TYPE_PATHS: *(TextList *)at = value->list; break;
    case TYPE_MAPPING: *(const cJSON **)at = value->mapping; break;
    }
}

void value_load(const Key *key, const TrainingArguments *from, Value *out)
{
    value_unset(key, out);
    if (key->offset < 0) return;
    const void *at = (const char *)from + key->offset;
    switch (key->type) {
    case TYPE_BOOL: out->integer = *(const bool *)at; break;
    case TYPE_TRI: out->integer = *(const int8_t *)at; break;
    case TYPE_INT: out->integer = *(const int64_t *)at; break;
    case TYPE_REAL:
    case TYPE_STEPS:
    case TYPE_DURATION: out->real = *(const double *)at; break;
    case TYPE_TEXT:
    case TYPE_PATH:
    case TYPE_NAME: out->text = *(const char *const *)at; break;
    case TYPE_CHOICE: out->integer = *(const unsigned *)at; break;
    case TYPE_LIST:
    case TYPE_PATHS: out->list = *(const TextList *)at; break;
    case TYPE_MAPPING: out->mapping = *(const cJSON *const *)at; break;
    }
}
