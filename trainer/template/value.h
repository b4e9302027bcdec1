/* The values that a chat template computes with: Python's, as far as templates need them. Strings are UTF-8, immutable
 * and borrowed from the input, the template or the rendering's arena; they count in code points. */
#ifndef HONE_TEMPLATE_VALUE_H
#define HONE_TEMPLATE_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum Kind {
    VALUE_ABSENT, /* an argument that was not given */
    VALUE_UNDEFINED,
    VALUE_NONE,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_REAL,
    VALUE_STRING,
    VALUE_LIST,
    VALUE_TUPLE,
    VALUE_RANGE,
    VALUE_VIEW,     /* dict.keys() and such: counted and iterated, not subscripted */
    VALUE_ITERATOR, /* what map, select and such return: iterated once */
    VALUE_DICT,
    VALUE_NAMESPACE,
    VALUE_MACRO,
    VALUE_METHOD,
    VALUE_GLOBAL, /* range, namespace, … */
    VALUE_LOOP,
} Kind;

typedef struct Value Value;
typedef struct List List;
typedef struct Dict Dict;
typedef struct Missing Missing;
typedef struct Macro Macro;
typedef struct Method Method;
typedef struct Loop Loop;
typedef struct Builtin Builtin;

struct Value {
    Kind kind;
    union {
        bool truth;
        int64_t integer;
        double real;
        struct {
            const char *text;
            size_t size;
        };
        List *list; /* LIST, TUPLE, RANGE, VIEW, ITERATOR */
        Dict *dict; /* DICT, NAMESPACE */
        const Missing *missing;
        const Macro *macro;
        const Method *method;
        const Builtin *global;
        Loop *loop;
    };
};

struct List {
    Value *items;
    size_t count;
    const char *label;         /* VIEW: Python's name of it */
    size_t next;               /* ITERATOR: how far it is used up */
    int64_t start, stop, step; /* RANGE */
};

typedef struct Pair {
    Value key, value;
} Pair;

struct Dict { /* in the order of insertion */
    Pair *pairs;
    size_t count, capacity;
};

/* Why a value is undefined: what an error says that uses it. */
struct Missing {
    const char *hint;   /* the whole message, or NULL: */
    const char *object; /* "dict object", NULL for a variable */
    Value name;
};

struct Method {
    Value subject;
    const Builtin *builtin;
};

static inline Value value_none(void) { return (Value){.kind = VALUE_NONE}; }
static inline Value value_bool(bool truth) { return (Value){.kind = VALUE_BOOL, .truth = truth}; }
static inline Value value_int(int64_t integer) { return (Value){.kind = VALUE_INT, .integer = integer}; }
static inline Value value_real(double real) { return (Value){.kind = VALUE_REAL, .real = real}; }
static inline Value value_string(const char *text, size_t size)
{
    return (Value){.kind = VALUE_STRING, .text = text, .size = size};
}

static inline bool value_is_list(Value v) { return v.kind == VALUE_LIST || v.kind == VALUE_TUPLE; }
static inline bool value_is_whole(Value v) { return v.kind == VALUE_INT || v.kind == VALUE_BOOL; }
static inline bool value_is_number(Value v) { return value_is_whole(v) || v.kind == VALUE_REAL; }
static inline int64_t value_whole(Value v) { return v.kind == VALUE_BOOL ? v.truth : v.integer; }
static inline double value_double(Value v) { return v.kind == VALUE_REAL ? v.real : (double)value_whole(v); }

/* "str", "dict", …: Python's name of the type. */
const char *value_type(Value v);

#endif
