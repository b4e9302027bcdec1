/* Calling: filters and tests, methods and globals, macros. */
#ifndef HONE_TEMPLATE_CALL_H
#define HONE_TEMPLATE_CALL_H

#include "trainer/template/builtins.h"

Status call_builtin(Render *r, const Node *n, Value *out); /* NODE_FILTER, NODE_TEST */
/* NODE_CALL; caller: the macro that {% call %} gives, or NULL. */
Status call_expression(Render *r, const Node *n, const Value *caller, Value *out);
Status call_macro(Render *r, const Macro *m, const Call *given, Value *out);
/* Runs statements with the output going into a text of its own. */
Status call_capture(Render *r, const Node *statements, Value *out);

#endif
