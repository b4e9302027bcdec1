/* A rendering under way: memory, output, variables, and the limits that keep a hostile template from hanging or eating
 * the machine. Every function returns errors without the line; evaluate adds that. */
#ifndef HONE_TEMPLATE_RENDER_H
#define HONE_TEMPLATE_RENDER_H

#include <time.h>

#include "trainer/base/json.h"
#include "trainer/template/chat_template.h"
#include "trainer/template/node.h"
#include "trainer/template/parser.h"

enum {
    RENDER_STEPS = 20000000,  /* units of work: a node, an item, 64 bytes */
    RENDER_DEPTH = 600,       /* of evaluation and of values inside each other, together */
    RENDER_RANGE = 100000,    /* the sandbox's */
};
#define RENDER_BYTES ((size_t)256 << 20) /* beyond what the input takes: strings, lists, output */

typedef struct Variable {
    int name;
    Value value;
} Variable;

typedef struct Scope Scope;
struct Scope {
    Scope *parent;
    Variable *variables;
    size_t count, capacity;
};

struct Macro {
    const Node *node; /* NODE_MACRO, NODE_CALL_BLOCK */
    Scope *scope;     /* where it was made */
};

typedef enum Flow { FLOW_ON, FLOW_BREAK, FLOW_CONTINUE } Flow;

typedef struct Render {
    const Parsed *template;
    Arena *arena;
    Value *inputs; /* by name's number; VALUE_ABSENT */
    Scope *scope;
    Text *out;
    bool direct; /* `out` is the final one, not a block's that is captured */
    ChatSpans *spans;
    const struct tm *now;
    Value captured; /* NODE_CAPTURED's */
    Flow flow;
    size_t steps, bytes; /* that are left */
    int depth;
    uint32_t failed_line; /* 0: nothing has failed, or it has no line */
    Status shortage;      /* why render_array gave NULL */
} Render;

/* Zeroed, in the arena; NULL: r->shortage is the status, the message is set. */
void *render_array(Render *r, size_t count, size_t size);
#define NEW(r, ptr, count_)                                         \
    do {                                                            \
        (ptr) = render_array((r), (size_t)(count_), sizeof *(ptr)); \
        if (!(ptr)) {                                               \
            st = (r)->shortage;                                     \
            goto done;                                              \
        }                                                           \
    } while (0)
Status render_spend(Render *r, size_t steps);
Status render_deeper(Render *r); /* r->depth-- when it returned OK and is left */
/* Text being made: the same limits, in a Text of malloc. */
Status render_add(Render *r, Text *t, const char *data, size_t size);
Status render_keep(Render *r, Text *t, Value *out); /* t into the arena; t is freed, also when this fails */

Status value_copy(Render *r, const char *text, size_t size, Value *out); /* a string */
Status value_printf(Render *r, Value *out, const char *format, ...) __attribute__((format(printf, 3, 4)));
Status value_list(Render *r, Kind kind, size_t count, Value *out);       /* items VALUE_ABSENT, to be set */
Status value_append(Render *r, Value list, size_t *capacity, Value item);
Status value_dict(Render *r, Value *out);
Status dict_put(Render *r, Dict *d, Value key, Value value);
Status dict_find(Render *r, const Dict *d, Value key, const Value **out); /* NULL: not there */
const Value *dict_find_text(const Dict *d, const char *text, size_t size);
/* Of an object (VALUE_ABSENT: a variable) that lacks `name`. */
Status value_undefined(Render *r, Value object, Value name, Value *out);
Status value_undefined_hint(Render *r, const char *hint, Value *out);
Status undefined_error(const Missing *m); /* raises what it says */
Status value_from_json(Render *r, const cJSON *json, Value *out);

bool value_truth(Value v);
Status values_equal(Render *r, Value a, Value b, bool *out);
Status value_less(Render *r, const char *operator_text, Value a, Value b, bool *out); /* a < b */
Status value_contains(Render *r, Value container, Value item, bool *out);
Status value_length(Render *r, Value v, int64_t *out); /* an error where Python has no len() */
bool value_is_iterable(Value v);
/* All items as a VALUE_LIST that may be shared with v: not to be changed. Uses up an iterator. */
Status value_items(Render *r, Value v, Value *out);
Status operator_binary(Render *r, Operator op, Value a, Value b, Value *out);
Status operator_compare(Render *r, Operator op, Value a, Value b, bool *out);

Status value_str(Render *r, Value v, Value *out); /* Python's str(v) */
Status value_write(Render *r, Text *t, Value v);  /* the same, added to t */
Status value_repr(Render *r, Text *t, Value v);
void real_repr(Text *t, double real);
Status format_percent(Render *r, Value format, Value values, Value *out); /* format % values */

Status value_attribute(Render *r, Value object, Value name, Value *out); /* object.name */
Status value_item(Render *r, Value object, Value key, Value *out);       /* object[key] */
Status value_slice(Render *r, Value object, Value start, Value stop, Value step, Value *out);
/* "a.b,c" of filters: items of items; numbers are indexes. attribute VALUE_NONE or ABSENT: the object itself. */
Status value_path(Render *r, Value object, Value attribute, Value fallback, Value *out);

Status scope_push(Render *r, Scope *parent);
Status scope_set(Render *r, int name, Value value);
Status evaluate(Render *r, const Node *n, Value *out);
Status assign(Render *r, const Node *target, Value value);
Status execute(Render *r, const Node *statements); /* r->flow may have changed */

#endif
