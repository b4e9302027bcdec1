/* Statements: scopes, assignments, output. A scope is made for a loop, a macro's call and a block that Jinja compiles
 * to a frame of its own; {% if %} has none. */
#include <stdlib.h>
#include <string.h>

#include "trainer/template/call.h"
#include "trainer/template/loop.h"

Status scope_push(Render *r, Scope *parent)
{
    Status st = OK;
    Scope *s;
    NEW(r, s, 1);
    s->parent = parent;
    r->scope = s;
done:
    return st;
}

Status scope_set(Render *r, int name, Value value)
{
    Status st = OK;
    Scope *s = r->scope;
    TRY(render_spend(r, s->count / 16));
    for (size_t i = 0; i < s->count; i++)
        if (s->variables[i].name == name) {
            s->variables[i].value = value;
            goto done;
        }
    if (s->count == s->capacity) {
        Variable *grown;
        size_t more = s->capacity ? s->capacity * 2 : 4;
        NEW(r, grown, more);
        if (s->count) memcpy(grown, s->variables, s->count * sizeof *grown);
        s->variables = grown;
        s->capacity = more;
    }
    s->variables[s->count++] = (Variable){name, value};
done:
    return st;
}

static Status assign_member(Render *r, const Node *target, Value value)
{
    Status st = OK;
    Value ns;
    Node name = {.kind = NODE_NAME, .line = target->line, .name = target->name};
    TRY(evaluate(r, &name, &ns));
    if (ns.kind == VALUE_UNDEFINED) TRY(undefined_error(ns.missing));
    if (ns.kind != VALUE_NAMESPACE) RAISE(FORMAT, "cannot assign attribute on non-namespace object");
    if (*target->constant.text == '_')
        RAISE(FORMAT, "a namespace has no attributes that begin with an underscore: `%.*s`", (int)target->constant.size,
              target->constant.text);
    TRY(dict_put(r, ns.dict, target->constant, value));
done:
    return st;
}

Status assign(Render *r, const Node *target, Value value)
{
    Status st = OK;
    Value items;
    size_t count = 0, i = 0;
    if (target->kind == NODE_NAME) return scope_set(r, target->name, value);
    if (target->kind == NODE_MEMBER) return assign_member(r, target, value);
    for (const Node *t = target->list; t; t = t->next) count++;
    if (!value_is_iterable(value)) RAISE(FORMAT, "cannot unpack non-iterable %s object", value_type(value));
    TRY(value_items(r, value, &items));
    if (items.list->count != count)
        RAISE(FORMAT, "%s values to unpack (expected %zu, got %zu)",
              items.list->count < count ? "not enough" : "too many", count, items.list->count);
    for (const Node *t = target->list; t; t = t->next) TRY(assign(r, t, items.list->items[i++]));
done:
    return st;
}

static Status run_if(Render *r, const Node *n)
{
    Status st = OK;
    Value test;
    for (const Node *branch = n->list; branch; branch = branch->next) {
        if (branch->a) TRY(evaluate(r, branch->a, &test));
        if (branch->a && !value_truth(test)) continue;
        TRY(execute(r, branch->body));
        break;
    }
done:
    return st;
}

/* `otherwise` runs when no iteration came to its end: Jinja's, not Python's meaning. */
static Status run_for(Render *r, const Node *n)
{
    Status st = OK;
    Scope *outer = r->scope;
    Value iterated, loop;
    bool more = true, ended = false;
    TRY(evaluate(r, n->b, &iterated));
    TRY(loop_start(r, n, iterated, &loop));
    TRY(scope_push(r, outer));
    Scope *inner = r->scope;
    while (r->flow != FLOW_BREAK) {
        TRY(loop_next(r, loop.loop, &more));
        if (!more) break;
        inner->count = 0;
        TRY(assign(r, n->a, loop.loop->current));
        TRY(scope_set(r, r->template->loop, loop));
        TRY(execute(r, n->body));
        ended |= r->flow == FLOW_ON;
        if (r->flow == FLOW_CONTINUE) r->flow = FLOW_ON;
    }
    r->flow = FLOW_ON;
    if (n->otherwise && !ended) {
        TRY(scope_push(r, outer));
        TRY(execute(r, n->otherwise));
    }
done:
    r->scope = outer;
    return st;
}

