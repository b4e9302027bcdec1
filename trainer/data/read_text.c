/* A row a line, as datasets' text builder and Python's universal newlines make them: \n, \r\n and \r end a line and
 * read as \n; a byte order mark and every other control character, NUL too, is text. */
#include <string.h>

#include "trainer/data/rows_internal.h"
#include "trainer/tokenizer/unicode.h"

/* Takes what comes before the next line end in the buffer. */
static Status take_run(Rows *r)
{
    Input *in = &r->in;
    const char *from = in->buffer + in->at;
    size_t size = in->end - in->at;
    const char *end = memchr(from, '\n', size);
    if (end) size = (size_t)(end - from);
    end = memchr(from, '\r', size);
    if (end) size = (size_t)(end - from);
    in->at += size;
    return bytes_add(&r->heap, from, size) ? OK : STATUS_MEMORY;
}

/* After the row's text, which stands at the line's first byte. */
static Status check_text(Rows *r)
{
    const Slot *slot = &r->slots[0];
    const size_t size = r->heap.size - slot->text;
    if (!size) return OK;
    const char *text = r->heap.data + slot->text;
    const size_t valid = utf8_valid_bytes(text, size);
    if (valid == size) return OK;
    return input_fail(&r->in, "byte %zu of this line is 0x%02x: not UTF-8; convert the file (iconv -t UTF-8)",
                      valid + 1, (unsigned char)text[valid]);
}

Status rows_text_next(Rows *r, bool *end)
{
    Status st = OK;
    Input *in = &r->in;
    int c = input_peek(in);

    *end = c == INPUT_END;
    if (*end) {
        st = in->status;
        goto done;
    }
    TRY(rows_begin_field(r, 0, FIELD_STRING));
    while (c != INPUT_END && c != '\n' && c != '\r') {
        TRY(take_run(r));
        c = input_peek(in);
    }
    TRY(in->status);
    TRY(check_text(r));
    if (c != INPUT_END) {
        input_skip(in);
        if (c == '\r') {
            if (input_peek(in) == '\n') input_skip(in);
            else input_new_line(in);
        }
        TRY(in->status);
        if (r->config.keep_linebreaks && !bytes_put(&r->heap, '\n')) RAISE(MEMORY, "%s: out of memory", in->path);
    }
    TRY(rows_end_field(r));
done:
    return st;
}
