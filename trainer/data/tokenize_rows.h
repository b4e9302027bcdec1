/* Rows tokenized by several threads, given back in the rows' order: the result does not depend on the threads. */
#ifndef HONE_DATA_TOKENIZE_ROWS_H
#define HONE_DATA_TOKENIZE_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/base/status.h"
#include "trainer/tokenizer/tokenizer.h"

typedef struct TokenizeRows TokenizeRows;

/* Receives the ids of some rows, in order, on the thread that feeds; ends_group as it was fed. */
typedef Status TokenizeSink(void *context, const int32_t *ids, int64_t count, bool ends_group);

/* What is made of a row: adds numbers to `out`. Called on many threads at once; scratch is the thread's. */
typedef struct IdList {
    int32_t *ids;
    int64_t count, capacity;
} IdList;
typedef Status RowEncoder(void *context, Encoding *scratch, const char *text, size_t bytes, IdList *out);
/* Room for `more` at the end. */
Status id_list_reserve(IdList *list, int64_t more);

Status tokenize_rows_new(const Tokenizer *tokenizer, int threads, TokenizeSink *sink, void *context,
                         TokenizeRows **out); /* free with tokenize_rows_free */
/* Another encoder in the tokenizer's place. */
Status tokenize_rows_new_by(RowEncoder *encode, void *encoder, int threads, TokenizeSink *sink, void *context,
                            TokenizeRows **out);
/* Copies the text. path must live on; with line it says where, if the text cannot be tokenized. */
Status tokenize_rows_feed(TokenizeRows *t, const char *text, size_t bytes, const char *path, int64_t line,
                          bool ends_group);
Status tokenize_rows_finish(TokenizeRows *t); /* all that was fed has gone to the sink */
void tokenize_rows_free(TokenizeRows *t);     /* NULL is fine */

#endif
