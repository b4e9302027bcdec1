/* Arguments are evaluated left to right, then bound: by builtin_call, or here to a macro's parameters as jinja2's
 * runtime.Macro does: what is missing is its default, evaluated in the macro, or undefined. */
#include "trainer/template/call.h"

#include <string.h>

static Status arguments(Render *r, const Node *n, const Value *caller, Call *c)
{
    Status st = OK;
    size_t count = 0, keywords = caller != NULL;
    for (const Node *a = n->list; a; a = a->next) *(a->kind == NODE_KEYWORD ? &keywords : &count) += 1;
    Value *values;
    Keyword *named;
    NEW(r, values, count);
    NEW(r, named, keywords);
    for (const Node *a = n->list; a; a = a->next) {
        if (a->kind == NODE_KEYWORD) {
            Keyword *k = &named[c->keyword_count++];
            k->name = a->constant.text;
            k->size = a->constant.size;
            TRY(evaluate(r, a->a, &k->value));
        } else {
            TRY(evaluate(r, a, &values[c->count++]));
        }
    }
    if (caller) named[c->keyword_count++] = (Keyword){"caller", 6, *caller};
    c->values = values;
    c->keywords = named;
done:
    return st;
}

Status call_builtin(Render *r, const Node *n, Value *out)
{
    Status st = OK;
    Call c = {.builtin = n->builtin};
    TRY(evaluate(r, n->a, &c.subject));
    TRY(arguments(r, n, NULL, &c));
    TRY(builtin_call(r, &c, out));
done:
    return st;
}

Status call_expression(Render *r, const Node *n, const Value *caller, Value *out)
{
    Status st = OK;
    Call c = {0};
    Value callee;
    TRY(evaluate(r, n->a, &callee));
    TRY(arguments(r, n, caller, &c));
    switch (callee.kind) {
    case VALUE_MACRO: TRY(call_macro(r, callee.macro, &c, out)); break;
    case VALUE_METHOD:
        c.builtin = callee.method->builtin;
        c.subject = callee.method->subject;
        TRY(builtin_call(r, &c, out));
        break;
    case VALUE_GLOBAL:
        c.builtin = callee.global;
        TRY(builtin_call(r, &c, out));
        break;
    case VALUE_UNDEFINED: TRY(undefined_error(callee.missing)); break;
    default: RAISE(FORMAT, "'%s' object is not callable", value_type(callee));
    }
done:
    return st;
}

Status call_capture(Render *r, const Node *statements, Value *out)
{
    Status st = OK;
    Text text = {0}, *outer = r->out;
    bool direct = r->direct;
    r->out = &text;
    r->direct = false;
    st = execute(r, statements);
    r->out = outer;
    r->direct = direct;
    if (!st) return render_keep(r, &text, out);
    text_free(&text);
    return st;
}

static const Keyword *keyword(Render *r, const Call *c, int name)
{
    const char *word = r->template->names[name];
    for (size_t i = 0; i < c->keyword_count; i++)
        if (strlen(word) == c->keywords[i].size && !memcmp(word, c->keywords[i].name, c->keywords[i].size))
            return &c->keywords[i];
    return NULL;
}

/* `caller` is a parameter of its own where the macro does not name it. */
static Status bind(Render *r, const Macro *m, const Call *c)
{
    Status st = OK;
    size_t place = 0, used = 0;
    Value value;
    const char *name = m->node->kind == NODE_MACRO ? r->template->names[m->node->name] : "caller";
    Scope *before = r->scope; /* defaults see the parameters before them */
    for (const Node *p = m->node->list; p; p = p->next, place++) {
        const Keyword *k = place < c->count ? NULL : keyword(r, c, p->name);
        used += k != NULL;
        if (place < c->count) value = c->values[place];
        else if (k) value = k->value;
        else if (p->a) TRY(evaluate(r, p->a, &value));
        else {
            Value hint;
            TRY(value_printf(r, &hint, "parameter '%s' was not provided", r->template->names[p->name]));
            TRY(value_undefined_hint(r, hint.text, &value));
        }
        TRY(scope_set(r, p->name, value));
    }
    if (c->count > place) RAISE(FORMAT, "macro '%s' takes not more than %zu argument(s)", name, place);
    bool named = false;
    for (const Node *p = m->node->list; p; p = p->next) named |= p->name == r->template->caller;
    if (m->node->uses_caller && !named) {
        const Keyword *caller = keyword(r, c, r->template->caller);
        used += caller != NULL;
        TRY(value_undefined_hint(r, "No caller defined", &value));
        TRY(scope_set(r, r->template->caller, caller ? caller->value : value));
    }
    if (used < c->keyword_count) RAISE(FORMAT, "macro '%s' is given a keyword argument that it does not take", name);
done:
    r->scope = before;
    return st;
}

Status call_macro(Render *r, const Macro *m, const Call *given, Value *out)
{
    Status st = OK;
    Scope *outer = r->scope;
    Value captured = r->captured;
    TRY(render_deeper(r));
    TRY(scope_push(r, m->scope));
    TRY(bind(r, m, given));
    TRY(call_capture(r, m->node->body, out));
    r->depth--;
done:
    r->scope = outer;
    r->captured = captured;
    return st;
}
