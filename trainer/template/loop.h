/* A {% for %} under way: what its variable `loop` tells. The condition of the loop is evaluated item by item, as far as
 * the body has come, for it may read what the body sets. */
#ifndef HONE_TEMPLATE_LOOP_H
#define HONE_TEMPLATE_LOOP_H

#include "trainer/template/render.h"

struct Loop {
    const Node *node;
    Value items;     /* VALUE_LIST */
    size_t next;     /* in items: the first that was not looked at */
    int64_t index0;
    Value before, current, after; /* VALUE_ABSENT: none, or not looked at */
    bool exhausted;
    Scope *test_scope; /* where the condition's target lives; NULL: no condition */
    Value changed;     /* VALUE_ABSENT: never asked */
};

Status loop_start(Render *r, const Node *node, Value iterated, Value *out);
/* The next item: *more false at the end. */
Status loop_next(Render *r, Loop *l, bool *more);
Status loop_length(Render *r, Loop *l, int64_t *out);
/* loop.index and so on; *found false: there is no such attribute. */
Status loop_attribute(Render *r, Loop *l, Value name, Value *out, bool *found);

#endif
