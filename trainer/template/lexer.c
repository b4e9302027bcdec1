/* Outside of tags: text up to the next "{{", "{%" or "{#", with the whitespace that its "-" or the line's beginning
 * takes away. Inside: names, numbers, strings and operators, up to the tag's end at which all brackets are closed.
 * Equal to jinja2 3.1's lexer.py, whose regular expressions say what belongs to a token. */
#include "trainer/template/lexer.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/template/letters.h"
#include "trainer/template/strings.h"

enum { BRACKETS = 256 };

typedef struct Lexer {
    const char *text, *at, *end;
    uint32_t line;
    Arena *arena;
    Token *tokens;
    size_t count, capacity;
    char closing[BRACKETS]; /* brackets that are still to come */
    int open;
} Lexer;

#define REFUSE(x, code, ...)                                                                                           \
    do {                                                                                                               \
        status_raise(STATUS_##code, __VA_ARGS__);                                                                      \
        st = status_prefix(STATUS_##code, "line %u", (x)->line);                                                       \
        goto done;                                                                                                     \
    } while (0)

static Status add(Lexer *x, TokenType type, const char *text, size_t size)
{
    Status st = OK;
    x->tokens = arena_grow(x->arena, x->tokens, &x->capacity, x->count + 1, sizeof *x->tokens);
    TRY_MEMORY(x->tokens);
    x->tokens[x->count++] = (Token){.type = type, .line = x->line, .text = text, .size = size};
done:
    return st;
}

static bool looks_at(const Lexer *x, const char *what)
{
    size_t n = strlen(what);
    return (size_t)(x->end - x->at) >= n && memcmp(x->at, what, n) == 0;
}

/* Moves on to `to`, counting lines. */
static void move(Lexer *x, const char *to)
{
    for (; x->at < to; x->at++) x->line += *x->at == '\n';
}

static const char *after_spaces(const Lexer *x, const char *at) { return at + text_spaces(at, (size_t)(x->end - at)); }

/* After the two characters that end a tag: "-" before them takes all space behind, a block's or comment's end one line
 * break unless "+" is before it. */
static void end_tag(Lexer *x, char sign, bool block)
{
    move(x, x->at + 2);
    if (sign == '-') move(x, after_spaces(x, x->at));
    else if (block && sign != '+' && x->at < x->end && *x->at == '\n') move(x, x->at + 1);
}

/* Where text ends before a tag with this sign. */
static const char *text_end(const Lexer *x, const char *start, const char *tag, char sign, bool print)
{
    if (sign == '-') return start + text_strip_end(start, (size_t)(tag - start));
    if (sign == '+' || print) return tag;
    const char *line = tag;
    while (line > start && line[-1] != '\n') line--;
    bool at_line = line > start || start == x->text || start[-1] == '\n';
    return at_line && line + text_spaces(line, (size_t)(tag - line)) >= tag ? line : tag;
}

/* After "{% raw %}": up to and with "{% endraw %}". */
static Status lex_raw(Lexer *x)
{
    Status st = OK;
    const char *start = x->at;
    for (const char *tag = start; tag < x->end; tag++) {
        if (tag[0] != '{' || x->end - tag < 4 || tag[1] != '%') continue;
        const char *at = tag + 2;
        char sign = *at == '-' || *at == '+' ? *at++ : 0;
        at = after_spaces(x, at);
        if (x->end - at < 6 || memcmp(at, "endraw", 6)) continue;
        at = after_spaces(x, at + 6);
        char last = at < x->end && (*at == '-' || *at == '+') ? *at++ : 0;
        if (x->end - at < 2 || memcmp(at, "%}", 2)) continue;
        TRY(add(x, TOKEN_TEXT, start, (size_t)(text_end(x, start, tag, sign, false) - start)));
        move(x, at);
        end_tag(x, last, true);
        goto done;
    }
    REFUSE(x, FORMAT, "{%% raw %%} has no {%% endraw %%}");
done:
    return st;
}

/* At "{%": is it "{% raw %}"? Then x stands after it. */
static bool take_raw(Lexer *x, const char *tag)
{
    const char *at = tag + 2;
    if (at < x->end && (*at == '-' || *at == '+')) at++;
    at = after_spaces(x, at);
    if (x->end - at < 3 || memcmp(at, "raw", 3)) return false;
    at = after_spaces(x, at + 3);
    bool strip = at < x->end && *at == '-';
    at += strip;
    if (x->end - at < 2 || memcmp(at, "%}", 2)) return false;
    move(x, at + 2);
    if (strip) move(x, after_spaces(x, x->at));
    return true;
}

static Status lex_comment(Lexer *x)
{
    Status st = OK;
    const char *at = x->at;
    while (x->end - at >= 2 && memcmp(at, "#}", 2)) at++;
    if (x->end - at < 2) REFUSE(x, FORMAT, "a comment has no #}");
    char sign = at > x->at ? at[-1] : 0;
    move(x, at);
    end_tag(x, sign, true);
done:
    return st;
}

static size_t name_bytes(const Lexer *x)
{
    const char *at = x->at;
    while (at < x->end && (text_is_word(*at))) at++;
    return (size_t)(at - x->at);
}

/* One operator or bracket. */
static Status lex_operator(Lexer *x)
{
    static const char *const operators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]",
                                            "(",  ")",  "{",  "}",  ">",  "<",  "=", ".", ":", "|", ",", ";"};
    Status st = OK;
    const char *found = NULL;
    for (size_t i = 0; i < sizeof operators / sizeof *operators && !found; i++)
        if (looks_at(x, operators[i])) found = operators[i];
    if (!found) {
        size_t n = letter_bytes(x->at, (size_t)(x->end - x->at));
        if (*x->at == '\'' || *x->at == '"') REFUSE(x, FORMAT, "a string has no end");
        if (n > 1) REFUSE(x, UNSUPPORTED, "`%.*s` in a tag: names are ASCII letters, digits and _", (int)n, x->at);
        REFUSE(x, FORMAT, "unexpected character `%.*s`", (int)n, x->at);
    }
    const char *bracket = strchr("([{", *found), *closes = strchr(")]}", *found);
    if (bracket) {
        if (x->open == BRACKETS) REFUSE(x, UNSUPPORTED, "more than %d brackets inside each other", BRACKETS);
        x->closing[x->open++] = ")]}"[strchr("([{", *found) - "([{"];
    } else if (closes) {
        if (!x->open) REFUSE(x, FORMAT, "unexpected `%s`", found);
        if (x->closing[--x->open] != *found)
            REFUSE(x, FORMAT, "unexpected `%s`, expected `%c`", found, x->closing[x->open]);
    }
    TRY(add(x, TOKEN_OPERATOR, found, strlen(found)));
    x->at += strlen(found);
done:
    return st;
}

