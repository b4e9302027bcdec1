/* See preprocess_sft.h. Rows go through the threads one by one; without shuffling no more than 1,000 examples are held
 * at a time. */
#include "trainer/data/preprocess_sft.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/base/clock.h"
#include "trainer/base/log.h"
#include "trainer/data/cache_key.h"
#include "trainer/data/making.h"
#include "trainer/data/sft_encode.h"
#include "trainer/data/sft_examples.h"

enum { PACK_GROUP = 1000 };

typedef struct Making {
    const SftSource *source;
    int64_t source_bytes;
    MakingProgress progress;
    SftEncoder encoder;
    CacheWriter *writer;
    SftExamples examples, packed;
    int64_t given, made, tokens, cut, left_out, diverging;
} Making;

static Status make_key(const SftSource *s, uint64_t key[2], int64_t *source_bytes)
{
    Status st = OK;
    CacheKey k;
    const int64_t settings[] = {1 /* of this list and of what is done with it */, s->num_paths, s->part,
                                s->part == SPLIT_ALL ? 0 : s->percent, s->num_template_paths, s->completion_only,
                                s->assistant_only, s->max_length, s->keep_end, s->packing, s->shuffle,
                                s->packing ? (int64_t)s->strategy : 0, s->shuffle ? (int64_t)s->seed : 0};

    TRY(cache_key_begin(&k, "sft"));
    cache_key_numbers(&k, settings, sizeof settings / sizeof *settings);
    cache_key_text(&k, s->eos_token);
    cache_key_text(&k, s->text_field);
    if (s->tokenizer_dir) TRY(cache_key_tokenizer(&k, s->tokenizer, s->tokenizer_dir));
    TRY(cache_key_files(&k, s->template_paths, s->num_template_paths));
    k.source_bytes = 0;
    TRY(cache_key_files(&k, s->paths, s->num_paths));
    cache_key_end(&k, key);
    *source_bytes = k.source_bytes;
done:
    cache_key_free(&k);
    return st;
}

/* What is ready goes on: packed where that is asked for, into the file unless all are to be shuffled first. */
static Status pass_on(Making *m, bool all)
{
    Status st = OK;
    const SftSource *s = m->source;
    SftExamples *ready = &m->examples;
    if (s->packing) {
        for (int64_t first = 0; first < m->examples.count; first += PACK_GROUP) {
            const int64_t left = m->examples.count - first;
            TRY(sft_examples_pack(&m->examples, first, left < PACK_GROUP ? left : PACK_GROUP, s->strategy,
                                  s->max_length, &m->packed));
        }
        sft_examples_clear(&m->examples);
        ready = &m->packed;
    }
    if (all && s->shuffle) TRY(sft_examples_shuffle(ready, s->seed));
    for (int64_t i = 0; i < ready->count; i++) m->tokens += ready->items[i].tokens;
    m->made += ready->count;
    TRY(sft_examples_write(ready, m->writer));
    sft_examples_clear(ready);
done:
    return st;
}

/* Records of sft_encode_row. */
static Status take_records(void *context, const int32_t *numbers, int64_t count, bool ends_group)
{
    Status st = OK;
    Making *m = context;
    (void)ends_group;
    for (int64_t at = 0; at < count;) {
        const int32_t flags = numbers[at], n = numbers[at + 1];
        m->cut += (flags & SFT_CUT) != 0;
        m->left_out += (flags & SFT_LEFT_OUT) != 0;
        m->diverging += (flags & SFT_DIVERGES) != 0;
        if (!(flags & SFT_LEFT_OUT)) TRY(sft_examples_add(&m->examples, numbers + at + 2, numbers + at + 2 + n, n));
        at += 2 + 2 * (int64_t)n;
        if (m->examples.count == PACK_GROUP && !m->source->shuffle) TRY(pass_on(m, false));
    }
done:
    return st;
}

/* What the first row is says what all are. */
static Status begin(Making *m, const Row *row)
{
    Status st = OK;
    const SftSource *s = m->source;
    SftColumns columns = sft_columns(row, s->text_field);
    if (columns.kind == SFT_NONE) TRY(sft_columns_refuse(row, s->text_field));
    const bool chat = sft_columns_are_chat(&columns);
    const bool prompts = columns.kind == SFT_PROMPT || columns.kind == SFT_INSTRUCTION;
    if (chat && !s->template)
        RAISE(USAGE, "%s: line %" PRId64 ": a conversation, and %s", row->path, row->line, s->no_template);
    if (!chat && !s->eos_token)
        RAISE(USAGE, "%s: a text ends with the eos token, and the tokenizer names none; set eos_token", row->path);
    if (s->assistant_only && !chat)
        RAISE(USAGE, "assistant_only_loss is for conversations, and %s has %s; remove it", row->path,
              sft_columns_name(&columns));
    if (s->completion_only > 0 && !prompts)
        RAISE(USAGE, "completion_only_loss is for rows with a prompt, and %s has %s; %s", row->path,
              sft_columns_name(&columns), chat ? "use assistant_only_loss" : "remove it");
    m->encoder = (SftEncoder){.tokenizer = s->tokenizer, .template = s->template, .special_tokens = s->special_tokens,
                              .columns = columns, .eos_token = s->eos_token,
                              .completion_only = s->completion_only < 0 ? prompts : s->completion_only > 0,
                              .assistant_only = s->assistant_only, .max_length = s->packing ? -1 : s->max_length,
                              .keep_end = s->keep_end};
done:
    return st;
}

