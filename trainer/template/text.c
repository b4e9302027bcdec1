/* Stripping, replacing, lines and joining as Python's str has them. */
#include "trainer/template/text.h"

#include <string.h>

#include "trainer/template/letters.h"
#include "trainer/template/strings.h"

Status argument_whole(Value v, const char *what, int64_t fallback, int64_t *out)
{
    Status st = OK;
    *out = fallback;
    if (v.kind == VALUE_ABSENT || v.kind == VALUE_NONE) goto done;
    if (v.kind == VALUE_UNDEFINED) TRY(undefined_error(v.missing));
    if (!value_is_whole(v)) RAISE(FORMAT, "%s takes an integer, not %s", what, value_type(v));
    *out = value_whole(v);
done:
    return st;
}

static bool strips(Value chars, const char *at, size_t n)
{
    if (chars.kind != VALUE_STRING) return letter_flags(letter_decode(at, &n)) & LETTER_SPACE;
    return memmem(chars.text, chars.size, at, n) != NULL; /* whole code points only match whole ones */
}

Status text_strip_value(Render *r, Value s, Value chars, int sides, Value *out)
{
    Status st = OK;
    size_t start = 0, end = s.size, n;
    if (chars.kind != VALUE_ABSENT && chars.kind != VALUE_NONE && chars.kind != VALUE_STRING)
        RAISE(FORMAT, "strip arg must be None or str, not %s", value_type(chars));
    TRY(render_spend(r, s.size / 64 * (chars.kind == VALUE_STRING ? 1 + chars.size / 8 : 1)));
    while ((sides & STRIP_LEFT) && start < end) {
        letter_decode(s.text + start, &n);
        if (!strips(chars, s.text + start, n)) break;
        start += n;
    }
    while ((sides & STRIP_RIGHT) && end > start) {
        size_t at = end - 1;
        while (at > start && ((unsigned char)s.text[at] & 0xC0) == 0x80) at--;
        if (!strips(chars, s.text + at, end - at)) break;
        end = at;
    }
    *out = value_string(s.text + start, end - start);
done:
    return st;
}

Status text_replace_value(Render *r, Value s, Value from, Value to, int64_t count, Value *out)
{
    Status st = OK;
    Text t = {0};
    size_t at = 0;
    if (from.kind != VALUE_STRING || to.kind != VALUE_STRING)
        RAISE(FORMAT, "replace() argument must be str, not %s", value_type(from.kind != VALUE_STRING ? from : to));
    TRY(render_spend(r, s.size / 64));
    while (count && at <= s.size) {
        const char *found = from.size ? memmem(s.text + at, s.size - at, from.text, from.size) : s.text + at;
        if (!found) break;
        TRY(render_add(r, &t, s.text + at, (size_t)(found - s.text) - at));
        TRY(render_add(r, &t, to.text, to.size));
        TRY(render_spend(r, 1));
        at = (size_t)(found - s.text) + from.size;
        if (!from.size) { /* between all characters, and at both ends */
            size_t n = 0;
            if (at < s.size) letter_decode(s.text + at, &n);
            TRY(render_add(r, &t, s.text + at, n));
            if (!n) break;
            at += n;
        }
        count -= count > 0;
    }
    if (at < s.size) TRY(render_add(r, &t, s.text + at, s.size - at));
    TRY(render_keep(r, &t, out));
done:
    text_free(&t);
    return st;
}

static bool ends_line(uint32_t c)
{
    return (c >= 0xA && c <= 0xD) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

Status text_lines(Render *r, Value s, bool keep_ends, Value *out)
{
    Status st = OK;
    size_t capacity = 0, start = 0;
    TRY(value_list(r, VALUE_LIST, 0, out));
    TRY(render_spend(r, s.size / 16));
    for (size_t i = 0, n; i < s.size;) {
        uint32_t c = letter_decode(s.text + i, &n);
        size_t end = i;
        i += n;
        if (!ends_line(c)) continue;
        if (c == '\r' && i < s.size && s.text[i] == '\n') i++;
        TRY(value_append(r, *out, &capacity, value_string(s.text + start, (keep_ends ? i : end) - start)));
        start = i;
    }
    if (start < s.size) TRY(value_append(r, *out, &capacity, value_string(s.text + start, s.size - start)));
done:
    return st;
}

Status text_join_value(Render *r, Value separator, Value items, bool convert, Value *out)
{
    Status st = OK;
    Text t = {0};
    Value list;
    TRY(value_items(r, items, &list));
    for (size_t i = 0; i < list.list->count; i++) {
        Value item = list.list->items[i];
        TRY(render_spend(r, 1));
        if (i) TRY(render_add(r, &t, separator.text, separator.size));
        if (!convert && item.kind != VALUE_STRING)
            RAISE(FORMAT, "sequence item %zu: expected str instance, %s found", i, value_type(item));
        TRY(value_write(r, &t, item));
    }
    TRY(render_keep(r, &t, out));
done:
    text_free(&t);
    return st;
}
