/* What the fuzzers of the data readers share: the input as a file, and rows compared. */
#ifndef HONE_FUZZ_ROWS_H
#define HONE_FUZZ_ROWS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/data/readers.h"
#include "trainer/tokenizer/unicode.h"

#define FUZZ_CHECK(what)                                                  \
    do {                                                                  \
        if (!(what)) {                                                    \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #what);    \
            abort();                                                      \
        }                                                                 \
    } while (0)

static char fuzz_path[64];

static inline void fuzz_remove(void)
{
    unlink(fuzz_path);
}

/* Writes the bytes to a file of this process whose name ends so; its path. Gone at exit. */
static inline const char *fuzz_file(const char *end, const void *data, size_t size)
{
    char *path = fuzz_path;
    if (!*path) atexit(fuzz_remove);
    snprintf(path, sizeof fuzz_path, "/tmp/hone_fuzz_%ld%s", (long)getpid(), end);
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f);
    FUZZ_CHECK(fwrite(data, 1, size, f) == size);
    FUZZ_CHECK(fclose(f) == 0);
    return path;
}

static inline Rows *fuzz_open(const char *const *path, bool keep)
{
    Rows *rows = NULL;
    const RowsConfig config = {.paths = path, .num_paths = 1, .keep_linebreaks = keep};
    FUZZ_CHECK(rows_open(&config, &rows) == OK);
    return rows;
}

/* What holds of every row. */
static inline void fuzz_check_row(const Row *row)
{
    for (int i = 0; i < row->count; i++) {
        const Field *f = &row->fields[i];
        FUZZ_CHECK(f->text[f->bytes] == '\0');
        FUZZ_CHECK(utf8_valid_bytes(f->text, f->bytes) == f->bytes);
        FUZZ_CHECK(f->name && utf8_valid_bytes(f->name, strlen(f->name)) == strlen(f->name));
    }
    FUZZ_CHECK(row->line >= 1);
}

#endif
