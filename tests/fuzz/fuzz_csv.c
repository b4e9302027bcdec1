/* links: data */
/* What is read is written again with every field in quotes, and must be read as the same rows. */
#include "tests/fuzz/fuzz_rows.h"
#include "trainer/base/json.h"

static void add_field(Text *t, const char *text, size_t bytes, bool first)
{
    text_add(t, first ? "\"" : ",\"", first ? 1 : 2);
    for (size_t i = 0; i < bytes; i++) text_add(t, text[i] == '"' ? "\"\"" : text + i, text[i] == '"' ? 2 : 1);
    text_add(t, "\"", 1);
}

/* Reads the file; the rows as quoted csv go to *out, whose header is of that row with the most fields. */
static Status read_all(const char *path, Text *out, int64_t *count)
{
    const Row *row = NULL;
    Rows *rows = fuzz_open(&path, false);
    Text body = {0}, header = {0};
    int most = 0;
    Status st;
    *count = 0;
    while ((st = rows_next(rows, &row)) == OK && row) {
        fuzz_check_row(row);
        ++*count;
        for (int i = 0; i < row->count; i++) {
            if (row->fields[i].type == FIELD_NULL) continue; /* the row is short */
            add_field(&body, row->fields[i].text, row->fields[i].bytes, i == 0);
        }
        text_add(&body, "\n", 1);
        if (row->count <= most) continue;
        most = row->count;
        header.size = 0;
        for (int i = 0; i < row->count; i++) {
            const char *name = row->fields[i].name;
            add_field(&header, name, strlen(name), i == 0);
        }
        text_add(&header, "\n", 1);
    }
    if (header.size) text_add(out, header.data, header.size);
    if (body.size) text_add(out, body.data, body.size);
    FUZZ_CHECK(!body.failed && !header.failed && !out->failed);
    text_free(&body);
    text_free(&header);
    rows_close(rows);
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Text once = {0}, twice = {0};
    int64_t count, again;
    const Status st = read_all(fuzz_file(".csv", data, size), &once, &count);
    if (st == OK && count) {
        FUZZ_CHECK(read_all(fuzz_file(".csv", once.data, once.size), &twice, &again) == OK);
        FUZZ_CHECK(count == again);
        FUZZ_CHECK(once.size == twice.size && memcmp(once.data, twice.data, once.size) == 0);
    }
    text_free(&once);
    text_free(&twice);
    return 0;
}
