/* jinja2's runtime.LoopContext. */
#include "trainer/template/loop.h"

#include <string.h>

#include "trainer/template/builtins.h"

Status loop_start(Render *r, const Node *node, Value iterated, Value *out)
{
    Status st = OK;
    Loop *l;
    NEW(r, l, 1);
    l->node = node;
    l->index0 = -1;
    TRY(value_items(r, iterated, &l->items));
    if (node->c) {
        Scope *outer = r->scope;
        TRY(scope_push(r, outer));
        l->test_scope = r->scope;
        r->scope = outer;
    }
    *out = (Value){.kind = VALUE_LOOP, .loop = l};
done:
    return st;
}

/* The next item that the condition lets pass; VALUE_ABSENT: none. */
static Status advance(Render *r, Loop *l, Value *out)
{
    Status st = OK;
    Scope *scope = r->scope;
    *out = (Value){0};
    while (l->next < l->items.list->count && out->kind == VALUE_ABSENT) {
        Value item = l->items.list->items[l->next++], test;
        TRY(render_spend(r, 1));
        bool passes = true;
        if (l->test_scope) {
            r->scope = l->test_scope;
            TRY(assign(r, l->node->a, item));
            TRY(evaluate(r, l->node->c, &test));
            r->scope = scope;
            passes = value_truth(test);
        }
        if (passes) *out = item;
    }
    if (out->kind == VALUE_ABSENT) l->exhausted = true;
done:
    r->scope = scope;
    return st;
}

static Status peek(Render *r, Loop *l, Value *out)
{
    Status st = OK;
    if (l->after.kind == VALUE_ABSENT && !l->exhausted) TRY(advance(r, l, &l->after));
    *out = l->after;
done:
    return st;
}

Status loop_next(Render *r, Loop *l, bool *more)
{
    Status st = OK;
    Value item;
    TRY(peek(r, l, &item));
    l->after = (Value){0};
    *more = item.kind != VALUE_ABSENT;
    if (!*more) goto done;
    l->index0++;
    l->before = l->current;
    l->current = item;
done:
    return st;
}

Status loop_length(Render *r, Loop *l, int64_t *out)
{
    Status st = OK;
    if (l->test_scope) { /* the rest passes the condition now */
        Value rest, item;
        size_t capacity = 0;
        TRY(value_list(r, VALUE_LIST, 0, &rest));
        for (;;) {
            TRY(advance(r, l, &item));
            if (item.kind == VALUE_ABSENT) break;
            TRY(value_append(r, rest, &capacity, item));
        }
        Value all;
        size_t seen = (size_t)(l->index0 + 1) + (l->after.kind != VALUE_ABSENT);
        TRY(value_list(r, VALUE_LIST, seen + rest.list->count, &all)); /* those seen are not looked at again */
        if (rest.list->count) memcpy(all.list->items + seen, rest.list->items, rest.list->count * sizeof(Value));
        l->items = all;
        l->next = seen;
        l->test_scope = NULL;
        l->exhausted = false;
    }
    *out = (int64_t)l->items.list->count;
done:
    return st;
}

static bool is(Value name, const char *word)
{
    return strlen(word) == name.size && !memcmp(word, name.text, name.size);
}

static Status neighbour(Render *r, Value item, const char *hint, Value *out)
{
    if (item.kind == VALUE_ABSENT) return value_undefined_hint(r, hint, out);
    *out = item;
    return OK;
}

Status loop_attribute(Render *r, Loop *l, Value name, Value *out, bool *found)
{
    Status st = OK;
    Value after;
    int64_t length = 0;
    *found = true;
    if (is(name, "index0")) *out = value_int(l->index0);
    else if (is(name, "index")) *out = value_int(l->index0 + 1);
    else if (is(name, "first")) *out = value_bool(l->index0 == 0);
    else if (is(name, "depth")) *out = value_int(1);
    else if (is(name, "depth0")) *out = value_int(0);
    else if (is(name, "previtem"))
        TRY(neighbour(r, l->index0 == 0 ? (Value){0} : l->before, "there is no previous item", out));
    else if (is(name, "last") || is(name, "nextitem")) {
        TRY(peek(r, l, &after));
        if (is(name, "last")) *out = value_bool(after.kind == VALUE_ABSENT);
        else TRY(neighbour(r, after, "there is no next item", out));
    } else if (is(name, "length") || is(name, "revindex") || is(name, "revindex0")) {
        TRY(loop_length(r, l, &length));
        *out = value_int(is(name, "length") ? length : length - l->index0 - is(name, "revindex0"));
    } else *found = false;
done:
    return st;
}

Status loop_cycle(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    (void)r;
    if (!c->count) RAISE(FORMAT, "no items for cycling given");
    *out = c->values[c->subject.loop->index0 % (int64_t)c->count];
done:
    return st;
}

Status loop_changed(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Loop *l = c->subject.loop;
    Value now;
    bool equal = false;
    TRY(value_list(r, VALUE_TUPLE, c->count, &now));
    for (size_t i = 0; i < c->count; i++) now.list->items[i] = c->values[i];
    if (l->changed.kind != VALUE_ABSENT) TRY(values_equal(r, l->changed, now, &equal));
    if (!equal) l->changed = now;
    *out = value_bool(!equal);
done:
    return st;
}
