/* Rows of JSON, without the tree: an object's members go to the heap as they are read. What is JSON is what base/json.h
 * takes (the fuzzer compares the two). See readers.h for the three shapes of a file. */
#include "trainer/data/scan_json.h"

#include <string.h>

#include "trainer/data/rows_internal.h"

static Status fail(const Rows *r, const char *what)
{
    return input_fail(&r->in, "not valid JSON: %s", what);
}

/* A member of an object: its key, the colon and its value, into the row. */
static Status read_member(Rows *r, bool in_row)
{
    Status st = OK;
    size_t key, name = r->heap.size;

    TRY(scan_key(r, &key));
    const size_t bytes = r->keys.size - key;
    if (in_row) {
        if (!bytes_add(&r->heap, r->keys.data + key, bytes) || !bytes_put(&r->heap, '\0')) TRY(STATUS_MEMORY);
        TRY(rows_begin_field(r, name, scan_peek_type(r)));
    }
    if (in_row && input_peek(&r->in) == '"') TRY(scan_string(r, &r->heap, false));
    else TRY(scan_value(r));
    if (in_row) TRY(rows_end_field(r));
done:
    return st;
}

static Status read_row_object(Rows *r)
{
    Status st = OK;
    bool more;
    const ScanScope scope = scan_scope(r);

    TRY(scan_open(r));
    TRY(scan_first(r, '}', &more));
    while (more) {
        TRY(read_member(r, true));
        TRY(scan_more(r, '}', &more));
    }
    TRY(scan_close(r, &scope));
done:
    return st;
}

/* A row that is only a string: the column is "text", as in datasets' builder. */
static Status read_row_string(Rows *r)
{
    Status st = OK;
    if (!bytes_add(&r->heap, "text", 5)) TRY(STATUS_MEMORY);
    TRY(rows_begin_field(r, 0, FIELD_STRING));
    TRY(scan_string(r, &r->heap, false));
    TRY(rows_end_field(r));
done:
    return st;
}

/* The outer object of JSON_FIELD up to the rows' array. */
static Status find_field(Rows *r)
{
    Status st = OK;
    bool more;

    if (input_peek(&r->in) != '{')
        TRY(input_fail(&r->in, "an object with the rows in its member \"%s\" was expected", r->config.field));
    TRY(scan_open(r));
    TRY(scan_first(r, '}', &more));
    while (more) {
        size_t key;
        TRY(scan_key(r, &key));
        const size_t bytes = r->keys.size - key;
        if (bytes == strlen(r->config.field) && memcmp(r->keys.data + key, r->config.field, bytes) == 0) goto done;
        r->heap.size = 0;
        TRY(scan_value(r));
        TRY(scan_more(r, '}', &more));
    }
    TRY(input_fail(&r->in, "the object has no member \"%s\"", r->config.field));
done:
    return st;
}

/* After the array: the rest of the outer object, then nothing. */
static Status finish_file(Rows *r)
{
    Status st = OK;
    bool more = r->shape == JSON_FIELD;
    const ScanScope outer = {0};

    r->depth--;
    while (more) {
        TRY(scan_more(r, '}', &more));
        r->heap.size = 0;
        if (more) TRY(read_member(r, false));
    }
    if (r->shape == JSON_FIELD) TRY(scan_close(r, &outer));
    scan_space(r);
    if (input_peek(&r->in) != INPUT_END) TRY(fail(r, "text after the end of the value"));
    st = r->in.status;
done:
    return st;
}

Status rows_json_begin(Rows *r)
{
    Status st = OK;
    r->depth = 0;
    r->keys.size = 0;
    r->seen_count = 0;
    r->first = true;
    r->shape = r->config.field ? JSON_FIELD : JSON_LINES;
    scan_space(r);
    if (r->shape == JSON_FIELD) {
        TRY(find_field(r));
        if (input_peek(&r->in) != '[') TRY(input_fail(&r->in, "\"%s\" should be a list of rows", r->config.field));
    } else if (input_peek(&r->in) == '[') {
        r->shape = JSON_ARRAY;
    }
    if (r->shape != JSON_LINES) TRY(scan_open(r));
    st = r->in.status;
done:
    return st;
}

Status rows_json_next(Rows *r, bool *end)
{
    Status st = OK;
    bool more = true;

    scan_space(r);
    if (r->shape == JSON_LINES) more = input_peek(&r->in) != INPUT_END;
    else TRY(r->first ? scan_first(r, ']', &more) : scan_more(r, ']', &more));
    r->first = false;
    TRY(r->in.status);
    *end = !more;
    if (!more) {
        if (r->shape != JSON_LINES) TRY(finish_file(r));
        goto done;
    }
    scan_space(r);
    r->row.line = r->in.line;
    const int c = input_peek(&r->in);
    if (c == '{') TRY(read_row_object(r));
    else if (c == '"' && r->shape != JSON_LINES) TRY(read_row_string(r));
    else if (c == ',' && r->shape == JSON_LINES)
        TRY(fail(r, "objects are separated by line ends, not commas, unless the file is a list in [ ]"));
    else TRY(fail(r, "an object was expected"));
done:
    return st;
}
