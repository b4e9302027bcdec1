/* What the lexer and the methods share about text. */
#ifndef HONE_TEMPLATE_STRINGS_H
#define HONE_TEMPLATE_STRINGS_H

#include "trainer/base/arena.h"
#include "trainer/template/value.h"

static inline bool text_is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

size_t text_spaces(const char *text, size_t size);    /* bytes of the white space at its beginning */
size_t text_strip_end(const char *text, size_t size); /* its bytes without the white space at its end */

/* Python's escapes in a string literal. */
Status string_unescape(Arena *arena, const char *text, size_t size, Value *out);
/* The number at text, a literal of Jinja's; its bytes, 0: too large. after_point: no fraction is read. */
size_t string_number(const char *text, size_t size, bool after_point, Value *out);

#endif
