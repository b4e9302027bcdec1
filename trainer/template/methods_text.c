/* Methods of strings. */
#include <string.h>

#include "trainer/template/builtins.h"
#include "trainer/template/letters.h"
#include "trainer/template/text.h"

Status text_lower(Render *r, const Call *c, Value *out) { return text_to_case(r, c->subject, TEXT_LOWER, out); }
Status text_upper(Render *r, const Call *c, Value *out) { return text_to_case(r, c->subject, TEXT_UPPER, out); }
Status text_title(Render *r, const Call *c, Value *out) { return text_to_case(r, c->subject, TEXT_TITLE, out); }
Status text_capitalize(Render *r, const Call *c, Value *out)
{
    return text_to_case(r, c->subject, TEXT_CAPITALIZE, out);
}

Status text_strip(Render *r, const Call *c, Value *out)
{
    return text_strip_value(r, c->subject, c->given[0], STRIP_LEFT | STRIP_RIGHT, out);
}
Status text_lstrip(Render *r, const Call *c, Value *out)
{
    return text_strip_value(r, c->subject, c->given[0], STRIP_LEFT, out);
}
Status text_rstrip(Render *r, const Call *c, Value *out)
{
    return text_strip_value(r, c->subject, c->given[0], STRIP_RIGHT, out);
}

Status text_replace(Render *r, const Call *c, Value *out)
{
    int64_t count;
    Status st = argument_whole(c->given[2], "replace(count)", -1, &count);
    return st ? st : text_replace_value(r, c->subject, c->given[0], c->given[1], count, out);
}

static Status string_argument(const Call *c, int i)
{
    Status st = OK;
    if (c->given[i].kind == VALUE_UNDEFINED) TRY(undefined_error(c->given[i].missing));
    if (c->given[i].kind != VALUE_STRING)
        RAISE(FORMAT, "%s() takes a string, not %s", c->builtin->name, value_type(c->given[i]));
done:
    return st;
}

Status text_join(Render *r, const Call *c, Value *out)
{
    if (!value_is_iterable(c->given[0])) return status_raise(STATUS_FORMAT, "can only join an iterable");
    return text_join_value(r, c->subject, c->given[0], false, out);
}

Status text_splitlines(Render *r, const Call *c, Value *out)
{
    return text_lines(r, c->subject, value_truth(c->given[0]), out);
}

/* subject[start:end] of the arguments 1 and 2, *offset its place in code points; *outside: start is beyond the end. */
static Status part(Render *r, const Call *c, Value *out, int64_t *offset, bool *outside)
{
    Status st = OK;
    int64_t length;
    TRY(value_length(r, c->subject, &length));
    TRY(argument_whole(c->given[1], "start", 0, offset));
    TRY(value_slice(r, c->subject, c->given[1], c->given[2], value_none(), out));
    *outside = *offset > length;
    if (*offset < 0) *offset = *offset + length > 0 ? *offset + length : 0;
done:
    return st;
}

static Status begins_or_ends(Render *r, const Call *c, bool end, Value *out)
{
    Status st = OK;
    Value s, one = {.kind = VALUE_TUPLE}, given = c->given[0];
    List single = {.items = &given, .count = 1};
    int64_t offset;
    bool outside, is = false;
    one.list = given.kind == VALUE_TUPLE ? given.list : &single;
    TRY(part(r, c, &s, &offset, &outside));
    for (size_t i = 0; i < one.list->count; i++) {
        Value word = one.list->items[i];
        if (word.kind != VALUE_STRING)
            RAISE(FORMAT, "%s first arg must be str or a tuple of str, not %s", c->builtin->name, value_type(word));
        is |= !outside && word.size <= s.size && !memcmp(s.text + (end ? s.size - word.size : 0), word.text, word.size);
    }
    *out = value_bool(is);
done:
    return st;
}

Status text_startswith(Render *r, const Call *c, Value *out) { return begins_or_ends(r, c, false, out); }
Status text_endswith(Render *r, const Call *c, Value *out) { return begins_or_ends(r, c, true, out); }

/* The first or the last place of word in s; NULL: it is not there. */
static const char *place(Value s, Value word, bool last)
{
    if (!last) return word.size ? memmem(s.text, s.size, word.text, word.size) : s.text;
    for (size_t at = s.size < word.size ? 0 : s.size - word.size + 1; at > 0; at--)
        if (!memcmp(s.text + at - 1, word.text, word.size)) return s.text + at - 1;
    return NULL;
}

/* What looking for the last place may cost. */
static size_t place_steps(Value s, Value word) { return s.size / 4 + s.size / 64 * (word.size < 64 ? 0 : word.size); }

