/* Records as pandas' C parser reads them with its defaults: a quote opens a quoted field only as the field's first byte
 * and is text elsewhere; "" in a quoted field is a quote; after the closing quote the field goes on unquoted; \n, \r\n
 * and \r end a record and stay as they are in quotes; lines of nothing but blanks are skipped; a byte order mark too.
 * Where pandas guesses (numbers, NA and empty fields become other types and nulls), a field that is there is text. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/data/rows_internal.h"
#include "trainer/tokenizer/unicode.h"

static bool ends_field(int c)
{
    return c == INPUT_END || c == ',' || c == '\n' || c == '\r';
}

/* Adds the byte that was peeked, and takes it. */
static Status take(Rows *r, int c)
{
    if (!bytes_put(&r->heap, (char)c)) return STATUS_MEMORY;
    input_skip(&r->in);
    return OK;
}

/* After the opening quote, up to and with the closing one. */
static Status quoted_part(Rows *r)
{
    Status st = OK;
    Input *in = &r->in;
    const int64_t line = in->line;
    for (;;) {
        int c = input_peek(in);
        if (c == INPUT_END) {
            TRY(in->status);
            RAISE(FORMAT, "%s: line %" PRId64 ": a field that begins with a quote has no closing one; write a quote in "
                  "a field as two", in->path, line);
        }
        if (c == '"') {
            input_skip(in);
            if (input_peek(in) != '"') goto done;
        }
        TRY(take(r, c));
    }
done:
    return st;
}

/* One field, up to what ends it. */
static Status read_field(Rows *r)
{
    Status st = OK;
    Input *in = &r->in;
    int c = input_peek(in);
    if (c == '"') {
        input_skip(in);
        TRY(quoted_part(r));
    }
    while (!ends_field(c = input_peek(in))) TRY(take(r, c));
    st = in->status;
done:
    return st;
}

/* Skips blank lines. What it has taken of the line that is not blank, spaces and tabs, is the beginning of its first
 * field: then *begun. */
static Status skip_blank_lines(Rows *r, bool *begun)
{
    Status st = OK;
    Input *in = &r->in;
    for (;;) {
        int c = input_peek(in);
        if (c == ' ' || c == '\t') {
            TRY(take(r, c));
        } else if (c == '\n') {
            input_skip(in);
            r->heap.size = 0;
        } else if (c == '\r') {
            input_skip(in);
            if (input_peek(in) != '\n') input_new_line(in);
            r->heap.size = 0;
        } else {
            if (c == INPUT_END) r->heap.size = 0;
            break;
        }
    }
    *begun = r->heap.size > 0;
    st = in->status;
done:
    return st;
}

/* The record's fields become slots whose names are their column's number. */
static Status read_record(Rows *r, bool *end)
{
    Status st = OK;
    Input *in = &r->in;
    bool begun;
    int c;

    TRY(skip_blank_lines(r, &begun));
    r->row.line = in->line;
    *end = !begun && input_peek(in) == INPUT_END;
    if (*end) goto done;
    for (;;) {
        TRY(rows_begin_field(r, (size_t)r->count, FIELD_STRING));
        if (begun) {
            r->slots[0].text = 0; /* with the blanks before it; a quote after them is text */
            while (!ends_field(c = input_peek(in))) TRY(take(r, c));
            begun = false;
        } else {
            TRY(read_field(r));
        }
        TRY(rows_end_field(r));
        c = input_peek(in);
        if (c != ',') break;
        input_skip(in);
    }
    if (c == '\n') input_skip(in);
    if (c == '\r') {
        input_skip(in);
        if (input_peek(in) == '\n') input_skip(in);
        else input_new_line(in);
    }
    TRY(in->status);
    if (utf8_valid_bytes(r->heap.data, r->heap.size) != r->heap.size)
        RAISE(FORMAT, "%s: line %" PRId64 ": not UTF-8; convert the file (iconv -t UTF-8)", in->path, r->row.line);
done:
    return st;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static Status check_names(const Rows *r)
{
    Status st = OK;
    const char **names = malloc((size_t)r->columns * sizeof *names);
    if (!names) RAISE(MEMORY, "%s: no memory for the header", r->in.path);
    for (int i = 0; i < r->columns; i++) names[i] = r->header.data + r->header_at[i];
    qsort(names, (size_t)r->columns, sizeof *names, by_name);
    for (int i = 1; i < r->columns; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            RAISE(FORMAT, "%s: line %" PRId64 ": two columns are named \"%.100s\"; rename one", r->in.path, r->row.line,
                  names[i]);
done:
    free(names);
    return st;
}

Status rows_csv_begin(Rows *r)
{
    Status st = OK;
    bool end;

    r->count = 0;
    r->heap.size = r->header.size = 0;
    TRY(read_record(r, &end));
    if (end) RAISE(FORMAT, "%s: empty; the first line of a .csv names its columns", r->in.path);
    size_t *at = realloc(r->header_at, (size_t)r->count * sizeof *at);
    if (!at) RAISE(MEMORY, "%s: no memory for the header", r->in.path);
    r->header_at = at;
    r->columns = r->count;
    for (int i = 0; i < r->count; i++) {
        const Slot *slot = &r->slots[i];
        char unnamed[32];
        const int length = snprintf(unnamed, sizeof unnamed, "Unnamed: %d", i); /* pandas' */
        at[i] = r->header.size;
        if (memchr(r->heap.data + slot->text, 0, slot->bytes))
            RAISE(FORMAT, "%s: line %" PRId64 ": a NUL in the name of column %d", r->in.path, r->row.line, i + 1);
        bool added = slot->bytes ? bytes_add(&r->header, r->heap.data + slot->text, slot->bytes + 1)
                                 : bytes_add(&r->header, unnamed, (size_t)length + 1);
        if (!added) TRY(STATUS_MEMORY);
    }
    TRY(check_names(r));
done:
    return st;
}

Status rows_csv_next(Rows *r, bool *end)
{
    Status st = OK;
    TRY(read_record(r, end));
    if (*end) goto done;
    if (r->count > r->columns)
        RAISE(FORMAT, "%s: line %" PRId64 ": %d fields where the header names %d; put a field with commas in quotes",
              r->in.path, r->row.line, r->count, r->columns);
    while (r->count < r->columns) { /* a short row: the rest is null, as in pandas */
        TRY(rows_begin_field(r, 0, FIELD_NULL));
        TRY(rows_end_field(r));
    }
    for (int i = 0; i < r->count; i++) r->slots[i].name = r->header_at[i];
done:
    return st;
}
