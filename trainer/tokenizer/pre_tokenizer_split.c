/* Split: at every match of a regular expression or of a text. */
#include "trainer/tokenizer/pre_tokenizer_split.h"

#include <string.h>

typedef struct Split {
    Pattern pattern;
    SplitBehavior behavior;
    bool invert;
} Split;

Status split_behavior(const cJSON *json, const char *where, const char *fallback, SplitBehavior *out)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"};
    const char *name;
    Status st = json_string_or(json, where, "behavior", fallback, &name);
    if (st) return st;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (name && !strcmp(name, names[i])) return *out = (SplitBehavior)i, OK;
    return status_raise(STATUS_FORMAT,
                        "%s: behavior \"%.40s\" should be Removed, Isolated, MergedWithPrevious, MergedWithNext or"
                        " Contiguous",
                        where, name ? name : "");
}

static Status load(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Split *s;
    TRY_NEW(arena, s, 1);
    TRY(split_behavior(json, where, NULL, &s->behavior));
    TRY(json_bool_or(json, where, "invert", false, &s->invert));
    TRY(pattern_load(json, where, arena, &s->pattern));
    *data = s;
done:
    return st;
}

static void unload(void *data) { pattern_free(&((Split *)data)->pattern); }

Status split_match(const void *context, Work *w, const char *piece, size_t size, Matches *m)
{
    Status st = OK;
    PatternScan scan;
    bool found;
    size_t start, end;
    TRY(pattern_scan(&scan, context, w->regex, piece, size));
    for (;;) {
        TRY(pattern_next(&scan, &found, &start, &end));
        if (!found) break;
        TRY(work_match(m, start, end));
    }
done:
    return st;
}

static Status run(const void *data, Work *w)
{
    const Split *s = data;
    Status st = work_spell_bytes(w);
    return st ? st : work_split(w, split_match, &s->pattern, s->behavior, s->invert);
}

const PreTokenizerType pre_tokenizer_split = {.head = {"Split", load, unload}, .run = run};
