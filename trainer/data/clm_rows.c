/* The column is "text", or else the first one, as run_clm takes it. A row must have a string there: the script's
 * tokenizer stops at a null or a number too. */
#include "trainer/data/clm_rows.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/log.h"

static RowsConfig config_of(const ClmSource *s)
{
    return (RowsConfig){.paths = s->paths, .num_paths = s->num_paths, .keep_linebreaks = s->keep_linebreaks};
}

Status clm_rows_open(const ClmSource *s, ClmRows *c)
{
    Status st = OK;
    const RowsConfig config = config_of(s);
    const bool counted = s->part != SPLIT_ALL || s->workers > 1;

    *c = (ClmRows){.source = s, .plan = {.rows = -1, .shards = 1}, .all_numbers = true};
    TRY(rows_format(s->paths, s->num_paths, &c->format));
    TRY(split_rows(&config, s->name, s->part, s->percent, counted, &c->first, &c->last));
    if (counted) c->plan = (GroupPlan){.rows = c->last - c->first, .shards = s->workers > 1 ? s->workers : 1};
    TRY(rows_open(&config, &c->rows));
done:
    return st;
}

void clm_rows_close(ClmRows *c)
{
    rows_close(c->rows);
    free(c->column);
    c->rows = NULL;
    c->column = NULL;
}

static Status choose_column(ClmRows *c, const Row *row)
{
    Status st = OK;
    if (!row->count) RAISE(FORMAT, "%s: line %" PRId64 ": a row without columns", row->path, row->line);
    const Field *f = row_find(row, "text");
    c->column = strdup(f ? f->name : row->fields[0].name);
    if (!c->column) RAISE(MEMORY, "%s: out of memory", row->path);
    if (!f) log_info("%s: there is no column \"text\"; taking the first one, \"%s\"", row->path, c->column);
done:
    return st;
}

/* Of a csv: pandas would have read numbers. */
static bool is_number(const Field *f)
{
    char *end;
    strtod(f->text, &end);
    return f->bytes && end == f->text + f->bytes;
}

static Status check_text(ClmRows *c, const Row *row, const Field **out)
{
    Status st = OK;
    const bool is_text = strcmp(c->column, "text") == 0;
    const Field *f = row_find(row, c->column);
    *out = f;
    if (!is_text && row_find(row, "text"))
        RAISE(FORMAT, "%s: line %" PRId64 ": has a column \"text\", which the first row lacks; give every row one",
              row->path, row->line);
    if (!f)
        RAISE(FORMAT, "%s: line %" PRId64 ": no column \"%.100s\" in this row; every row must have one", row->path,
              row->line, c->column);
    if (f->type != FIELD_STRING)
        RAISE(FORMAT, "%s: line %" PRId64 ": column \"%.100s\" is %s; the text to train on must be a string (name its "
              "column \"text\")", row->path, row->line, c->column, field_type_name(f->type));
    c->all_numbers = c->all_numbers && c->format == ROWS_CSV && !is_text && is_number(f);
done:
    return st;
}

Status clm_rows_next(ClmRows *c, const Row **row, const Field **text, bool *ends_group)
{
    Status st = OK;
    do TRY(rows_next(c->rows, row));
    while (*row && (*row)->index < c->first);
    if (*row && (*row)->index >= c->last) *row = NULL;
    if (!*row) {
        if (c->given && c->all_numbers)
            RAISE(FORMAT, "%s: column \"%.100s\", the first one, holds only numbers; name the column of the text "
                  "\"text\"", c->source->paths[0], c->column);
        goto done;
    }
    if (!c->column) TRY(choose_column(c, *row));
    TRY(check_text(c, *row, text));
    *ends_group = group_ends_after(&c->plan, (*row)->index - c->first);
    c->given++;
done:
    return st;
}
