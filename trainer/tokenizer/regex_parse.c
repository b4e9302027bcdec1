/* Oniguruma's syntax (as the tokenizers library calls it: its default syntax, UTF-8) into PCRE2's.
 *
 * Every literal, class and escape becomes an atom, a set of code points; the rest is passed on: groups, alternatives,
 * quantifiers, look-arounds, atomic groups. Where the two differ: {n,m}+ repeats a repeat (not possessive); {,m} is
 * {0,m}; ^ and $ always know lines; (?i:s) also matches U+017F. What is not translated exactly is refused by name. */
#include <stdio.h>
#include <string.h>

#include "trainer/tokenizer/regex_parser.h"

static Status emit(Parser *p, int32_t item)
{
    Status st = OK;
    RegexProgram *out = p->out;
    if (out->count == out->capacity) {
        out->items = arena_grow(p->arena, out->items, &out->capacity, out->count + 1, sizeof *out->items);
        TRY_MEMORY(out->items);
    }
    out->items[out->count++] = item;
done:
    return st;
}

static Status emit_text(Parser *p, const char *text)
{
    Status st = OK;
    for (; *text && !st; text++) st = emit(p, (unsigned char)*text);
    return st;
}

/* "(?:" before items[at…] and ")" at the end. */
static Status wrap(Parser *p, size_t at)
{
    Status st = OK;
    TRY(emit_text(p, "(?:"));
    memmove(p->out->items + at + 3, p->out->items + at, (p->out->count - 3 - at) * sizeof *p->out->items);
    for (int i = 0; i < 3; i++) p->out->items[at + (size_t)i] = "(?:"[i];
    TRY(emit(p, ')'));
done:
    return st;
}

/* The number of an atom with this set, which must be tidy. */
static Status atom(Parser *p, const CodeSet *set, int32_t *item)
{
    Status st = OK;
    RegexProgram *out = p->out;
    for (size_t i = 0; i < out->atom_count; i++)
        if (codeset_equal(&out->atoms[i], set)) return *item = REGEX_ATOM + (int32_t)i, OK;
    if (out->atom_count == out->atom_capacity) {
        out->atoms = arena_grow(p->arena, out->atoms, &out->atom_capacity, out->atom_count + 1, sizeof *out->atoms);
        TRY_MEMORY(out->atoms);
    }
    out->atoms[out->atom_count] = *set;
    *item = REGEX_ATOM + (int32_t)out->atom_count++;
done:
    return st;
}

static Status emit_set(Parser *p, CodeSet *set)
{
    int32_t item;
    codeset_tidy(set);
    Status st = atom(p, set, &item);
    return st ? st : emit(p, item);
}

static Status emit_literal(Parser *p, uint32_t c)
{
    Status st = OK;
    CodeSet set = {0};
    if (p->ignore_case && regex_letter(c) && regex_letter(p->literal)) {
        char pair[3] = {(char)(p->literal | 32), (char)(c | 32), 0};
        if (strstr("ss ff fi fl st", pair))
            REFUSE(p, "\"%s\" while case is ignored also matches one character; that is not supported", pair);
    }
    p->operand = (ptrdiff_t)p->out->count;
    p->literal = c;
    TRY(regex_add_folded(p, &set, c, c + 1));
    TRY(emit_set(p, &set));
done:
    return st;
}

/* Assertions about words and lines, spelled out: PCRE2's own would look at bytes. In `text`, W is a word character, N
 * a newline. */
static Status emit_assertion(Parser *p, const char *text)
{
    Status st = OK;
    p->operand = NONE;
    for (; *text; text++) {
        CodeSet set = {0};
        if (*text == 'W') {
            TRY(codeset_add_flags(p->arena, &set, UNICODE_WORD, false));
            TRY(emit_set(p, &set));
        } else if (*text == 'N') {
            TRY(codeset_add(p->arena, &set, '\n', '\n' + 1));
            TRY(emit_set(p, &set));
        } else {
            TRY(emit(p, *text));
        }
    }
done:
    return st;
}

static Status parse_backslash(Parser *p)
{
    Status st = OK;
    CodeSet set = {0};
    bool is_class;
    uint32_t c;
    char next = p->at < p->end ? *p->at : 0;
    static const struct {
        char name;
        const char *text;
    } assertions[] = {{'A', "\\A"},
                      {'z', "\\z"},
                      {'Z', "(?=N?\\z)"},
                      {'b', "(?:(?<=W)(?!W)|(?<!W)(?=W))"},
                      {'B', "(?:(?<=W)(?=W)|(?<!W)(?!W))"}};
    for (size_t i = 0; i < sizeof assertions / sizeof *assertions; i++)
        if (next == assertions[i].name) {
            p->at++;
            return emit_assertion(p, assertions[i].text);
        }
    TRY(regex_parse_escape(p, &set, false, &is_class, &c));
    if (!is_class) return emit_literal(p, c);
    p->operand = (ptrdiff_t)p->out->count;
    TRY(emit_set(p, &set));
done:
    return st;
}