static Status lex_string(Lexer *x, bool *taken)
{
    Status st = OK;
    char quote = *x->at;
    const char *at = x->at + 1;
    *taken = false;
    while (at < x->end && *at != quote) at += *at == '\\' && x->end - at > 1 ? 2 : 1;
    if (at >= x->end) goto done;
    Value s;
    st = string_unescape(x->arena, x->at + 1, (size_t)(at - x->at) - 1, &s);
    if (st) {
        st = status_prefix(st, "line %u", x->line);
        goto done;
    }
    TRY(add(x, TOKEN_STRING, s.text, s.size));
    move(x, at + 1);
    *taken = true;
done:
    return st;
}

static Status lex_number(Lexer *x)
{
    Status st = OK;
    Value v;
    size_t n = string_number(x->at, (size_t)(x->end - x->at), x->at > x->text && x->at[-1] == '.', &v);
    if (!n) REFUSE(x, UNSUPPORTED, "a number that does not fit into 64 bits");
    TRY(add(x, TOKEN_NUMBER, x->at, n));
    x->tokens[x->count - 1].number = v;
    x->at += n;
done:
    return st;
}

/* After "{{" or "{%" and its sign, up to and with the tag's end. */
static Status lex_tag(Lexer *x, bool print)
{
    Status st = OK;
    const char *close = print ? "}}" : "%}";
    x->open = 0;
    while (x->at < x->end) {
        char sign = *x->at == '-' || (*x->at == '+' && !print) ? *x->at : 0;
        const char *at = x->at + (sign != 0);
        if (!x->open && x->end - at >= 2 && !memcmp(at, close, 2)) {
            TRY(add(x, print ? TOKEN_PRINT_END : TOKEN_BLOCK_END, at, 2));
            x->at = at;
            end_tag(x, sign, !print);
            goto done;
        }
        size_t n = text_spaces(x->at, (size_t)(x->end - x->at));
        if (n) {
            move(x, x->at + n);
        } else if (*x->at >= '0' && *x->at <= '9') {
            TRY(lex_number(x));
        } else if ((n = name_bytes(x))) {
            TRY(add(x, TOKEN_NAME, x->at, n));
            x->at += n;
        } else {
            bool taken = false;
            if (*x->at == '\'' || *x->at == '"') TRY(lex_string(x, &taken));
            if (!taken) TRY(lex_operator(x));
        }
    }
    if (x->open) REFUSE(x, FORMAT, "the template ends where `%c` was expected", x->closing[x->open - 1]);
    REFUSE(x, FORMAT, "the template ends inside of a tag: %s was expected", close);
done:
    return st;
}

