/* See preprocess_clm.h. The key of the cache is a hash of the bytes of the data files and of the tokenizer's, and of
 * the settings; names and times of files do not count. */
#include "trainer/data/preprocess_clm.h"

#include <inttypes.h>

#include "trainer/base/clock.h"
#include "trainer/base/log.h"
#include "trainer/data/cache_key.h"
#include "trainer/data/clm_rows.h"
#include "trainer/data/group_texts.h"
#include "trainer/data/making.h"
#include "trainer/data/readers.h"
#include "trainer/data/token_cache.h"
#include "trainer/data/tokenize_rows.h"

/* Of what the blocks depend on. Without a tokenizer_dir there is no cache, and only the files are looked at. */
static Status make_key(const ClmSource *s, RowsFormat format, uint64_t key[2], int64_t *source_bytes)
{
    Status st = OK;
    CacheKey k;
    const int64_t settings[] = {1 /* of this list and of what is done with it */, format, s->num_paths, s->block_size,
                                format == ROWS_TEXT && s->keep_linebreaks, s->part,
                                s->part == SPLIT_ALL ? 0 : s->percent, s->workers > 1 ? s->workers : 1};

    TRY(cache_key_begin(&k, "clm"));
    cache_key_numbers(&k, settings, sizeof settings / sizeof *settings);
    if (s->tokenizer_dir) TRY(cache_key_tokenizer(&k, s->tokenizer, s->tokenizer_dir));
    TRY(cache_key_files(&k, s->paths, s->num_paths));
    cache_key_end(&k, key);
    *source_bytes = k.source_bytes;
done:
    cache_key_free(&k);
    return st;
}

typedef struct Making {
    const ClmSource *source;
    int64_t source_bytes;
    MakingProgress progress;
} Making;

static Status to_blocks(void *context, const int32_t *ids, int64_t count, bool ends_group)
{
    GroupTexts *g = context;
    const Status st = group_add(g, ids, count);
    if (ends_group) group_end(g);
    return st;
}

/* All rows of the range through the threads; called with everything ready. */
static Status feed(Making *m, ClmRows *clm, TokenizeRows *tokenize)
{
    Status st = OK;
    const Field *text;
    const Row *row;
    bool ends_group;
    for (;;) {
        TRY(clm_rows_next(clm, &row, &text, &ends_group));
        if (!row) break;
        TRY(tokenize_rows_feed(tokenize, text->text, text->bytes, row->path, row->line, ends_group));
        if (row->index % 256 == 0) making_show(&m->progress, clm->rows);
    }
    TRY(tokenize_rows_finish(tokenize));
done:
    log_status(NULL);
    return st;
}

static Status make_blocks(void *context, CacheWriter *writer)
{
    Status st = OK;
    Making *m = context;
    const ClmSource *s = m->source;
    GroupTexts group = {0};
    ClmRows clm = {0};
    TokenizeRows *tokenize = NULL;

    making_begin(&m->progress, s->name, m->source_bytes);
    TRY(group_begin(&group, writer, s->block_size));
    TRY(clm_rows_open(s, &clm));
    TRY(tokenize_rows_new(s->tokenizer, making_threads(s->threads), to_blocks, &group, &tokenize));
    TRY(feed(m, &clm, tokenize));
    if (!group.blocks)
        RAISE(USAGE, "%s: %s%s: %" PRId64 " tokens in %" PRId64 " rows make no block of %" PRId64 " (what remains of "
              "every 1,000 rows is dropped); give more text or a smaller block_size", s->name, s->paths[0],
              s->num_paths > 1 ? " and others" : "", group.tokens, clm.given, s->block_size);
    *cache_writer_notes(writer) = (CacheNotes){.rows = clm.given, .tokens = group.tokens,
                                               .source_bytes = m->source_bytes};
done:
    tokenize_rows_free(tokenize);
    clm_rows_close(&clm);
    group_free(&group);
    return st;
}

static void tell(const ClmSource *s, const Dataset *d, double seconds)
{
    char bytes[32], blocks[32];
    log_info("%s: %d file%s, %s bytes \u2192 %s blocks of %" PRId64 " in %.2f s%s", s->name, s->num_paths,
             s->num_paths > 1 ? "s" : "", grouped_number(dataset_notes(d)->source_bytes, bytes),
             grouped_number(dataset_count(d), blocks), s->block_size, seconds,
             dataset_was_cached(d) ? " (cached)" : "");
}

Status dataset_open_clm(const ClmSource *s, Dataset **out)
{
    Status st = OK;
    char dir[4096];
    RowsFormat format;
    const double begun = clock_seconds();
    Making making = {.source = s};
    const CacheColumn column = {.name = "input_ids", .length = s->block_size};
    CacheRequest request = {.dir = s->cache_dir, .overwrite = s->overwrite_cache, .run = s->run, .columns = &column,
                            .num_columns = 1, .make = make_blocks, .context = &making};

    *out = NULL;
    if (s->block_size < 1) RAISE(USAGE, "block_size %" PRId64 ": must be at least 1", s->block_size);
    TRY(rows_format(s->paths, s->num_paths, &format));
    TRY(make_key(s, format, request.key, &making.source_bytes));
    if (!request.dir && token_cache_default_dir(dir, sizeof dir)) request.dir = dir;
    if (!s->tokenizer_dir) request.dir = NULL;
    TRY(token_cache_open(&request, out));
    tell(s, *out, clock_seconds() - begun);
done:
    return st;
}
