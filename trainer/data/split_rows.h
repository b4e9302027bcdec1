/* Which rows of the files are a split's: all, the first `percent` percent (validation), or all but those (train),
 * rounded as the slices "train[:5%]" and "train[5%:]" of the datasets library are. */
#ifndef HONE_DATA_SPLIT_ROWS_H
#define HONE_DATA_SPLIT_ROWS_H

#include <stdint.h>

#include "trainer/data/readers.h"

typedef enum SplitPart { SPLIT_ALL, SPLIT_HEAD, SPLIT_TAIL } SplitPart;

/* Rows [*first, *last). One pass over the files to count them, where the part asks for it or `counted` does; else
 * *last is INT64_MAX. An empty part is an error that begins with the split's name. percent: 1..99. */
Status split_rows(const RowsConfig *config, const char *name, SplitPart part, int percent, bool counted, int64_t *first,
                  int64_t *last);
/* How many rows "train[:percent%]" has: rounded as Python rounds, half to even. */
int64_t split_head_rows(int64_t rows, int percent);

#endif
