/* Rows out of data files: one interface over .txt, .json, .jsonl and .csv, in constant memory.
 *
 * What a row is follows the builders of the datasets library, 5.2.0:
 *   text  a line; line ends \n, \r\n and \r all read as \n; no other character splits. Column "text".
 *   json  an object a line, or anywhere between white space; or one array of objects (or of strings: column "text");
 *         or, with `field`, one object whose member of that name is such an array
 *   csv   RFC 4180 as pandas reads it: a header row, "quoted ""fields""" with line ends in them; skips blank lines
 * The strictness is base/json.h's: valid UTF-8, no duplicate keys, no NUL, depth 512. Errors name file and line. */
#ifndef HONE_DATA_READERS_H
#define HONE_DATA_READERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/base/status.h"

typedef enum RowsFormat { ROWS_TEXT, ROWS_JSON, ROWS_CSV } RowsFormat;

typedef enum FieldType { FIELD_NULL, FIELD_STRING, FIELD_NUMBER, FIELD_BOOL, FIELD_LIST, FIELD_OBJECT } FieldType;

typedef struct Field {
    const char *name; /* the column's */
    FieldType type;   /* of csv: FIELD_STRING, or FIELD_NULL where the row is too short */
    const char *text; /* FIELD_STRING: the decoded text; else its JSON, without white space. Ends with a NUL */
    size_t bytes;
} Field;

/* Borrowed until the next rows_next. */
typedef struct Row {
    int64_t index;    /* 0.. over all files */
    const char *path; /* its file */
    int64_t line;     /* 1.., where it begins */
    int count;        /* fields, in the file's order */
    const Field *fields;
} Row;

typedef struct RowsConfig {
    const char *const *paths; /* all of one format; borrowed until rows_close */
    int num_paths;
    bool keep_linebreaks; /* text: rows end with the \n that the file has */
    const char *field;    /* json: the member that holds the rows; NULL: the file itself */
} RowsConfig;

typedef struct Rows Rows;

/* By the names' ends: .txt .text, .json .jsonl, .csv. Others, and several formats at once, are errors that say so. */
Status rows_format(const char *const *paths, int num_paths, RowsFormat *out);
Status rows_open(const RowsConfig *config, Rows **out); /* free with rows_close */
Status rows_next(Rows *rows, const Row **out);          /* NULL when all files are read */
uint64_t rows_position(const Rows *rows);               /* bytes read so far, of all files */
void rows_close(Rows *rows);                            /* NULL is fine */

/* The field of that name, NULL if the row has none. */
const Field *row_find(const Row *row, const char *name);
const char *field_type_name(FieldType type); /* "a string", "a number", … */

#endif