/* After "(". */
static Status open_group(Parser *p)
{
    static const struct {
        const char *from, *to;
        bool assertion;
        int ignore_case; /* -1: as outside */
    } kinds[] = {{"?:", "(?:", false, -1},  {"?>", "(?>", false, -1},  {"?i:", "(?:", false, 1},
                 {"?-i:", "(?:", false, 0}, {"?=", "(?=", true, -1},   {"?!", "(?!", true, -1},
                 {"?<=", "(?<=", true, -1}, {"?<!", "(?<!", true, -1}, {"", "(?:", false, -1}};
    Status st = OK;
    bool at_start = p->at == p->pattern + 1 || (p->at - p->pattern >= 3 && !memcmp(p->at - 3, "?:(", 3));
    if (p->end - p->at >= 3 && !memcmp(p->at, "?i)", 3)) { /* up to the end of the group it stands in */
        if (!at_start) REFUSE(p, "(?i) is supported at the start only: write (?i:…)");
        p->at += 3;
        p->ignore_case = true;
        goto done;
    }
    if (p->depth == GROUP_DEPTH) REFUSE(p, "groups nested more than %d deep", GROUP_DEPTH);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t n = strlen(kinds[i].from);
        if (n > (size_t)(p->end - p->at) || memcmp(p->at, kinds[i].from, n)) continue;
        if (!n && p->at < p->end && (*p->at == '?' || *p->at == '*')) REFUSE(p, "this kind of group is not supported");
        p->groups[p->depth++] = (Group){p->out->count, p->ignore_case, kinds[i].assertion};
        if (kinds[i].ignore_case >= 0) p->ignore_case = kinds[i].ignore_case;
        p->at += n;
        p->operand = NONE;
        return emit_text(p, kinds[i].to);
    }
done:
    return st;
}

static Status close_group(Parser *p)
{
    Status st = OK;
    if (!p->depth) REFUSE(p, ") without (");
    Group g = p->groups[--p->depth];
    p->ignore_case = g.ignore_case;
    p->operand = g.assertion ? NONE : (ptrdiff_t)g.start;
    TRY(emit(p, ')'));
done:
    return st;
}

/* {n} {n,} {n,m} {,m}: its bounds and its length; 0 when it is no interval but text. */
static size_t interval(const Parser *p, long *low, long *high)
{
    const char *s = p->at + 1;
    long n[2] = {0, -1};
    bool any[2] = {false, false}, comma = false;
    for (; s < p->end && *s != '}'; s++) {
        if (*s == ',' && !comma) {
            comma = true;
        } else if (*s >= '0' && *s <= '9' && n[comma] < 100000) {
            n[comma] = (n[comma] < 0 ? 0 : n[comma]) * 10 + *s - '0';
            any[comma] = true;
        } else {
            return 0;
        }
    }
    if (s == p->end || !(any[0] || any[1])) return 0;
    *low = n[0];
    *high = comma ? n[1] : n[0];
    return (size_t)(s + 1 - p->at);
}

static Status quantifier(Parser *p, size_t length, long low, long high)
{
    Status st = OK;
    bool braces = *p->at == '{';
    char text[64];
    if (p->operand == NONE) REFUSE(p, "nothing here that could be repeated");
    if (braces && high >= 0 && high < low) REFUSE(p, "an interval whose end is below its start");
    if (!braces)
        snprintf(text, sizeof text, "%c", *p->at);
    else if (high < 0)
        snprintf(text, sizeof text, "{%ld,}", low);
    else
        snprintf(text, sizeof text, "{%ld,%ld}", low, high);
    p->at += length;
    TRY(emit_text(p, text));
    if (p->at < p->end && *p->at == '?') {
        if (braces && low == high) REFUSE(p, "{n}? is not supported");
        TRY(emit(p, *p->at++));
    } else if (p->at < p->end && *p->at == '+' && !braces) {
        TRY(emit(p, *p->at++)); /* possessive */
    }
    if (p->at < p->end && strchr("*+?{", *p->at)) TRY(wrap(p, (size_t)p->operand));
done:
    return st;
}

static Status parse_one(Parser *p)
{
    CodeSet set = {0};
    long low = 0, high = 0;
    unsigned length;
    uint32_t c = utf8_decode(p->at, &length);
    uint32_t before = p->literal;
    p->literal = 0;
    switch (c) {
    case '*':
    case '+':
    case '?': return quantifier(p, 1, 0, 0);
    case '{':
        if ((length = (unsigned)interval(p, &low, &high)) > 0) return quantifier(p, length, low, high);
        length = 1;
        break;
    case '\\': p->at++; return parse_backslash(p);
    case '(': p->at++; return open_group(p);
    case ')': p->at++; return close_group(p);
    case '|':
        p->at++;
        p->operand = NONE;
        return emit(p, '|');
    case '^': p->at++; return emit_assertion(p, "(?:\\A|(?<=N)(?!\\z))");
    case '$': p->at++; return emit_assertion(p, "(?:(?=N)|\\z)");
    case '[': {
        p->at++;
        Status st = regex_parse_class(p, &set, 0);
        p->operand = (ptrdiff_t)p->out->count;
        return st ? st : emit_set(p, &set);
    }
    case '.': {
        p->at++;
        p->operand = (ptrdiff_t)p->out->count;
        Status st = codeset_add(p->arena, &set, 0, '\n');
        if (!st) st = codeset_add(p->arena, &set, '\n' + 1, UNICODE_END);
        return st ? st : emit_set(p, &set);
    }
    }
    p->at += length;
    p->literal = before;
    return emit_literal(p, c);
}

Status regex_parse(const char *pattern, size_t size, Arena *arena, RegexProgram *out)
{
    Status st = OK;
    Parser p = {.pattern = pattern, .at = pattern, .end = pattern + size, .arena = arena, .out = out, .operand = NONE};
    *out = (RegexProgram){0};
    if (utf8_valid_bytes(pattern, size) != size) REFUSE(&p, "invalid UTF-8");
    while (p.at < p.end) TRY(parse_one(&p));
    if (p.depth) REFUSE(&p, "( without )");
done:
    return st;
}
