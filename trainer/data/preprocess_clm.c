/* See preprocess_clm.h. The key of the cache is a hash of the bytes of the data files and of the tokenizer's, and of
 * the settings; names and times of files do not count. */
#include "trainer/data/preprocess_clm.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "trainer/base/clock.h"
#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/data/clm_rows.h"
#include "trainer/data/group_texts.h"
#include "trainer/data/readers.h"
#include "trainer/data/token_cache.h"
#include "trainer/data/tokenize_rows.h"

enum { HASH_BUFFER = 1 << 18 };

/* The file's bytes, then their number: no two lists of files give the same. */
static Status hash_file(XXH3_state_t *hash, const char *path, char *buffer, uint64_t *bytes)
{
    Status st = OK;
    File *f = NULL;
    size_t got = 1;

    *bytes = 0;
    TRY(file_open(path, &f));
    while (got) {
        TRY(file_read_some(f, buffer, HASH_BUFFER, &got));
        XXH3_128bits_update(hash, buffer, got);
        *bytes += got;
    }
    XXH3_128bits_update(hash, bytes, sizeof *bytes);
done:
    file_close(f);
    return st;
}

static Status hash_tokenizer(XXH3_state_t *hash, const ClmSource *s, char *buffer)
{
    Status st = OK;
    Arena *arena = NULL;
    TRY(arena_new(&arena));
    for (const char *const *name = tokenizer_files(s->tokenizer); *name; name++) {
        uint64_t bytes;
        const char *path = path_join(arena, s->tokenizer_dir, *name);
        TRY_MEMORY(path);
        XXH3_128bits_update(hash, *name, strlen(*name) + 1);
        TRY(hash_file(hash, path, buffer, &bytes));
    }
done:
    arena_free(arena);
    return st;
}

/* Of what the blocks depend on. Without a tokenizer_dir there is no cache, and only the files are looked at. */
static Status make_key(const ClmSource *s, RowsFormat format, uint64_t key[2], int64_t *source_bytes)
{
    Status st = OK;
    char *buffer = malloc(HASH_BUFFER);
    XXH3_state_t *hash = XXH3_createState();
    const int64_t settings[] = {1 /* of this list and of what is done with it */, format, s->num_paths, s->block_size,
                                format == ROWS_TEXT && s->keep_linebreaks, s->part,
                                s->part == SPLIT_ALL ? 0 : s->percent, s->workers > 1 ? s->workers : 1};

    *source_bytes = 0;
    if (!buffer || !hash) RAISE(MEMORY, "no memory to read data files");
    XXH3_128bits_reset(hash);
    XXH3_128bits_update(hash, "clm", 4);
    XXH3_128bits_update(hash, settings, sizeof settings);
    if (s->tokenizer_dir) TRY(hash_tokenizer(hash, s, buffer));
    for (int i = 0; i < s->num_paths; i++) {
        uint64_t bytes;
        TRY(hash_file(hash, s->paths[i], buffer, &bytes));
        *source_bytes += (int64_t)bytes;
    }
    const XXH128_hash_t digest = XXH3_128bits_digest(hash);
    key[0] = digest.low64;
    key[1] = digest.high64;
done:
    if (hash) XXH3_freeState(hash);
    free(buffer);
    return st;
}

static int thread_count(const ClmSource *s)
{
    cpu_set_t cores;
    if (s->threads > 0) return s->threads;
    return sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
}

typedef struct Making {
    const ClmSource *source;
    int64_t source_bytes;
    double shown_s; /* when the progress was shown last */
} Making;

static Status to_blocks(void *context, const int32_t *ids, int64_t count, bool ends_group)
{
    GroupTexts *g = context;
    const Status st = group_add(g, ids, count);
    if (ends_group) group_end(g);
    return st;
}

static void show_progress(Making *m, const Rows *rows)
{
    char text[128];
    const double now = clock_seconds();
    if (now - m->shown_s < 0.5) return;
    m->shown_s = now;
    snprintf(text, sizeof text, "tokenizing %s: %.0f%%", m->source->name,
             100.0 * (double)rows_position(rows) / (double)(m->source_bytes ? m->source_bytes : 1));
    log_status(text);
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
        if (row->index % 256 == 0) show_progress(m, clm->rows);
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

    m->shown_s = clock_seconds() + 0.5; /* the first second is silent */
    TRY(group_begin(&group, writer, s->block_size));
    TRY(clm_rows_open(s, &clm));
    TRY(tokenize_rows_new(s->tokenizer, thread_count(s), to_blocks, &group, &tokenize));
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

/* 1115394 as "1,115,394". */
static const char *grouped(int64_t n, char out[32])
{
    char digits[32];
    const int length = snprintf(digits, sizeof digits, "%" PRId64, n);
    int at = 0;
    for (int i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0 && digits[i - 1] != '-') out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

static void tell(const ClmSource *s, const Dataset *d, double seconds)
{
    char bytes[32], blocks[32];
    log_info("%s: %d file%s, %s bytes \u2192 %s blocks of %" PRId64 " in %.2f s%s", s->name, s->num_paths,
             s->num_paths > 1 ? "s" : "", grouped(dataset_notes(d)->source_bytes, bytes),
             grouped(dataset_count(d), blocks), s->block_size, seconds, dataset_was_cached(d) ? " (cached)" : "");
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
    if (s->part != SPLIT_ALL && (s->percent < 1 || s->percent > 99))
        RAISE(USAGE, "validation_split_percentage %d: must be 1 to 99", s->percent);
    TRY(rows_format(s->paths, s->num_paths, &format));
    TRY(make_key(s, format, request.key, &making.source_bytes));
    if (!request.dir && token_cache_default_dir(dir, sizeof dir)) request.dir = dir;
    if (!s->tokenizer_dir) request.dir = NULL;
    TRY(token_cache_open(&request, out));
    tell(s, *out, clock_seconds() - begun);
done:
    return st;
}
