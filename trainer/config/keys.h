/* The one table of keys: parser, `hone args` and training_args.json read it. A row is one line in keys_*.c. */
#ifndef HONE_CONFIG_KEYS_H
#define HONE_CONFIG_KEYS_H

#include <float.h>
#include <stddef.h>

#include "trainer/config/arguments.h"

typedef enum KeyType {
    TYPE_BOOL,     /* bool */
    TYPE_TRI,      /* int8_t: true, false, or -1 unset */
    TYPE_INT,      /* int64_t; ARG_UNSET */
    TYPE_REAL,     /* double; NAN unset */
    TYPE_STEPS,    /* double: a count, or a ratio below 1 */
    TYPE_DURATION, /* double, seconds: "90", "90m", "1:30:00" */
    TYPE_TEXT,     /* const char * */
    TYPE_PATH,     /* const char *; a leading ~ is expanded */
    TYPE_NAME,     /* const char *, one of choices */
    TYPE_CHOICE,   /* an enum: the position in choices */
    TYPE_LIST,     /* TextList; choices, if any, are for its items */
    TYPE_PATHS,    /* TextList; a single path is a list of one */
    TYPE_MAPPING,  /* const cJSON * */
} KeyType;

typedef enum KeyClass {
    KEY_HONOURED,
    KEY_ACCEPTED, /* read and checked; has no effect by its nature */
    KEY_LATER,    /* means something for hone, and this version does not do it: only its default is taken */
    KEY_REFUSED,  /* cannot apply: only its default is taken */
    KEY_ALIAS,    /* another name of `target` */
} KeyClass;

typedef struct Range {
    double least, most;
    bool least_open, most_open, limited; /* not limited: any */
} Range;

typedef struct Key {
    const char *name;
    KeyType type;
    KeyClass class;
    ptrdiff_t offset;     /* of its field; -1: it has none */
    const char *fallback; /* the default as text, NULL: unset */
    Range range;
    const char *choices;  /* "a,b": what is honoured; NULL: free */
    const char *others;   /* known values that are refused */
    const char *help;
    const char
        *why; /* KEY_LATER, KEY_REFUSED, KEY_ACCEPTED: the reason and what to do instead; or why `others` are refused */
    const char *target;   /* KEY_ALIAS */
    const char *becomes;  /* KEY_ALIAS: `true` sets target to this, `false` leaves it alone */
    bool null_unsets;     /* null is no default but a value of its own: unset */
    bool changes_nothing; /* the reference counts it among the accepted: no result depends on it, or on its default */
} Key;

#define ANY {0}
#define AT_LEAST(x) {.least = (x), .most = DBL_MAX, .limited = true}
#define ABOVE(x) {.least = (x), .most = DBL_MAX, .least_open = true, .limited = true}
#define WITHIN(a, b) {.least = (a), .most = (b), .limited = true}
#define FROM_BELOW(a, b) {.least = (a), .most = (b), .most_open = true, .limited = true} /* a <= x < b */

#define KEY_FIELD(field) (ptrdiff_t)offsetof(TrainingArguments, field)
#define KEY_ROW(key, kind, where, def, text, ...) /* the range last: it has commas */ \
    .name = (key), .type = TYPE_##kind, .offset = (where), .fallback = (def), .help = (text), .range = __VA_ARGS__

