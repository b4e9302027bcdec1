/* Rows over files: opens one after another and hands them to the reader of the format. */
#include "trainer/data/readers.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "trainer/data/rows_internal.h"

static Status format_of(const char *path, RowsFormat *out)
{
    static const struct {
        const char *end;
        RowsFormat format;
    } ends[] = {{".txt", ROWS_TEXT},   {".text", ROWS_TEXT}, {".json", ROWS_JSON},
                {".jsonl", ROWS_JSON}, {".csv", ROWS_CSV}};
    const size_t length = strlen(path);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const size_t n = strlen(ends[i].end);
        if (length > n && strcasecmp(path + length - n, ends[i].end) == 0) {
            *out = ends[i].format;
            return OK;
        }
    }
    return status_raise(STATUS_USAGE, "%s: the name does not say what is in it; data files end in .txt, .text, .json, "
                        ".jsonl or .csv", path);
}

Status rows_format(const char *const *paths, int num_paths, RowsFormat *out)
{
    Status st = OK;
    if (num_paths < 1) RAISE(USAGE, "no data file is given");
    TRY(format_of(paths[0], out));
    for (int i = 1; i < num_paths; i++) {
        RowsFormat other = ROWS_TEXT;
        TRY(format_of(paths[i], &other));
        if (other != *out)
            RAISE(USAGE, "%s and %s are of different formats; the files of a split must be of one", paths[0], paths[i]);
    }
done:
    return st;
}

Status rows_open(const RowsConfig *config, Rows **out)
{
    Status st = OK;
    Rows *r = NULL;
    RowsFormat format;

    *out = NULL;
    TRY(rows_format(config->paths, config->num_paths, &format));
    r = calloc(1, sizeof *r);
    if (!r) RAISE(MEMORY, "%s: out of memory", config->paths[0]);
    r->config = *config;
    r->format = format;
    r->row.index = -1;
    *out = r;
done:
    return st;
}

void rows_close(Rows *r)
{
    if (!r) return;
    input_free(&r->in);
    free(r->heap.data);
    free(r->slots);
    free(r->fields);
    free(r->header.data);
    free(r->header_at);
    free(r->keys.data);
    free(r->seen);
    free(r);
}

Status rows_begin_field(Rows *r, size_t name, FieldType type)
{
    Status st = OK;
    if (r->count == r->capacity) {
        const int capacity = r->capacity ? r->capacity * 2 : 8;
        Slot *slots = realloc(r->slots, (size_t)capacity * sizeof *slots);
        if (slots) r->slots = slots;
        Field *fields = realloc(r->fields, (size_t)capacity * sizeof *fields);
        if (fields) r->fields = fields;
        if (!slots || !fields || capacity > INT32_MAX / 4) RAISE(MEMORY, "%s: no memory for a row", r->in.path);
        r->capacity = capacity;
    }
    r->slots[r->count++] = (Slot){.name = name, .text = r->heap.size, .type = type};
done:
    return st;
}

Status rows_end_field(Rows *r)
{
    Slot *slot = &r->slots[r->count - 1];
    slot->bytes = r->heap.size - slot->text;
    return bytes_put(&r->heap, '\0') ? OK : STATUS_MEMORY;
}

static Status begin_file(Rows *r)
{
    Status st = OK;
    TRY(input_open(&r->in, r->config.paths[r->file], r->format != ROWS_TEXT));
    r->is_open = true;
    r->file++;
    if (r->format == ROWS_CSV) TRY(rows_csv_begin(r));
    if (r->format == ROWS_JSON) TRY(rows_json_begin(r));
done:
    return st;
}

/* The heap stays where it is until the next row: offsets become pointers. */
static void finish_row(Rows *r)
{
    for (int i = 0; i < r->count; i++) {
        const Slot *s = &r->slots[i];
        const char *names = r->format == ROWS_CSV ? r->header.data : r->heap.data;
        r->fields[i] = (Field){.name = r->format == ROWS_TEXT ? "text" : names + s->name, .type = s->type,
                               .text = r->heap.data + s->text, .bytes = s->bytes};
    }
    r->row.index++;
    r->row.path = r->in.path;
    r->row.count = r->count;
    r->row.fields = r->fields;
}

Status rows_next(Rows *r, const Row **out)
{
    static Status (*const next[])(Rows *r, bool *end) = {rows_text_next, rows_json_next, rows_csv_next};
    Status st = OK;
    bool end = true;

    *out = NULL;
    if (r->broken) return status_raise(STATUS_BUG, "rows: read on after an error");
    for (;;) {
        if (!r->is_open) {
            if (r->file == r->config.num_paths) goto done;
            TRY(begin_file(r));
        }
        r->count = 0;
        r->heap.size = 0;
        r->row.line = r->in.line;
        TRY(next[r->format](r, &end));
        if (!end) break;
        r->bytes_before += r->in.base + r->in.at;
        input_close(&r->in);
        r->is_open = false;
    }
    finish_row(r);
    *out = &r->row;
done:
    r->broken = st != OK;
    return st;
}

uint64_t rows_position(const Rows *r)
{
    return r->bytes_before + (r->is_open ? r->in.base + r->in.at : 0);
}

const Field *row_find(const Row *row, const char *name)
{
    for (int i = 0; i < row->count; i++)
        if (strcmp(row->fields[i].name, name) == 0) return &row->fields[i];
    return NULL;
}

const char *field_type_name(FieldType type)
{
    static const char *const names[] = {"null", "a string", "a number", "true or false", "a list", "an object"};
    return names[type];
}
