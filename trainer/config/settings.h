/* Between the readers (YAML, JSON, command line), the key table and the rules. */
#ifndef HONE_CONFIG_SETTINGS_H
#define HONE_CONFIG_SETTINGS_H

#include "trainer/config/keys.h"

/* A value as it was written, before its key's type is known. In the arena. */
typedef enum RawKind { RAW_NULL, RAW_SCALAR, RAW_LIST, RAW_MAPPING } RawKind;
typedef struct Raw {
    RawKind kind;
    bool quoted;        /* a scalar that is text whatever it looks like */
    const char *text;   /* RAW_SCALAR */
    struct Raw **items; /* RAW_LIST, RAW_MAPPING */
    const char **keys;  /* RAW_MAPPING */
    size_t count, items_capacity, keys_capacity;
} Raw;

/* A line to be told for each thing that is wrong. */
typedef struct Problems {
    Text text;
    int count;
} Problems;
void problem(Problems *p, const char *where, const char *format, ...) __attribute__((format(printf, 3, 4)));

typedef struct Entry {
    const char *key, *where; /* "run.yaml:12", "--learning_rate" */
    Raw *value;
} Entry;

enum { MAX_KEYS = 400 };

typedef struct Settings {
    Arena *arena;
    TrainingArguments *out;
    const char *where[MAX_KEYS]; /* who gave key_at(i); NULL: nobody */
    Entry *entries;              /* line_count of the command line, then those of the file */
    size_t count, capacity, line_count;
    Problems problems;
} Settings;

/* Readers. They add entries; what is wrong goes to problems, and only a file that cannot be read is a failure. */
Status settings_add(Settings *s, const char *key, const char *where, Raw *value);
Status settings_read_file(Settings *s, const char *path);
Status settings_read_yaml(Settings *s, const char *path, const char *text, size_t size);
Status settings_read_line(Settings *s, int argc, char **argv);
/* Types the entries into s->out; the command line wins over the file. */
Status settings_apply(Settings *s);
/* Rules between keys, and values that follow from others. */
Status settings_finish(Settings *s);
Status settings_check_members(Settings *s);

bool settings_given(const Settings *s, const char *key);
/* A problem with a key, told with the place that gave it. */
void settings_problem(Settings *s, const char *key, const char *format, ...) __attribute__((format(printf, 3, 4)));

Raw *raw_scalar(Arena *arena, const char *text, bool quoted); /* NULL: no memory; so below */
Raw *raw_from_json(Arena *arena, const cJSON *value);
bool raw_append(Arena *arena, Raw *list, const char *key, Raw *item); /* key: NULL in a list */
cJSON *raw_to_json(Arena *arena, const Raw *raw);

/* One typed value. */
typedef struct Value {
    int64_t integer; /* also booleans, tri-states and the position of a choice */
    double real;
    const char *text;
    TextList list;
    const cJSON *mapping;
} Value;

/* Reads raw as the key's type. *wrong: what is wrong with it ("must be …"), NULL when it is fine. STATUS_MEMORY only.
 */
Status value_read(const Key *key, const Raw *raw, Arena *arena, Value *out, const char **wrong);
void value_unset(const Key *key, Value *out);
bool value_equal(const Key *key, const Value *a, const Value *b);
void value_store(const Key *key, const Value *value, TrainingArguments *out);
void value_load(const Key *key, const TrainingArguments *from, Value *out);
bool read_real(const char *text, double *out); /* decimal, all of it, finite */
int read_bool(const char *text);               /* 1, 0, -1: neither */

#endif
