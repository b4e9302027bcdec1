/* The grammar of JSON over a streamed input: what read_json.c makes rows with. */
#ifndef HONE_DATA_SCAN_JSON_H
#define HONE_DATA_SCAN_JSON_H

#include "trainer/data/rows_internal.h"

void scan_space(Rows *r);
/* What the next value is by its first byte; anything that is none is a number, which then fails. */
FieldType scan_peek_type(Rows *r);
/* A string from its opening quote, decoded or as it stands, at the end of `to`. */
Status scan_string(Rows *r, Bytes *to, bool raw);
/* Any value as it stands, at the end of the heap. */
Status scan_value(Rows *r);

/* Where the keys of an object that is about to be opened will begin. */
typedef struct ScanScope {
    size_t keys, seen;
} ScanScope;
ScanScope scan_scope(const Rows *r);
/* A key with its quotes and colon: decoded at r->keys.data + *at, up to keys.size; it stays there until scan_close. */
Status scan_key(Rows *r, size_t *at);
/* Takes `{` or `[`. */
Status scan_open(Rows *r);
/* After it: *more, or `close` is taken. Then after each member: a comma and *more, or `close` is taken. */
Status scan_first(Rows *r, char close, bool *more);
Status scan_more(Rows *r, char close, bool *more);
/* After an object's `}`: no key was given twice. Also undoes scan_open's depth (as an array's end must: r->depth--). */
Status scan_close(Rows *r, const ScanScope *scope);

#endif
