/* Pre-tokenizers that look at one character at a time: BertPreTokenizer (WhitespaceSplit, then Punctuation), Digits,
 * Punctuation, Whitespace, WhitespaceSplit. Their classes are those of Rust's standard library and crates, as the
 * library uses them: not the classes of its regular expressions. */
#include "trainer/tokenizer/pre_tokenizer_split.h"

typedef struct Classes {
    unsigned flags; /* a match is one character with one of these */
    SplitBehavior behavior;
} Classes;

static Status load_classes(Arena *arena, unsigned flags, SplitBehavior behavior, void **data)
{
    Classes *c = arena_alloc(arena, sizeof *c);
    if (!c) return STATUS_MEMORY;
    *c = (Classes){flags, behavior};
    *data = c;
    return OK;
}

static Status load_digits(const cJSON *json, const char *where, Arena *arena, void **data)
{
    bool individual;
    Status st = json_bool_or(json, where, "individual_digits", false, &individual);
    return st ? st : load_classes(arena, UNICODE_RUST_NUMERIC, individual ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS, data);
}

static Status load_punctuation(const cJSON *json, const char *where, Arena *arena, void **data)
{
    SplitBehavior behavior;
    Status st = split_behavior(json, where, "Isolated", &behavior);
    return st ? st : load_classes(arena, UNICODE_RUST_PUNCTUATION, behavior, data);
}

static Status load_whitespace_split(const cJSON *json, const char *where, Arena *arena, void **data)
{
    (void)json, (void)where;
    return load_classes(arena, UNICODE_RUST_SPACE, SPLIT_REMOVED, data);
}

static Status load_nothing(const cJSON *json, const char *where, Arena *arena, void **data)
{
    (void)json, (void)where, (void)arena;
    *data = NULL;
    return OK;
}

static Status match_classes(const void *context, Work *w, const char *piece, size_t size, Matches *m)
{
    Status st = OK;
    const Classes *c = context;
    unsigned length;
    (void)w;
    for (size_t i = 0; i < size; i += length)
        if (unicode_find(utf8_decode(piece + i, &length))->flags & c->flags) TRY(work_match(m, i, i + length));
done:
    return st;
}

/* \w+|[^\w\s]+, read as: runs of word characters, runs of what is neither word nor white space. */
static Status match_words(const void *context, Work *w, const char *piece, size_t size, Matches *m)
{
    Status st = OK;
    unsigned length, kind = 0;
    size_t start = 0;
    (void)context, (void)w;
    for (size_t i = 0; i < size; i += length) {
        unsigned flags = unicode_find(utf8_decode(piece + i, &length))->flags;
        unsigned now = flags & (UNICODE_RUST_WORD | UNICODE_RUST_SPACE);
        if (now & UNICODE_RUST_WORD) now = UNICODE_RUST_WORD;
        if (i && now == kind) continue;
        if (i && kind != UNICODE_RUST_SPACE) TRY(work_match(m, start, i));
        start = i;
        kind = now;
    }
    if (size && kind != UNICODE_RUST_SPACE) TRY(work_match(m, start, size));
done:
    return st;
}

static Status run_classes(const void *data, Work *w)
{
    const Classes *c = data;
    Status st = work_spell_bytes(w);
    return st ? st : work_split(w, match_classes, c, c->behavior, false);
}

static Status run_bert(const void *data, Work *w)
{
    static const Classes spaces = {UNICODE_RUST_SPACE, SPLIT_REMOVED},
                         punctuation = {UNICODE_RUST_PUNCTUATION, SPLIT_ISOLATED};
    (void)data;
    Status st = run_classes(&spaces, w);
    return st ? st : run_classes(&punctuation, w);
}

static Status run_whitespace(const void *data, Work *w)
{
    Status st = work_spell_bytes(w);
    return st ? st : work_split(w, match_words, data, SPLIT_REMOVED, true);
}

const PreTokenizerType pre_tokenizer_bert_pre_tokenizer = {.head = {"BertPreTokenizer", load_nothing, NULL},
                                                           .run = run_bert};
const PreTokenizerType pre_tokenizer_digits = {.head = {"Digits", load_digits, NULL}, .run = run_classes};
const PreTokenizerType pre_tokenizer_punctuation = {.head = {"Punctuation", load_punctuation, NULL},
                                                    .run = run_classes};
const PreTokenizerType pre_tokenizer_whitespace = {.head = {"Whitespace", load_nothing, NULL}, .run = run_whitespace};
const PreTokenizerType pre_tokenizer_whitespace_split = {.head = {"WhitespaceSplit", load_whitespace_split, NULL},
                                                         .run = run_classes};
