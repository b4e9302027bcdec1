/* ByteLevel: splits by GPT-2's pattern (Radford et al. 2019) unless told not to, and lets the model see bytes. */
#include "trainer/tokenizer/internal.h"
#include "trainer/tokenizer/pre_tokenizer_split.h"

#define BYTE_LEVEL_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

typedef struct ByteLevel {
    bool add_prefix_space;
    bool splits;
    Pattern pattern; /* when it splits */
} ByteLevel;

static Status load(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    ByteLevel *b;
    TRY_NEW(arena, b, 1);
    TRY(json_bool_or(json, where, "add_prefix_space", true, &b->add_prefix_space));
    TRY(json_bool_or(json, where, "use_regex", true, &b->splits));
    if (b->splits) TRY(regex_compile(BYTE_LEVEL_PATTERN, sizeof BYTE_LEVEL_PATTERN - 1, &b->pattern.regex));
    *data = b;
done:
    return st;
}

static void unload(void *data) { pattern_free(&((ByteLevel *)data)->pattern); }

bool byte_level_adds_space(const void *data) { return ((const ByteLevel *)data)->add_prefix_space; }

static bool wants_space(const Work *w, Piece p) { return p.id < 0 && w->text[p.start] != ' '; }

static Status add_spaces(Work *w)
{
    Status st = OK;
    bool any = false;
    for (size_t i = 0; i < w->piece_count && !any; i++) any = wants_space(w, w->pieces[i]);
    if (!any) return OK;
    TRY(work_rewrite_begin(w, w->size + w->piece_count));
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece p = w->pieces[i];
        if (wants_space(w, p)) TRY(work_write(w, " ", 1, p.start));
        TRY(work_copy(w, p.start, p.end));
        TRY(work_piece_done(w, &p));
    }
    work_rewrite_end(w);
done:
    return st;
}

static Status run(const void *data, Work *w)
{
    Status st = OK;
    const ByteLevel *b = data;
    TRY(work_spell_bytes(w)); /* after another ByteLevel */
    if (b->add_prefix_space) TRY(add_spaces(w));
    if (b->splits) TRY(work_split(w, split_match, &b->pattern, SPLIT_ISOLATED, false));
    w->byte_level = true;
done:
    return st;
}

const PreTokenizerType pre_tokenizer_byte_level = {.head = {"ByteLevel", load, unload}, .run = run};
