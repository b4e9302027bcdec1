/* links: data */
/* The rows laid end to end are the text with every line end as \n; and only invalid UTF-8 is an error. */
#include "tests/fuzz/fuzz_rows.h"

/* Universal newlines; `to` has room for `size` bytes. */
static size_t translate(char *to, const uint8_t *data, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++)
        if (!(data[i] == '\n' && i && data[i - 1] == '\r')) to[n++] = data[i] == '\r' ? '\n' : (char)data[i];
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const bool valid = size == 0 || utf8_valid_bytes((const char *)data, size) == size;
    const char *path = fuzz_file(".txt", data, size);
    char *expected = malloc(size + 1);
    FUZZ_CHECK(expected);
    const size_t length = translate(expected, data, size);

    for (int keep = 0; keep < 2; keep++) {
        const Row *row = NULL;
        Rows *rows = fuzz_open(&path, keep);
        size_t at = 0;
        Status st;
        while ((st = rows_next(rows, &row)) == OK && row) {
            const Field *f = &row->fields[0];
            fuzz_check_row(row);
            FUZZ_CHECK(row->count == 1 && at + f->bytes <= length);
            FUZZ_CHECK(memcmp(expected + at, f->text, f->bytes) == 0);
            at += f->bytes;
            if (!keep && at < length) FUZZ_CHECK(expected[at++] == '\n');
        }
        FUZZ_CHECK((st == OK) == valid);
        if (valid) FUZZ_CHECK(at == length);
        rows_close(rows);
    }
    free(expected);
    return 0;
}