static Status feed(Making *m, Rows *rows, int64_t first, int64_t last, TokenizeRows **tokenize)
{
    Status st = OK;
    const Row *row;
    Bytes packed = {0};
    for (;;) {
        TRY(rows_next(rows, &row));
        if (!row || row->index >= last) break;
        if (row->index < first) continue;
        if (!*tokenize) {
            TRY(begin(m, row));
            TRY(tokenize_rows_new_by(sft_encode_row, &m->encoder, making_threads(m->source->threads), take_records, m,
                                     tokenize));
        }
        packed.size = 0;
        TRY(sft_row_pack(&m->encoder.columns, row, &packed));
        TRY(tokenize_rows_feed(*tokenize, packed.data, packed.size, row->path, row->line, false));
        m->given++;
        if (row->index % 256 == 0) making_show(&m->progress, rows);
    }
    if (*tokenize) TRY(tokenize_rows_finish(*tokenize));
done:
    free(packed.data);
    log_status(NULL);
    return st;
}

static void tell_losses(const Making *m)
{
    const SftSource *s = m->source;
    if (m->cut)
        log_info("%s: %" PRId64 " of %" PRId64 " rows are longer than max_length %" PRId64 ": their %s cut off",
                 s->name, m->cut, m->given, s->max_length, s->keep_end ? "beginnings are" : "ends are");
    if (m->left_out)
        log_warning("%s: %" PRId64 " of %" PRId64 " rows are left out: no token of them within max_length %" PRId64
                    " is to be learned", s->name, m->left_out, m->given, s->max_length);
    if (m->diverging)
        log_warning("%s: in %" PRId64 " of %" PRId64 " rows the prompt's tokens are not the beginning of prompt and "
                    "completion: the completion is learned from where they part", s->name, m->diverging, m->given);
}

static Status make_examples(void *context, CacheWriter *writer)
{
    Status st = OK;
    Making *m = context;
    const SftSource *s = m->source;
    const RowsConfig config = {.paths = s->paths, .num_paths = s->num_paths};
    TokenizeRows *tokenize = NULL;
    Rows *rows = NULL;
    int64_t first, last;

    *m = (Making){.source = s, .source_bytes = m->source_bytes, .writer = writer};
    making_begin(&m->progress, s->name, m->source_bytes);
    TRY(split_rows(&config, s->name, s->part, s->percent, false, &first, &last));
    TRY(rows_open(&config, &rows));
    TRY(feed(m, rows, first, last, &tokenize));
    if (s->shuffle && s->packing) TRY(sft_examples_shuffle(&m->examples, s->seed)); /* what lies together, too */
    TRY(pass_on(m, true));
    tell_losses(m);
    if (!m->made)
        RAISE(USAGE, "%s: %s: %" PRId64 " rows make no example; %s", s->name, s->paths[0], m->given,
              m->left_out ? "give a larger max_length" : "give a file with rows");
    *cache_writer_notes(writer) = (CacheNotes){.rows = m->given, .tokens = m->tokens, .source_bytes = m->source_bytes};
done:
    tokenize_rows_free(tokenize);
    rows_close(rows);
    sft_examples_free(&m->examples);
    sft_examples_free(&m->packed);
    return st;
}

static void tell(const SftSource *s, const Dataset *d, double seconds)
{
    char bytes[32], rows[32], examples[32], tokens[32];
    const CacheNotes *notes = dataset_notes(d);
    log_info("%s: %d file%s, %s bytes, %s rows \u2192 %s %sexamples, %s tokens, the longest has %" PRId64
             ", in %.2f s%s",
             s->name, s->num_paths, s->num_paths > 1 ? "s" : "", grouped_number(notes->source_bytes, bytes),
             grouped_number(notes->rows, rows), grouped_number(dataset_count(d), examples),
             s->packing ? "packed " : "", grouped_number(notes->tokens, tokens), dataset_longest(d, 0), seconds,
             dataset_was_cached(d) ? " (cached)" : "");
}

Status dataset_open_sft(const SftSource *s, Dataset **out)
{
    Status st = OK;
    char dir[4096];
    RowsFormat format;
    const double begun = clock_seconds();
    Making making = {.source = s};
    CacheRequest request = {.dir = s->cache_dir, .overwrite = s->overwrite_cache, .run = s->run,
                            .columns = sft_cache_columns, .num_columns = SFT_COLUMNS, .make = make_examples,
                            .context = &making};

    *out = NULL;
    TRY(rows_format(s->paths, s->num_paths, &format));
    if (format == ROWS_TEXT)
        RAISE(USAGE, "%s: a text has no columns; task sft takes .json, .jsonl or .csv (task: text-generation takes "
              "texts)", s->paths[0]);
    if (s->packing && s->max_length < 0)
        RAISE(USAGE, "packing needs max_length, the length of a packed example");
    TRY(make_key(s, request.key, &making.source_bytes));
    if (!request.dir && token_cache_default_dir(dir, sizeof dir)) request.dir = dir;
    if (!s->tokenizer_dir) request.dir = NULL;
    TRY(token_cache_open(&request, out));
    tell(s, *out, clock_seconds() - begun);
done:
    return st;
}
