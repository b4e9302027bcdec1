/* White space, escapes and numbers as Python and jinja2's lexer read them. */
#include "trainer/template/strings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/template/letters.h"

size_t text_spaces(const char *text, size_t size)
{
    size_t at = 0, n;
    while (at < size && (letter_flags(letter_decode(text + at, &n)) & LETTER_SPACE)) at += n;
    return at;
}

size_t text_strip_end(const char *text, size_t size)
{
    while (size) {
        size_t at = size - 1, n;
        while (at && ((unsigned char)text[at] & 0xC0) == 0x80) at--;
        if (!(letter_flags(letter_decode(text + at, &n)) & LETTER_SPACE)) break;
        size = at;
    }
    return size;
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10 : 99;
}

/* Up to `most` digits of base; *n: how many. */
static uint32_t digits(const char *text, size_t size, int base, size_t most, size_t *n)
{
    uint32_t value = 0;
    for (*n = 0; *n < most && *n < size && digit_of(text[*n]) < base; ++*n)
        value = value * (uint32_t)base + (uint32_t)digit_of(text[*n]);
    return value;
}

/* After a backslash. *used: characters of the escape; 0: none, the backslash stays. *c: UINT32_MAX for nothing. */
static Status escape(const char *text, size_t size, size_t *used, uint32_t *c)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    Status st = OK;
    const char *found = strchr(from, *text);
    *used = 1;
    if (found) {
        *c = (unsigned char)to[found - from];
    } else if (*text == '\n') {
        *c = UINT32_MAX;
    } else if (*text >= '0' && *text <= '7') {
        *c = digits(text, size, 8, 3, used);
    } else if (strchr("xuU", *text)) {
        size_t want = *text == 'x' ? 2 : *text == 'u' ? 4 : 8, n;
        *c = digits(text + 1, size - 1, 16, want, &n);
        if (n < want) RAISE(FORMAT, "truncated \\%c escape in a string", *text);
        if (*c > 0x10FFFF) RAISE(FORMAT, "\\%c escape beyond U+10FFFF in a string", *text);
        if (*c >= 0xD800 && *c < 0xE000)
            RAISE(UNSUPPORTED, "half of a surrogate pair in a string; write \\U or the character");
        *used = 1 + n;
    } else if (*text == 'N') {
        RAISE(UNSUPPORTED, "\\N{…} in a string; write the character itself");
    } else {
        *used = 0;
    }
done:
    return st;
}

Status string_unescape(Arena *arena, const char *text, size_t size, Value *out)
{
    Status st = OK;
    char *s = arena_alloc(arena, size + 1);
    TRY_MEMORY(s);
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '\\' || i + 1 == size || !text[i + 1]) {
            s[n++] = text[i];
            continue;
        }
        size_t used;
        uint32_t c = UINT32_MAX;
        TRY(escape(text + i + 1, size - i - 1, &used, &c));
        if (!used) s[n++] = '\\';
        else if (c != UINT32_MAX) n += letter_encode(c, s + n); /* no escape is shorter than its character */
        i += used;
    }
    *out = value_string(s, n);
done:
    return st;
}

/* Digits with single underscores between them; where they end. */
static size_t run(const char *text, size_t size, size_t at, int base)
{
    if (at >= size || digit_of(text[at]) >= base) return at;
    for (at++; at < size; at++) {
        if (text[at] == '_' && at + 1 < size && digit_of(text[at + 1]) < base) at++;
        else if (digit_of(text[at]) >= base) break;
    }
    return at;
}

static size_t fraction_end(const char *text, size_t size, size_t whole)
{
    size_t at = whole, end = whole;
    if (at < size && text[at] == '.') {
        at = run(text, size, at + 1, 10);
        end = at > whole + 1 ? at : whole;
        at = end;
    }
    if (at < size && (text[at] | 32) == 'e') {
        size_t from = at + 1 + (at + 1 < size && (text[at + 1] == '+' || text[at + 1] == '-'));
        size_t stop = run(text, size, from, 10);
        if (stop > from) end = stop;
    }
    return end;
}

size_t string_number(const char *text, size_t size, bool after_point, Value *out)
{
    char copy[512];
    size_t whole = run(text, size, 0, 10), end = after_point ? whole : fraction_end(text, size, whole), n = 0,
           start = 0;
    bool real = end > whole;
    int base = 10;
    if (!real && *text == '0') {
        char kind = size > 1 ? (char)(text[1] | 32) : 0;
        base = kind == 'b' ? 2 : kind == 'o' ? 8 : kind == 'x' ? 16 : 10;
        start = base == 10 ? 0 : 2;
        size_t from = start + (start && size > 2 && text[2] == '_');
        end = base == 10 ? 0 : run(text, size, from, base);
        if (end <= from) base = 10, start = end = 0;
        if (base == 10) /* 0, 00, 0_0 */
            while (end < size &&
                   (text[end] == '0' || (end && text[end] == '_' && end + 1 < size && text[end + 1] == '0')))
                end++;
    }
    for (size_t i = start; i < end; i++) {
        if (text[i] == '_') continue;
        if (n + 1 == sizeof copy) return 0;
        copy[n++] = text[i];
    }
    copy[n] = '\0';
    errno = 0;
    if (real) *out = value_real(strtod(copy, NULL));
    else *out = value_int(strtoll(copy, NULL, base));
    return !real && errno ? 0 : end;
}
