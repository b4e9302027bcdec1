/* From a config file and a command line to TrainingArguments: read all entries, type them by their rows, apply the
 * rules. */
#include "trainer/config/arguments.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/log.h"
#include "trainer/config/settings.h"

enum { MOST_LINES = 100 };

void problem(Problems *p, const char *where, const char *format, ...)
{
    char line[2000];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    if (++p->count <= MOST_LINES)
        text_printf(&p->text, "%s%s: %s", p->count > 1 ? "\n" : "", where ? where : "config", line);
}

bool settings_given(const Settings *s, const char *key)
{
    const Key *k;
    for (int i = 0; (k = key_at(i)); i++)
        if (strcmp(k->name, key) == 0) return s->where[i] != NULL;
    return false;
}

void settings_problem(Settings *s, const char *key, const char *format, ...)
{
    char text[1600];
    const Key *k;
    const char *where = NULL;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    for (int i = 0; (k = key_at(i)) && !where; i++)
        if (strcmp(k->name, key) == 0) where = s->where[i];
    if (!where) where = s->out->config_path;
    problem(&s->problems, where, "`%s` %s", key, text);
}

Status settings_add(Settings *s, const char *key, const char *where, Raw *value)
{
    s->entries = arena_grow(s->arena, s->entries, &s->capacity, s->count + 1, sizeof *s->entries);
    if (!s->entries) return STATUS_MEMORY;
    s->entries[s->count++] = (Entry){.key = key, .where = where, .value = value};
    return OK;
}

static int index_of(const Key *key)
{
    int i = 0;
    while (key_at(i) != key) i++;
    return i;
}

/* The default's value. */
static Status fallback_of(const Key *key, Arena *arena, Value *out)
{
    const char *wrong;
    value_unset(key, out);
    if (!key->fallback) return OK;
    if (!*key->fallback && (key->type == TYPE_TEXT || key->type == TYPE_LIST)) {
        out->text = "";
        return OK;
    }
    Raw raw = {.kind = RAW_SCALAR, .quoted = true, .text = key->fallback};
    Status st = value_read(key, &raw, arena, out, &wrong);
    return st == OK && wrong ? status_raise(STATUS_BUG, "the default of %s %s", key->name, wrong) : st;
}

static Status set_defaults(Settings *s)
{
    Status st = OK;
    const Key *key;
    Value value;
    for (int i = 0; (key = key_at(i)); i++) {
        if (i >= MAX_KEYS) RAISE(BUG, "more than %d keys", MAX_KEYS);
        if (key->class == KEY_ALIAS) continue;
        TRY(fallback_of(key, s->arena, &value));
        value_store(key, &value, s->out);
    }
done:
    return st;
}

/* A key without a field: its value may be anything of its type (accepted), or only the default. */
static Status check_fieldless(Settings *s, const Key *key, const Entry *entry, const Value *value)
{
    Status st = OK;
    Value fallback;
    if (key->class == KEY_ACCEPTED) goto done;
    TRY(fallback_of(key, s->arena, &fallback));
    bool off = key->type == TYPE_TRI && value->integer == 0; /* to switch off what is off is fine */
    bool empty = value->text && !fallback.text && (!*value->text || (value->text[1] && read_bool(value->text) == 0));
    if (off || empty || value_equal(key, value, &fallback)) goto done;
    if (key->class == KEY_LATER)
        problem(&s->problems, entry->where, "`%s` is not honoured by this version of hone: %s", key->name, key->why);
    else problem(&s->problems, entry->where, "`%s` cannot apply: %s", key->name, key->why);
done:
    return st;
}

/* `key` is named as the user did; what it sets is `target`. */
static Status set_value(Settings *s, const Key *key, const Key *target, const Entry *entry)
{
    Status st = OK;
    const char *wrong;
    Value value;
    int index = index_of(target);
    if (entry->value->kind == RAW_NULL && !target->null_unsets) goto done; /* unset: the default */
    TRY(value_read(target, entry->value, s->arena, &value, &wrong));
    if (!wrong && strcmp(key->name, "warmup_ratio") == 0 && value.real >= 1)
        wrong = "must be below 1; give steps in warmup_steps";
    if (wrong) {
        problem(&s->problems, entry->where, "`%s` %s", key->name, wrong);
        s->where[index] = entry->where;
        goto done;
    }
    if (target->offset < 0) TRY(check_fieldless(s, target, entry, &value));
    s->where[index] = entry->where;
    value_store(target, &value, s->out);
done:
    return st;
}

/* The old name is another spelling: it gives way to the new one at its default, and contradicts any other value of it.
 */
static Status set_alias(Settings *s, const Key *key, const Entry *entry)
{
    Status st = OK;
    Entry changed = *entry;
    const Key *target = key_find(key->target);
    if (!target) RAISE(BUG, "%s: no key %s", key->name, key->target);
    Value before, after, fallback;
    if (entry->value->kind == RAW_NULL) goto done;
    if (key->becomes) {
        int on = entry->value->kind == RAW_SCALAR ? read_bool(entry->value->text) : -1;
        if (on < 0) problem(&s->problems, entry->where, "`%s` must be true or false", key->name);
        if (on <= 0) goto done;
        changed.value = raw_scalar(s->arena, key->becomes, true);
        TRY_MEMORY(changed.value);
    }
    const char *other = s->where[index_of(target)];
    int told = s->problems.count;
    value_load(target, s->out, &before);
    TRY(set_value(s, key, target, &changed));
    if (s->problems.count > told) goto done;
    value_load(target, s->out, &after);
    TRY(fallback_of(target, s->arena, &fallback));
    if (other && target->offset >= 0 && !value_equal(target, &before, &after) &&
        !value_equal(target, &before, &fallback)) {
        if (value_equal(target, &after, &fallback)) value_store(target, &before, s->out);
        else
            problem(&s->problems, entry->where,
                    "`%s` is the old name of `%s`, which %s sets to another value; remove one", key->name, target->name,
                    other);
    }
    log_info("%s: `%s` is an old name; read as `%s`", entry->where, key->name, target->name);
done:
    return st;
}

