/* Strings of the streamed JSON: see scan_json.h. */
#include <string.h>

#include "trainer/data/scan_json.h"
#include "trainer/tokenizer/unicode.h"

static Status fail(const Rows *r, const char *what)
{
    return input_fail(&r->in, "not valid JSON: %s", what);
}

/* After \u. */
static Status read_hex(Rows *r, unsigned *out)
{
    Status st = OK;
    *out = 0;
    for (int i = 0; i < 4; i++) {
        const int c = input_peek(&r->in);
        const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0) TRY(fail(r, "\\u needs four hexadecimal digits"));
        *out = *out * 16 + (unsigned)digit;
        input_skip(&r->in);
    }
done:
    return st;
}

/* After \u: one character, or two escapes that are a surrogate pair. */
static Status read_unicode(Rows *r, unsigned *out)
{
    Status st = OK;
    unsigned low;
    TRY(read_hex(r, out));
    if (*out == 0) TRY(fail(r, "NUL in a string"));
    if (*out < 0xD800 || *out > 0xDFFF) goto done;
    if (*out >= 0xDC00 || input_peek(&r->in) != '\\') TRY(fail(r, "half of a surrogate pair"));
    input_skip(&r->in);
    if (input_peek(&r->in) != 'u') TRY(fail(r, "half of a surrogate pair"));
    input_skip(&r->in);
    TRY(read_hex(r, &low));
    if (low < 0xDC00 || low > 0xDFFF) TRY(fail(r, "half of a surrogate pair"));
    *out = 0x10000 + ((*out - 0xD800) << 10) + (low - 0xDC00);
done:
    return st;
}

/* After the backslash. Raw escapes are written in one way: of four digits where they are not of one letter. */
static Status read_escape(Rows *r, Bytes *to, bool raw)
{
    static const char escapes[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    Status st = OK;
    const int c = input_peek(&r->in);
    const char *found = c > 0 ? strchr(escapes, c) : NULL;
    char utf8[4];
    unsigned code;

    if (found) {
        input_skip(&r->in);
        if (raw && !bytes_put(to, '\\')) TRY(STATUS_MEMORY);
        if (!bytes_put(to, raw ? (char)c : meanings[found - escapes])) TRY(STATUS_MEMORY);
        goto done;
    }
    if (c != 'u') TRY(fail(r, "an unknown escape"));
    input_skip(&r->in);
    TRY(read_unicode(r, &code));
    if (raw && (code < 0x20 || code == '"' || code == '\\')) {
        const char escape[] = {'\\', 'u', '0', '0', (char)('0' + (code >> 4)), "0123456789abcdef"[code & 15]};
        if (!bytes_add(to, escape, sizeof escape)) TRY(STATUS_MEMORY);
    } else if (!bytes_add(to, utf8, utf8_encode(code, utf8))) {
        TRY(STATUS_MEMORY);
    }
done:
    return st;
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c != '"' && c != '\\';
}

/* Takes the bytes in the buffer that stand for themselves. */
static Status take_run(Rows *r, Bytes *to)
{
    Input *in = &r->in;
    const char *from = in->buffer + in->at;
    const size_t left = in->end - in->at;
    size_t size = 0;
    while (size < left && is_plain((unsigned char)from[size])) size++;
    in->at += size;
    return bytes_add(to, from, size) ? OK : STATUS_MEMORY;
}

Status scan_string(Rows *r, Bytes *to, bool raw)
{
    Status st = OK;
    Input *in = &r->in;
    size_t start;

    input_skip(in);
    if (raw && !bytes_put(to, '"')) TRY(STATUS_MEMORY);
    start = to->size;
    for (;;) {
        const int c = input_peek(in);
        if (c == INPUT_END) TRY(fail(r, "a string without its closing quote"));
        if (c == '"') break;
        if (c == '\\') {
            input_skip(in);
            TRY(read_escape(r, to, raw));
        } else if (c < 0x20) {
            TRY(fail(r, c ? "a control character in a string" : "NUL in a string"));
        } else {
            TRY(take_run(r, to));
        }
    }
    if (to->size > start && utf8_valid_bytes(to->data + start, to->size - start) != to->size - start)
        TRY(fail(r, "invalid UTF-8"));
    input_skip(in);
    if (raw && !bytes_put(to, '"')) TRY(STATUS_MEMORY);
done:
    return st;
}