static Status lex_root(Lexer *x)
{
    Status st = OK;
    while (x->at < x->end) {
        const char *start = x->at, *tag = start;
        while (tag < x->end && !(tag[0] == '{' && x->end - tag > 1 && strchr("{%#", tag[1]) && tag[1])) tag++;
        if (tag == x->end) {
            TRY(add(x, TOKEN_TEXT, start, (size_t)(tag - start)));
            break;
        }
        bool print = tag[1] == '{', comment = tag[1] == '#';
        const char *after = tag + 2;
        char sign = after < x->end && (*after == '-' || *after == '+') ? *after : 0;
        const char *stop = text_end(x, start, tag, sign, print);
        if (stop > start) TRY(add(x, TOKEN_TEXT, start, (size_t)(stop - start)));
        move(x, tag);
        if (!print && !comment && take_raw(x, tag)) {
            TRY(lex_raw(x));
            continue;
        }
        if (!comment) TRY(add(x, print ? TOKEN_PRINT_BEGIN : TOKEN_BLOCK_BEGIN, tag, 2));
        x->at = after + (sign != 0);
        TRY(comment ? lex_comment(x) : lex_tag(x, print));
    }
    TRY(add(x, TOKEN_END, "", 0));
done:
    return st;
}

Status lexer_run(const char *text, size_t size, Arena *arena, Token **tokens, size_t *count)
{
    Status st = OK;
    Lexer x = {.line = 1, .arena = arena};
    char *copy = arena_alloc(arena, size + 1);
    TRY_MEMORY(copy);
    size_t n = 0;
    for (size_t i = 0; i < size; i++) { /* every line ends in \n */
        if (text[i] == '\r' && i + 1 < size && text[i + 1] == '\n') continue;
        copy[n++] = text[i] == '\r' ? '\n' : text[i];
    }
    if (n && copy[n - 1] == '\n') n--; /* one final line break does not count */
    x.text = x.at = copy;
    x.end = copy + n;
    size_t valid = letter_valid(copy, n);
    if (valid < n) {
        move(&x, copy + valid);
        REFUSE(&x, FORMAT, "the text is not valid UTF-8");
    }
    TRY(lex_root(&x));
    *tokens = x.tokens;
    *count = x.count;
done:
    return st;
}
