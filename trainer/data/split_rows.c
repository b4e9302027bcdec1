/* See split_rows.h. */
#include "trainer/data/split_rows.h"

#include <inttypes.h>
#include <math.h>

int64_t split_head_rows(int64_t rows, int percent)
{
    return (int64_t)nearbyint((double)(percent * rows) / 100.0);
}

static Status count_rows(const RowsConfig *config, int64_t *out)
{
    Status st = OK;
    const Row *row;
    Rows *rows = NULL;
    *out = -1;
    TRY(rows_open(config, &rows));
    do {
        TRY(rows_next(rows, &row));
        ++*out;
    } while (row);
done:
    rows_close(rows);
    return st;
}

Status split_rows(const RowsConfig *config, const char *name, SplitPart part, int percent, bool counted, int64_t *first,
                  int64_t *last)
{
    Status st = OK;
    int64_t rows = 0;
    *first = 0, *last = INT64_MAX;
    if (part != SPLIT_ALL && (percent < 1 || percent > 99))
        RAISE(USAGE, "validation_split_percentage %d: must be 1 to 99", percent);
    if (part == SPLIT_ALL && !counted) goto done;
    TRY(count_rows(config, &rows));
    const int64_t head = part == SPLIT_ALL ? 0 : split_head_rows(rows, percent);
    *first = part == SPLIT_TAIL ? head : 0;
    *last = part == SPLIT_HEAD ? head : rows;
    if (rows == 0)
        RAISE(USAGE, "%s: %s: there is not one row in it%s; give a file with text", name, config->paths[0],
              config->num_paths > 1 ? " and the files after it" : "");
    if (*last == *first)
        RAISE(USAGE, "%s: validation_split_percentage %d of %" PRId64 " rows leaves it none; give a validation_file",
              name, percent, rows);
done:
    return st;
}
