/* What filters and methods of strings share. Sizes in bytes, counts in code points. */
#ifndef HONE_TEMPLATE_TEXT_H
#define HONE_TEMPLATE_TEXT_H

#include "trainer/template/render.h"

typedef enum TextCase { TEXT_LOWER, TEXT_UPPER, TEXT_CAPITALIZE, TEXT_TITLE } TextCase;

Status text_to_case(Render *r, Value s, TextCase which, Value *out);
enum { STRIP_LEFT = 1, STRIP_RIGHT = 2 };
/* chars: VALUE_NONE or ABSENT: white space. */
Status text_strip_value(Render *r, Value s, Value chars, int sides, Value *out);
/* count < 0: all. */
Status text_replace_value(Render *r, Value s, Value from, Value to, int64_t count, Value *out);
/* str.splitlines */
Status text_lines(Render *r, Value s, bool keep_ends, Value *out);
Status text_join_value(Render *r, Value separator, Value items, bool convert, Value *out);
/* An argument that must be an integer or is absent. */
Status argument_whole(Value v, const char *what, int64_t fallback, int64_t *out);

#endif
