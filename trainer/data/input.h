/* The bytes of a data file, buffered, with the place in it; and a buffer that grows. What the readers share. */
#ifndef HONE_DATA_INPUT_H
#define HONE_DATA_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/base/file.h"
#include "trainer/base/status.h"

enum { INPUT_BUFFER = 1 << 16, INPUT_END = -1 };

typedef struct Input {
    File *file;
    const char *path; /* borrowed */
    char *buffer;     /* [INPUT_BUFFER] */
    size_t at, end;   /* unread: buffer[at..end) */
    uint64_t base;    /* offset in the file of buffer[0] */
    int64_t line;     /* 1.., of the next byte */
    uint64_t line_start; /* offset in the file of its first byte */
    Status status;    /* the first failure; then every byte is INPUT_END */
} Input;

/* Opens and skips a byte order mark if asked to. Closing keeps the buffer for the next file; free frees it too. */
Status input_open(Input *in, const char *path, bool skip_bom);
void input_close(Input *in);
void input_free(Input *in);
/* Reads on when everything is used up; false at the end of the file or after a failure. */
bool input_fill(Input *in);

/* The next byte, or INPUT_END. */
static inline int input_peek(Input *in)
{
    if (in->at == in->end && !input_fill(in)) return INPUT_END;
    return (unsigned char)in->buffer[in->at];
}

/* Takes the byte that input_peek gave. */
static inline void input_skip(Input *in)
{
    if (in->buffer[in->at++] == '\n') {
        in->line++;
        in->line_start = in->base + in->at;
    }
}

/* After a lone \r that ends a line. */
static inline void input_new_line(Input *in)
{
    in->line++;
    in->line_start = in->base + in->at;
}

int64_t input_column(const Input *in); /* 1.., in bytes, of the next byte */
/* "path: line 3, column 7: " before the message; the failure of reading instead, if that is why. */
Status input_fail(const Input *in, const char *format, ...) __attribute__((format(printf, 2, 3)));

typedef struct Bytes {
    char *data;
    size_t size, capacity;
} Bytes;

/* false: no memory, and the message is set. */
bool bytes_reserve(Bytes *b, size_t more);
bool bytes_add(Bytes *b, const char *data, size_t size);

static inline bool bytes_put(Bytes *b, char c)
{
    if (b->size == b->capacity && !bytes_reserve(b, 1)) return false;
    b->data[b->size++] = c;
    return true;
}

#endif
