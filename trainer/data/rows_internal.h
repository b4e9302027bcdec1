/* What readers.c and the reader of each format share. */
#ifndef HONE_DATA_ROWS_INTERNAL_H
#define HONE_DATA_ROWS_INTERNAL_H

#include "trainer/data/input.h"
#include "trainer/data/readers.h"

/* A field while its row is being read: the heap may still move. */
typedef struct Slot {
    size_t name, text, bytes; /* offsets in the heap, or of the header for a csv's name */
    FieldType type;
} Slot;

/* A key of an object that is being read, to find one given twice. */
typedef struct SeenKey {
    uint64_t hash;
    size_t at, bytes; /* in `keys` */
} SeenKey;

typedef enum JsonShape { JSON_LINES, JSON_ARRAY, JSON_FIELD } JsonShape;

struct Rows {
    RowsConfig config;
    RowsFormat format;
    int file;      /* the next one to open */
    bool is_open;
    uint64_t bytes_before; /* of the files that are done */
    Input in;
    Bytes heap;    /* this row's names and texts */
    Slot *slots;
    int count, capacity;
    Field *fields; /* [capacity] */
    Row row;
    bool broken;   /* an error was given: nothing more is read */
    /* csv: the names of the columns, each with a NUL, in `header`; header_at[i] is where the i-th begins. */
    Bytes header;
    size_t *header_at;
    int columns;
    /* json */
    JsonShape shape;
    int depth;
    bool first; /* no element of the array yet */
    Bytes keys; /* of the objects that are open, a stack */
    SeenKey *seen;
    size_t seen_count, seen_capacity;
};

/* Adds a field that begins where the heap ends now; its text is what is added to the heap up to rows_end_field. */
Status rows_begin_field(Rows *r, size_t name, FieldType type);
Status rows_end_field(Rows *r); /* puts the NUL */

/* Each: begins a file that was just opened; reads a row, or says that the file has no more. Then the fields' slots are
 * filled and row.line is set. */
Status rows_text_next(Rows *r, bool *end);
Status rows_json_begin(Rows *r);
Status rows_json_next(Rows *r, bool *end);
Status rows_csv_begin(Rows *r);
Status rows_csv_next(Rows *r, bool *end);

#endif