static Status apply(Settings *s, const Entry *entry, bool aliases)
{
    const Key *key = key_find(entry->key);
    if (key && (key->class == KEY_ALIAS) == aliases)
        return aliases ? set_alias(s, key, entry) : set_value(s, key, key, entry);
    if (!key && !aliases) {
        const char *nearest = key_nearest(entry->key);
        if (nearest) problem(&s->problems, entry->where, "unknown key `%s`; did you mean `%s`?", entry->key, nearest);
        else problem(&s->problems, entry->where, "unknown key `%s`; `hone args` lists all", entry->key);
    }
    return OK;
}

static const char *name_of(const Entry *entry)
{
    const Key *key = key_find(entry->key);
    return !key ? entry->key : key->class == KEY_ALIAS ? key->target : key->name;
}

/* Is the entry of the file made void by the command line? */
static bool overridden(const Settings *s, const Entry *entry)
{
    for (size_t i = 0; i < s->line_count; i++)
        if (strcmp(name_of(&s->entries[i]), name_of(entry)) == 0) return true;
    return false;
}

Status settings_apply(Settings *s)
{
    Status st = OK;
    for (size_t i = s->line_count; i < s->count; i++) /* - and _ are the same in names, so compare what they name */
        for (size_t j = s->line_count; j < i; j++) {
            const Key *a = key_find(s->entries[i].key), *b = key_find(s->entries[j].key);
            bool same = a ? a == b : strcmp(s->entries[i].key, s->entries[j].key) == 0;
            if (same)
                problem(&s->problems, s->entries[i].where, "`%s` is given twice, first at %s", s->entries[i].key,
                        s->entries[j].where);
            if (same) break;
        }
    for (int aliases = 0; aliases < 2; aliases++) {
        for (size_t i = s->line_count; i < s->count; i++)
            if (!overridden(s, &s->entries[i])) TRY(apply(s, &s->entries[i], aliases));
        for (size_t i = 0; i < s->line_count; i++) TRY(apply(s, &s->entries[i], aliases));
    }
done:
    return st;
}

static Status raise_problems(const Problems *p)
{
    if (!p->count) return OK;
    if (p->text.failed) return status_raise(STATUS_MEMORY, "out of memory");
    if (p->count == 1) return status_raise(STATUS_USAGE, "%s", p->text.data);
    if (p->count > MOST_LINES)
        return status_raise(STATUS_USAGE, "%d problems:\n%s\nand %d more", p->count, p->text.data,
                            p->count - MOST_LINES);
    return status_raise(STATUS_USAGE, "%d problems:\n%s", p->count, p->text.data);
}

Status arguments_load(int argc, char **argv, Arena *arena, TrainingArguments *out)
{
    Status st = OK;
    Settings s = {.arena = arena, .out = out};
    *out = (TrainingArguments){0};
    TRY(set_defaults(&s));
    st = settings_read_line(&s, argc, argv);
    if (st == STATUS_USAGE) { /* a file that cannot be parsed: tell that, and what the command line has */
        problem(&s.problems, "config", "%s", status_message());
        s.count = s.line_count;
        st = OK;
    }
    TRY(st);
    TRY(settings_apply(&s));
    TRY(settings_check_members(&s));
    TRY(settings_finish(&s));
    TRY(raise_problems(&s.problems));
done:
    text_free(&s.problems.text);
    return st;
}

Status arguments_default(Arena *arena, TrainingArguments *out) { return arguments_load(0, NULL, arena, out); }

/* The integer part; a count beyond any run is a large one. */
static int64_t whole(double value) { return value < 1e15 ? (int64_t)value : (int64_t)1e15; }

int64_t steps_resolve(double value, int64_t max_steps)
{
    if (isnan(value) || value <= 0) return 0;
    if (value >= 1) return whole(value);
    double steps = ceil(value * (double)max_steps);
    return steps < 1 ? 1 : whole(steps);
}

int64_t warmup_resolve(double value, int64_t max_steps)
{
    if (isnan(value) || value <= 0) return 0;
    return whole(value >= 1 ? value : ceil(value * (double)max_steps));
}

double arguments_optim_arg(const TrainingArguments *a, const char *key, double fallback)
{
    size_t length = strlen(key);
    for (const char *at = a->optim_args; at;) {
        at += strspn(at, " ,");
        if (strncmp(at, key, length) == 0 && at[length] == '=') {
            const char *value = at + length + 1;
            if (strncasecmp(value, "true", 4) == 0) return 1;
            return strncasecmp(value, "false", 5) == 0 ? 0 : strtod(value, NULL);
        }
        at = strchr(at, ',');
    }
    return fallback;
}
