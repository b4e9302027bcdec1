/* Characters in a regular expression: escapes, properties, bracketed classes with their ranges, nesting and
 * intersections, and what ignoring case adds. */
#include <string.h>

#include "trainer/tokenizer/regex_parser.h"

/* Adds what c matches when case is ignored. Beyond ASCII only characters without case are taken: their folding would
 * need more data than any tokenizer has asked for. */
Status regex_add_folded(Parser *p, CodeSet *set, uint32_t first, uint32_t end)
{
    Status st = OK;
    TRY(codeset_add(p->arena, set, first, end));
    if (!p->ignore_case) goto done;
    for (uint32_t c = first; c < end && c < 128; c++) {
        if (!regex_letter(c)) continue;
        TRY(codeset_add(p->arena, set, c ^ 32, (c ^ 32) + 1));
        for (size_t i = 0; i < unicode_fold_extra_count; i++)
            if (unicode_fold_extra[i][0] == (c | 32))
                TRY(codeset_add(p->arena, set, unicode_fold_extra[i][1], unicode_fold_extra[i][1] + 1));
    }
    for (uint32_t c = first < 128 ? 128 : first; c < end; c++) {
        unsigned category = unicode_find(c)->category;
        bool has_no_case = category == UNICODE_LO || (category >= UNICODE_ND && category <= UNICODE_ZS);
        if (!has_no_case) REFUSE(p, "ignoring case of U+%04X is not supported", c);
    }
done:
    return st;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* The code point of \x.. \x{…} \u....; p->at is after the x or u. */
static Status parse_hex(Parser *p, bool u, uint32_t *c)
{
    Status st = OK;
    bool braces = !u && p->at < p->end && *p->at == '{';
    int most = braces ? 8 : u ? 4 : 2, n = 0;
    uint64_t value = 0;
    p->at += braces;
    for (; n < most && p->at < p->end && hex_digit(*p->at) >= 0; n++)
        value = value * 16 + (unsigned)hex_digit(*p->at++);
    if (!n || (u && n < 4) || value >= UNICODE_END || (!braces && !u && value > 127))
        REFUSE(p, "not a code point that hone can read");
    if (braces && (p->at == p->end || *p->at++ != '}')) REFUSE(p, "\\x{ without }");
    *c = (uint32_t)value;
done:
    return st;
}

/* \p{Name}, \P{Name}, \p{^Name}; p->at is after the p. */
static Status parse_property(Parser *p, bool negated, bool in_brackets, CodeSet *set)
{
    Status st = OK;
    const char *close = p->at < p->end && *p->at == '{' ? memchr(p->at, '}', (size_t)(p->end - p->at)) : NULL;
    if (!close) REFUSE(p, "\\p needs {a property}");
    const char *name = p->at + 1;
    if (*name == '^') name++, negated = !negated;
    size_t length = (size_t)(close - name);
    if (p->ignore_case && length == 2 && (name[0] | 32) == 'l' && (name[1] | 32) != 'o' && (name[1] | 32) != 'm')
        REFUSE(p, "\\p{%.2s} while case is ignored is not supported", name);
    p->at = close + 1;
    st = codeset_add_property(p->arena, set, name, length, negated, in_brackets);
    if (st) st = status_prefix(st, "regular expression, byte %td", p->at - p->pattern);
done:
    return st;
}

/* \h: hexadecimal digits; \H: all else. */
static Status add_hex(Parser *p, CodeSet *set, bool negated)
{
    Status st = OK;
    CodeSet hex = {0};
    TRY(codeset_add(p->arena, &hex, '0', '9' + 1));
    TRY(codeset_add(p->arena, &hex, 'A', 'F' + 1));
    TRY(codeset_add(p->arena, &hex, 'a', 'f' + 1));
    if (negated) TRY(codeset_invert(p->arena, &hex));
    TRY(codeset_add_set(p->arena, set, &hex));
done:
    return st;
}

/* After a backslash: adds a class to set (*is_class) or gives a literal in *c. */
Status regex_parse_escape(Parser *p, CodeSet *set, bool in_brackets, bool *is_class, uint32_t *c)
{
    Status st = OK;
    if (p->at == p->end) REFUSE(p, "it ends with a backslash");
    unsigned length;
    *c = utf8_decode(p->at, &length);
    p->at += length;
    *is_class = true;
    switch (*c) {
    case 's':
    case 'S': return codeset_add_flags(p->arena, set, UNICODE_SPACE, *c == 'S');
    case 'd':
    case 'D': return codeset_add_flags(p->arena, set, UNICODE_DIGIT, *c == 'D');
    case 'w':
    case 'W': return codeset_add_flags(p->arena, set, in_brackets ? UNICODE_CLASS_WORD : UNICODE_WORD, *c == 'W');
    case 'h':
    case 'H': return add_hex(p, set, *c == 'H');
    case 'p':
    case 'P': return parse_property(p, *c == 'P', in_brackets, set);
    }
    *is_class = false;
    switch (*c) {
    case 't': *c = '\t'; break;
    case 'n': *c = '\n'; break;
    case 'r': *c = '\r'; break;
    case 'f': *c = '\f'; break;
    case 'v': *c = '\v'; break;
    case 'a': *c = '\a'; break;
    case 'e': *c = 27; break;
    case 'x': return parse_hex(p, false, c);
    case 'u': return parse_hex(p, true, c);
    default:
        if (regex_letter(*c) || (*c >= '0' && *c <= '9')) REFUSE(p, "\\%c is not supported", (int)*c);
    }
done:
    return st;
}

/* One member of a bracketed class: a class, or a literal or range. */
static Status parse_member(Parser *p, CodeSet *set, int depth)
{
    Status st = OK;
    bool is_class = false;
    uint32_t c[2] = {0, 0};
    for (int side = 0; side < 2; side++) {
        unsigned length = 1;
        if (*p->at == '[') {
            CodeSet inner = {0};
            if (side) REFUSE(p, "a range cannot end with a class");
            p->at++;
            TRY(regex_parse_class(p, &inner, depth + 1));
            TRY(codeset_add_set(p->arena, set, &inner));
            goto done;
        }
        if (*p->at == '\\') {
            p->at++;
            if (p->at < p->end && *p->at == 'b') REFUSE(p, "\\b in a class is not supported");
            TRY(regex_parse_escape(p, set, true, &is_class, &c[side]));
            if (is_class && side) REFUSE(p, "a range cannot end with a class");
            if (is_class) goto done;
        } else {
            c[side] = utf8_decode(p->at, &length);
            p->at += length;
        }
        bool range = p->end - p->at >= 2 && p->at[0] == '-' && p->at[1] != ']';
        if (side == 0 && !range) {
            c[1] = c[0];
            break;
        }
        if (side == 0) p->at++;
    }
    if (c[1] < c[0]) REFUSE(p, "a range whose end is before its start");
    TRY(regex_add_folded(p, set, c[0], c[1] + 1));
done:
    return st;
}

/* After "[": up to and with its "]". The result is tidy. */
Status regex_parse_class(Parser *p, CodeSet *out, int depth)
{
    Status st = OK;
    CodeSet set = {0}, left = {0};
    bool negated = false, first = true, intersects = false;
    if (depth > CLASS_DEPTH) REFUSE(p, "classes nested more than %d deep", CLASS_DEPTH);
    if (depth && p->at < p->end && *p->at == ':') REFUSE(p, "POSIX classes are not supported: use \\p{…}");
    if (p->at < p->end && *p->at == '^') p->at++, negated = true;
    for (;; first = false) {
        if (p->at == p->end) REFUSE(p, "[ without ]");
        bool ends = *p->at == ']' && !first;
        if (ends || (p->end - p->at >= 2 && p->at[0] == '&' && p->at[1] == '&')) {
            p->at += ends ? 1 : 2;
            codeset_tidy(&set);
            if (intersects) TRY(codeset_intersect(p->arena, &set, &left));
            left = set;
            set = (CodeSet){0};
            intersects = true;
            if (ends) break;
        } else {
            TRY(parse_member(p, &set, depth));
        }
    }
    if (negated) TRY(codeset_invert(p->arena, &left));
    *out = left;
done:
    return st;
}
