/* Filters that make text. Those that jinja2 gives any value turn it to text first. */
#include <string.h>

#include "trainer/template/builtins.h"
#include "trainer/template/letters.h"
#include "trainer/template/text.h"

static Status cased(Render *r, const Call *c, TextCase which, Value *out)
{
    Value text;
    Status st = value_str(r, c->subject, &text);
    return st ? st : text_to_case(r, text, which, out);
}

Status filter_lower(Render *r, const Call *c, Value *out) { return cased(r, c, TEXT_LOWER, out); }
Status filter_upper(Render *r, const Call *c, Value *out) { return cased(r, c, TEXT_UPPER, out); }
Status filter_capitalize(Render *r, const Call *c, Value *out) { return cased(r, c, TEXT_CAPITALIZE, out); }
Status filter_string(Render *r, const Call *c, Value *out) { return value_str(r, c->subject, out); }

Status filter_trim(Render *r, const Call *c, Value *out)
{
    Value text;
    Status st = value_str(r, c->subject, &text);
    return st ? st : text_strip_value(r, text, c->given[0], STRIP_LEFT | STRIP_RIGHT, out);
}

Status filter_replace(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value s, from, to;
    int64_t count;
    TRY(argument_whole(c->given[2], "replace(count)", -1, &count));
    TRY(value_str(r, c->subject, &s));
    TRY(value_str(r, c->given[0], &from));
    TRY(value_str(r, c->given[1], &to));
    TRY(text_replace_value(r, s, from, to, count, out));
done:
    return st;
}

static bool begins_word(const char *at, size_t n)
{
    return (n == 1 && strchr("-({[<", *at)) || (letter_flags(letter_decode(at, &n)) & LETTER_SPACE);
}

/* A word begins after a space, a hyphen or an opening bracket: not what str.title does. */
Status filter_title(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value s, part;
    Text t = {0};
    TRY(value_str(r, c->subject, &s));
    for (size_t i = 0, n; i < s.size;) {
        size_t end = i;
        while (end < s.size && (letter_decode(s.text + end, &n), begins_word(s.text + end, n))) end += n;
        TRY(render_add(r, &t, s.text + i, end - i));
        i = end;
        if (i == s.size) break;
        letter_decode(s.text + i, &n);
        TRY(text_to_case(r, value_string(s.text + i, n), TEXT_UPPER, &part));
        TRY(render_add(r, &t, part.text, part.size));
        i = end = i + n;
        while (end < s.size && (letter_decode(s.text + end, &n), !begins_word(s.text + end, n))) end += n;
        TRY(text_to_case(r, value_string(s.text + i, end - i), TEXT_LOWER, &part));
        TRY(render_add(r, &t, part.text, part.size));
        i = end;
    }
    TRY(render_keep(r, &t, out));
done:
    text_free(&t);
    return st;
}

Status filter_indent(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Text t = {0};
    Value width = c->given[0], lines, s;
    int64_t n;
    bool first = value_truth(c->given[1]), blank = value_truth(c->given[2]);
    if (c->subject.kind == VALUE_UNDEFINED) TRY(undefined_error(c->subject.missing));
    if (c->subject.kind != VALUE_STRING) RAISE(FORMAT, "indent takes a string, not %s", value_type(c->subject));
    if (width.kind != VALUE_STRING) {
        TRY(argument_whole(width, "indent(width)", 4, &n));
        TRY(operator_binary(r, OP_MUL, value_string(" ", 1), value_int(n), &width));
    }
    TRY(operator_binary(r, OP_ADD, c->subject, value_string("\n", 1), &s));
    TRY(text_lines(r, s, false, &lines));
    if (first) TRY(render_add(r, &t, width.text, width.size));
    for (size_t i = 0; i < lines.list->count; i++) {
        Value line = lines.list->items[i];
        if (i) TRY(render_add(r, &t, "\n", 1));
        if (i && (blank || line.size)) TRY(render_add(r, &t, width.text, width.size));
        TRY(render_add(r, &t, line.text, line.size));
    }
    TRY(render_keep(r, &t, out));
done:
    text_free(&t);
    return st;
}

/* Runs of letters, digits and underscores. */
Status filter_wordcount(Render *r, const Call *c, Value *out)
{
    Status st = OK;
    Value s;
    int64_t words = 0;
    bool inside = false;
    TRY(value_str(r, c->subject, &s));
    TRY(render_spend(r, s.size / 16));
    for (size_t i = 0, n; i < s.size; i += n) {
        uint32_t letter = letter_decode(s.text + i, &n);
        bool word = letter == '_' ||
            (letter_flags(letter) & (LETTER_ALPHA | LETTER_DECIMAL | LETTER_DIGIT | LETTER_NUMERIC));
        words += word && !inside;
        inside = word;
    }
    *out = value_int(words);
done:
    return st;
}
