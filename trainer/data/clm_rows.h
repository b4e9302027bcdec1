/* The rows that a split of run_clm tokenizes: which column, which part of the files, and where groups of 1,000 end. */
#ifndef HONE_DATA_CLM_ROWS_H
#define HONE_DATA_CLM_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "trainer/base/status.h"
#include "trainer/data/group_texts.h"
#include "trainer/data/preprocess_clm.h"
#include "trainer/data/readers.h"

typedef struct ClmRows {
    const ClmSource *source;
    RowsFormat format;
    Rows *rows;
    char *column;     /* the one that is taken; NULL before the first row */
    bool all_numbers; /* so far, where the column is not named text */
    GroupPlan plan;
    int64_t first, last; /* rows [first, last) of the files */
    int64_t given;
} ClmRows;

Status clm_rows_open(const ClmSource *source, ClmRows *out);
/* *row NULL at the end. */
Status clm_rows_next(ClmRows *c, const Row **row, const Field **text, bool *ends_group);
void clm_rows_close(ClmRows *c);

#endif