static Status run_set(Render *r, const Node *n)
{
    Status st = OK;
    Scope *outer = r->scope;
    Value value, captured = r->captured;
    if (n->kind == NODE_SET) {
        TRY(evaluate(r, n->b, &value));
    } else {
        TRY(scope_push(r, outer));
        TRY(call_capture(r, n->body, &value));
        if (r->flow != FLOW_ON) goto done; /* {% break %} in it */
        r->captured = value;
        if (n->b) TRY(evaluate(r, n->b, &value));
        r->scope = outer;
    }
    TRY(assign(r, n->a, value));
done:
    r->captured = captured;
    r->scope = outer;
    return st;
}

static Status macro_value(Render *r, const Node *n, Value *out)
{
    Status st = OK;
    Macro *m;
    NEW(r, m, 1);
    *m = (Macro){n, r->scope};
    *out = (Value){.kind = VALUE_MACRO, .macro = m};
done:
    return st;
}

static Status run_call_block(Render *r, const Node *n)
{
    Status st = OK;
    Value caller, value;
    TRY(macro_value(r, n, &caller));
    TRY(call_expression(r, n->a, &caller, &value));
    TRY(value_write(r, r->out, value));
done:
    return st;
}

static Status run_filter_block(Render *r, const Node *n)
{
    Status st = OK;
    Scope *outer = r->scope;
    Value captured = r->captured, value;
    TRY(scope_push(r, outer));
    TRY(call_capture(r, n->body, &value));
    if (r->flow != FLOW_ON) goto done;
    r->captured = value;
    TRY(evaluate(r, n->b, &value));
    TRY(value_write(r, r->out, value));
done:
    r->captured = captured;
    r->scope = outer;
    return st;
}

static Status run_with(Render *r, const Node *n)
{
    Status st = OK;
    Scope *outer = r->scope;
    Value value;
    TRY(scope_push(r, outer));
    Scope *inner = r->scope;
    for (const Node *pair = n->list; pair; pair = pair->next) {
        r->scope = outer; /* values are those outside */
        TRY(evaluate(r, pair->b, &value));
        r->scope = inner;
        TRY(assign(r, pair->a, value));
    }
    TRY(execute(r, n->body));
done:
    r->scope = outer;
    return st;
}

static Status run_generation(Render *r, const Node *n)
{
    Status st = OK;
    Scope *outer = r->scope;
    ChatSpans *s = r->spans;
    size_t begin = r->out->size;
    if (s && !r->direct)
        RAISE(UNSUPPORTED,
              "{%% generation %%} inside of a macro or a block that is captured: where its text goes is unknown");
    TRY(scope_push(r, outer));
    TRY(execute(r, n->body));
    if (!s) goto done;
    if (s->count == s->capacity) {
        size_t more = s->capacity ? s->capacity * 2 : 8;
        ChatSpan *grown = realloc(s->spans, more * sizeof *grown);
        if (!grown) RAISE(MEMORY, "out of memory: %zu spans", more);
        s->spans = grown;
        s->capacity = more;
    }
    s->spans[s->count++] = (ChatSpan){begin, r->out->size};
done:
    r->scope = outer;
    return st;
}

static Status one(Render *r, const Node *n)
{
    Status st = OK;
    Value value;
    switch (n->kind) {
    case NODE_TEXT: return render_add(r, r->out, n->constant.text, n->constant.size);
    case NODE_PRINT:
        TRY(evaluate(r, n->a, &value));
        TRY(value_write(r, r->out, value));
        break;
    case NODE_IF: return run_if(r, n);
    case NODE_FOR: return run_for(r, n);
    case NODE_SET: case NODE_SET_BLOCK: return run_set(r, n);
    case NODE_MACRO:
        TRY(macro_value(r, n, &value));
        TRY(scope_set(r, n->name, value));
        break;
    case NODE_CALL_BLOCK: return run_call_block(r, n);
    case NODE_FILTER_BLOCK: return run_filter_block(r, n);
    case NODE_WITH: return run_with(r, n);
    case NODE_GENERATION: return run_generation(r, n);
    case NODE_BREAK: r->flow = FLOW_BREAK; break;
    case NODE_CONTINUE: r->flow = FLOW_CONTINUE; break;
    default: RAISE(BUG, "template: node %d is no statement", (int)n->kind);
    }
done:
    return st;
}

Status execute(Render *r, const Node *statements)
{
    Status st = OK;
    TRY(render_deeper(r));
    for (const Node *n = statements; n && r->flow == FLOW_ON; n = n->next) {
        st = render_spend(r, 1);
        if (!st) st = one(r, n);
        if (st && !r->failed_line) r->failed_line = n->line;
        if (st) goto done;
    }
    r->depth--;
done:
    return st;
}