/* Honoured. Numbers and booleans are written as they are; UNSET_ forms have no default. */
#define BOOL(key, field, def, text) {KEY_ROW(key, BOOL, KEY_FIELD(field), #def, text, ANY)}
#define TRI(key, field, text) {KEY_ROW(key, TRI, KEY_FIELD(field), NULL, text, ANY)}
#define INT(key, field, def, limits, text) {KEY_ROW(key, INT, KEY_FIELD(field), #def, text, limits)}
#define INT_UNSET(key, field, limits, text) {KEY_ROW(key, INT, KEY_FIELD(field), NULL, text, limits)}
#define INT_OR_NULL(key, field, def, limits, text) \
    {KEY_ROW(key, INT, KEY_FIELD(field), #def, text, limits), .null_unsets = true}
#define REAL(key, field, def, limits, text) {KEY_ROW(key, REAL, KEY_FIELD(field), #def, text, limits)}
#define STEPS(key, field, def, limits, text) {KEY_ROW(key, STEPS, KEY_FIELD(field), def, text, limits)}
#define DURATION(key, field, text) {KEY_ROW(key, DURATION, KEY_FIELD(field), NULL, text, ABOVE(0))}
#define TEXT(key, field, text) {KEY_ROW(key, TEXT, KEY_FIELD(field), NULL, text, ANY)}
#define TEXT_OR(key, field, def, text) {KEY_ROW(key, TEXT, KEY_FIELD(field), def, text, ANY)}
#define PATH(key, field, text) {KEY_ROW(key, PATH, KEY_FIELD(field), NULL, text, ANY)}
#define PATHS(key, field, text) {KEY_ROW(key, PATHS, KEY_FIELD(field), NULL, text, ANY)}
#define LIST(key, field, def, values, refused, reason, text) \
    {KEY_ROW(key, LIST, KEY_FIELD(field), def, text, ANY), .choices = (values), .others = (refused), .why = (reason)}
#define MAPPING(key, field, text) {KEY_ROW(key, MAPPING, KEY_FIELD(field), NULL, text, ANY)}
#define NAME(key, field, def, values, refused, reason, text) \
    {KEY_ROW(key, NAME, KEY_FIELD(field), def, text, ANY), .choices = (values), .others = (refused), .why = (reason)}
#define CHOICE(key, field, def, values, refused, reason, text) \
    {KEY_ROW(key, CHOICE, KEY_FIELD(field), def, text, ANY), .choices = (values), .others = (refused), .why = (reason)}

/* Honoured, and no result depends on it. */
#define QUIET_INT(key, field, def, limits, text) \
    {KEY_ROW(key, INT, KEY_FIELD(field), def, text, limits), .changes_nothing = true}
#define QUIET_PATH(key, field, text) {KEY_ROW(key, PATH, KEY_FIELD(field), NULL, text, ANY), .changes_nothing = true}

/* Without a field: `def` as text, NULL for unset. */
#define ACCEPTED(key, kind, def, limits, text, reason)                                                                 \
    {                                                                                                                  \
        KEY_ROW(key, kind, -1, def, text, limits), .class = KEY_ACCEPTED, .why = (reason)                              \
    }
#define ACCEPTED_NAME(key, def, values, text, reason) \
    {KEY_ROW(key, NAME, -1, def, text, ANY), .class = KEY_ACCEPTED, .choices = (values), .why = (reason)}
#define LATER(key, kind, def, text, instead)                                                                           \
    {                                                                                                                  \
        KEY_ROW(key, kind, -1, def, text, ANY), .class = KEY_LATER, .why = (instead)                                   \
    }
#define REFUSED(key, kind, def, text, reason)                                                                          \
    {                                                                                                                  \
        KEY_ROW(key, kind, -1, def, text, ANY), .class = KEY_REFUSED, .why = (reason)                                  \
    }
/* A switch whose other position cannot apply. */
#define ONLY(key, def, text, reason) \
    {KEY_ROW(key, BOOL, -1, def, text, ANY), .class = KEY_REFUSED, .why = (reason), .changes_nothing = true}
#define ALIAS(old, kind, new)                                                                                          \
    {                                                                                                                  \
        KEY_ROW(old, kind, -1, NULL, "Old name of " new ".", ANY), .class = KEY_ALIAS, .target = (new)                 \
    }
#define ALIAS_TRUE(old, new, value)                                                                                    \
    {                                                                                                                  \
        KEY_ROW(old, BOOL, -1, NULL, "true: " new "=" value ".", ANY), .class = KEY_ALIAS, .target = (new),            \
                                                                       .becomes = (value)                              \
    }

typedef struct KeyGroup {
    const char *title;
    const Key *keys;
    int count;
} KeyGroup;

#define KEY_GROUPS(GROUP)                                                                                              \
    GROUP(training) GROUP(logs) GROUP(machine) GROUP(hub) GROUP(data) GROUP(sft) GROUP(adapters) GROUP(tasks) GROUP(old)
#define KEY_GROUP_DECLARE(name) extern const KeyGroup keys_##name;
KEY_GROUPS(KEY_GROUP_DECLARE)
#define KEY_GROUP(name, heading) \
    const KeyGroup keys_##name = {heading, keys, (int)(sizeof keys / sizeof *keys)}

/* key_at(0), key_at(1), … NULL after the last. */
const Key *key_at(int index);
const Key *key_find(const char *name); /* NULL when there is none; '-' equals '_' */
const char *key_nearest(const char *name); /* the known key that is most like it; NULL when none is near */
const char *key_group_title(int index);    /* of key_at(index) */

/* As people write types: "float", "int?", "str?", "list[str]?", … */
const char *key_type_name(const Key *key);
/* "honoured", "accepted", "not in this version", "refused", "old name". */
const char *key_state(const Key *key);
/* The word among "a,b,c" that equals value: its position, -1. */
int choice_find(const char *choices, const char *value, size_t length);

/* `hone args --json`: a list of objects. NULL: no memory. */
cJSON *keys_to_json(void);

#endif
