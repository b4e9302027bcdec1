/* str.split and str.rsplit. */
#include <string.h>

#include "trainer/template/builtins.h"
#include "trainer/template/letters.h"
#include "trainer/template/strings.h"
#include "trainer/template/text.h"

static Status at_spaces(Render *r, Value s, int64_t most, Value *out)
{
    Status st = OK;
    size_t capacity = 0, at = text_spaces(s.text, s.size), n;
    while (at < s.size) {
        size_t end = at;
        if (most-- == 0) { /* the rest, with the space at its end */
            TRY(value_append(r, *out, &capacity, value_string(s.text + at, s.size - at)));
            break;
        }
        while (end < s.size && !(letter_flags(letter_decode(s.text + end, &n)) & LETTER_SPACE)) end += n;
        TRY(value_append(r, *out, &capacity, value_string(s.text + at, end - at)));
        at = end + text_spaces(s.text + end, s.size - end);
    }
done:
    return st;
}

static Status at_word(Render *r, Value s, Value word, int64_t most, Value *out)
{
    Status st = OK;
    size_t capacity = 0, at = 0;
    const char *found;
    while (most-- != 0 && (found = memmem(s.text + at, s.size - at, word.text, word.size))) {
        size_t end = (size_t)(found - s.text);
        TRY(value_append(r, *out, &capacity, value_string(s.text + at, end - at)));
        at = end + word.size;
    }
    TRY(value_append(r, *out, &capacity, value_string(s.text + at, s.size - at)));
done:
    return st;
}

static void turn(List *l)
{
    for (size_t i = 0; i < l->count / 2; i++) {
        Value v = l->items[i];
        l->items[i] = l->items[l->count - 1 - i];
        l->items[l->count - 1 - i] = v;
    }
}

/* From the end: the pieces in the opposite order. */
static Status from_end(Render *r, Value s, Value word, int64_t most, Value *out)
{
    Status st = OK;
    size_t capacity = 0, end = s.size, n;
    bool spaces = word.kind != VALUE_STRING;
    if (spaces) end = text_strip_end(s.text, end);
    while (most-- != 0 && (!spaces || end > 0)) {
        size_t at = end;
        bool found = false;
        while (at > 0 && !found) {
            at--;
            if (((unsigned char)s.text[at] & 0xC0) == 0x80) continue;
            found = spaces ? letter_flags(letter_decode(s.text + at, &n)) & LETTER_SPACE
                           : end - at >= word.size && !memcmp(s.text + at, word.text, word.size);
        }
        if (!found) break;
        size_t from = at + (spaces ? n : word.size);
        TRY(value_append(r, *out, &capacity, value_string(s.text + from, end - from)));
        end = spaces ? text_strip_end(s.text, at) : at;
    }
    if (!spaces || end > 0)
        TRY(value_append(r, *out, &capacity, value_string(s.text, end))); /* spaces before it stay */
    turn(out->list);
done:
    return st;
}

static Status split(Render *r, const Call *c, bool last, Value *out)
{
    Status st = OK;
    Value s = c->subject, word = c->given[0];
    int64_t most;
    TRY(argument_whole(c->given[1], "split(maxsplit)", -1, &most));
    TRY(value_list(r, VALUE_LIST, 0, out));
    TRY(render_spend(r, s.size / 16 + (last && word.kind == VALUE_STRING ? s.size / 64 * (word.size / 8) : 0)));
    if (word.kind != VALUE_ABSENT && word.kind != VALUE_NONE && word.kind != VALUE_STRING)
        RAISE(FORMAT, "must be str or None, not %s", value_type(word));
    if (word.kind == VALUE_STRING && !word.size) RAISE(FORMAT, "empty separator");
    if (last) TRY(from_end(r, s, word, most, out));
    else if (word.kind == VALUE_STRING) TRY(at_word(r, s, word, most, out));
    else TRY(at_spaces(r, s, most, out));
done:
    return st;
}

Status text_split(Render *r, const Call *c, Value *out) { return split(r, c, false, out); }
Status text_rsplit(Render *r, const Call *c, Value *out) { return split(r, c, true, out); }
