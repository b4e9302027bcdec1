/* See input.h. */
#include "trainer/data/input.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Status input_open(Input *in, const char *path, bool skip_bom)
{
    static const char bom[] = "\xef\xbb\xbf";
    Status st = OK;

    in->path = path;
    in->at = in->end = 0;
    in->base = in->line_start = 0;
    in->line = 1;
    in->status = OK;
    if (!in->buffer) in->buffer = malloc(INPUT_BUFFER);
    if (!in->buffer) RAISE(MEMORY, "%s: out of memory", path);
    TRY(file_open(path, &in->file));
    input_fill(in);
    while (in->status == OK && in->end < 3) { /* a pipe may give less */
        size_t got;
        TRY(file_read_some(in->file, in->buffer + in->end, INPUT_BUFFER - in->end, &got));
        if (!got) break;
        in->end += got;
    }
    if (skip_bom && in->end >= 3 && memcmp(in->buffer, bom, 3) == 0) {
        in->at = 3;
        in->line_start = 3;
    }
    st = in->status;
done:
    return st;
}

void input_close(Input *in)
{
    file_close(in->file);
    in->file = NULL;
    in->at = in->end = 0;
}

void input_free(Input *in)
{
    input_close(in);
    free(in->buffer);
    in->buffer = NULL;
}

bool input_fill(Input *in)
{
    size_t got = 0;
    if (in->status != OK) return false;
    in->base += in->end;
    in->at = in->end = 0;
    in->status = file_read_some(in->file, in->buffer, INPUT_BUFFER, &got);
    in->end = in->status == OK ? got : 0;
    return in->end > 0;
}

int64_t input_column(const Input *in)
{
    return (int64_t)(in->base + in->at - in->line_start) + 1;
}

Status input_fail(const Input *in, const char *format, ...)
{
    char what[512];
    va_list args;
    if (in->status != OK) return in->status; /* its message is set */
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return status_raise(STATUS_FORMAT, "%s: line %" PRId64 ", column %" PRId64 ": %s", in->path, in->line,
                        input_column(in), what);
}

bool bytes_reserve(Bytes *b, size_t more)
{
    if (more > SIZE_MAX / 4 - b->size) {
        status_raise(STATUS_MEMORY, "a row too large for memory");
        return false;
    }
    size_t capacity = b->capacity ? b->capacity : 256;
    while (capacity < b->size + more) capacity *= 2;
    if (capacity == b->capacity) return true;
    char *grown = realloc(b->data, capacity);
    if (!grown) {
        status_raise(STATUS_MEMORY, "no memory for a row of %zu bytes", b->size + more);
        return false;
    }
    b->data = grown;
    b->capacity = capacity;
    return true;
}

bool bytes_add(Bytes *b, const char *data, size_t size)
{
    if (b->capacity - b->size < size && !bytes_reserve(b, size)) return false;
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
    return true;
}