static Status find(Render *r, const Call *c, bool last, bool must, Value *out)
{
    Status st = OK;
    Value s;
    int64_t offset;
    bool outside;
    TRY(string_argument(c, 0));
    TRY(part(r, c, &s, &offset, &outside));
    TRY(render_spend(r, last ? place_steps(s, c->given[0]) : s.size / 64));
    const char *found = outside ? NULL : place(s, c->given[0], last);
    if (!found && must) RAISE(FORMAT, "substring not found");
    *out = value_int(found ? offset + (int64_t)letter_count(s.text, (size_t)(found - s.text)) : -1);
done:
    return st;
}

Status text_find(Render *r, const Call *c, Value *out) { return find(r, c, false, false, out); }
Status text_rfind(Render *r, const Call *c, Value *out) { return find(r, c, true, false, out); }
Status text_index(Render *r, const Call *c, Value *out) { return find(r, c, false, true, out); }
Status text_rindex(Render *r, const Call *c, Value *out) { return find(r, c, true, true, out); }

Status text_count(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value s = c->subject, word = c->given[0];
    int64_t n = 0;
    TRY(string_argument(c, 0));
    TRY(render_spend(r, s.size / 16));
    if (!word.size) n = (int64_t)letter_count(s.text, s.size) + 1;
    for (const char *at = s.text, *end = s.text + s.size, *found; word.size; at = found + word.size, n++)
        if (!(found = memmem(at, (size_t)(end - at), word.text, word.size))) break;
    *out = value_int(n);
done:
    return st;
}

static Status partition(Render *r, const Call *c, bool last, Value *out)
{
    Status st = OK;
    Value s = c->subject, word = c->given[0], empty = value_string("", 0);
    TRY(string_argument(c, 0));
    if (!word.size) RAISE(FORMAT, "empty separator");
    TRY(render_spend(r, last ? place_steps(s, word) : s.size / 64));
    TRY(value_list(r, VALUE_TUPLE, 3, out));
    Value *parts = out->list->items;
    const char *found = place(s, word, last);
    size_t before = found ? (size_t)(found - s.text) : 0;
    parts[0] = found ? value_string(s.text, before) : last ? empty : s;
    parts[1] = found ? word : empty;
    parts[2] = found ? value_string(found + word.size, s.size - before - word.size) : last ? s : empty;
done:
    return st;
}

Status text_partition(Render *r, const Call *c, Value *out) { return partition(r, c, false, out); }
Status text_rpartition(Render *r, const Call *c, Value *out) { return partition(r, c, true, out); }

Status text_removeprefix(Render *r, const Call *c, Value *out)
{
    Value s = c->subject, word = c->given[0];
    Status st = string_argument(c, 0);
    (void)r;
    bool has = !st && word.size <= s.size && !memcmp(s.text, word.text, word.size);
    *out = has ? value_string(s.text + word.size, s.size - word.size) : s;
    return st;
}

Status text_removesuffix(Render *r, const Call *c, Value *out)
{
    Value s = c->subject, word = c->given[0];
    Status st = string_argument(c, 0);
    (void)r;
    bool has = !st && word.size <= s.size && !memcmp(s.text + s.size - word.size, word.text, word.size);
    *out = has ? value_string(s.text, s.size - word.size) : s;
    return st;
}

/* Not empty, and every letter has one of the flags. */
static Status all_have(Render *r, const Call *c, unsigned flags, Value *out)
{
    Value s = c->subject;
    bool all = s.size > 0;
    for (size_t i = 0, n; all && i < s.size; i += n) all = letter_flags(letter_decode(s.text + i, &n)) & flags;
    *out = value_bool(all);
    return render_spend(r, s.size / 16);
}

Status text_isalpha(Render *r, const Call *c, Value *out) { return all_have(r, c, LETTER_ALPHA, out); }
Status text_isdecimal(Render *r, const Call *c, Value *out) { return all_have(r, c, LETTER_DECIMAL, out); }
Status text_isdigit(Render *r, const Call *c, Value *out) { return all_have(r, c, LETTER_DIGIT, out); }
Status text_isnumeric(Render *r, const Call *c, Value *out) { return all_have(r, c, LETTER_NUMERIC, out); }
Status text_isspace(Render *r, const Call *c, Value *out) { return all_have(r, c, LETTER_SPACE, out); }
Status text_isalnum(Render *r, const Call *c, Value *out)
{
    return all_have(r, c, LETTER_ALPHA | LETTER_DECIMAL | LETTER_DIGIT | LETTER_NUMERIC, out);
}

static Status is_case(Render *r, const Call *c, unsigned flag, Value *out)
{
    Value s = c->subject;
    bool some = false, others = false;
    for (size_t i = 0, n; i < s.size; i += n) {
        unsigned flags = letter_flags(letter_decode(s.text + i, &n));
        some |= (flags & flag) != 0;
        others |= (flags & LETTER_CASED & ~flag) != 0;
    }
    *out = value_bool(some && !others);
    return render_spend(r, s.size / 16);
}

Status text_isupper(Render *r, const Call *c, Value *out) { return is_case(r, c, LETTER_UPPER, out); }
Status text_islower(Render *r, const Call *c, Value *out) { return is_case(r, c, LETTER_LOWER, out); }
