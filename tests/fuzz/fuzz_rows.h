/* What the fuzzers of the data readers share: rows read and checked. */
#ifndef HONE_FUZZ_ROWS_H
#define HONE_FUZZ_ROWS_H

#include "tests/fuzz/fuzz.h"
#include "trainer/data/readers.h"
#include "trainer/tokenizer/unicode.h"

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
