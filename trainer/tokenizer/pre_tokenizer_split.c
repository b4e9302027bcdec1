/* Split: at every match of a regular expression or of a text. */
#include "trainer/tokenizer/pre_tokenizer_split.h"

#include <string.h>

typedef struct Split {
    Regex *regex;
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

/* A text as a pattern: every ASCII character that could mean something is escaped. */
static Status compile_text(const char *text, Regex **out)
{
    Text t = {0};
    for (; *text; text++) {
        if ((unsigned char)*text < 0x80 && strchr("\\.+*?()|[]{}^$", *text)) text_add(&t, "\\", 1);
        text_add(&t, text, 1);
    }
    Status st = t.failed ? status_raise(STATUS_MEMORY, "no memory for a pattern")
                         : regex_compile(t.data ? t.data : "", t.size, out);
    text_free(&t);
    return st;
}

static Status load(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Split *s;
    const cJSON *pattern = cJSON_GetObjectItemCaseSensitive(json, "pattern");
    const cJSON *regex = cJSON_GetObjectItemCaseSensitive(pattern, "Regex");
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(pattern, "String");
    TRY_NEW(arena, s, 1);
    TRY(split_behavior(json, where, NULL, &s->behavior));
    TRY(json_bool_or(json, where, "invert", false, &s->invert));
    if (cJSON_IsString(regex) && !text)
        st = regex_compile(regex->valuestring, strlen(regex->valuestring), &s->regex);
    else if (cJSON_IsString(text) && !regex)
        st = compile_text(text->valuestring, &s->regex);
    else
        RAISE(FORMAT, "%s.pattern: should be {\"Regex\": \"…\"} or {\"String\": \"…\"}", where);
    if (st) st = status_prefix(st, "%s.pattern", where);
    *data = s;
done:
    return st;
}

static void unload(void *data) { regex_free(((Split *)data)->regex); }

Status split_match_regex(const void *context, Work *w, const char *piece, size_t size, Matches *m)
{
    Status st = OK;
    const Regex *regex = context;
    bool found;
    size_t start, end;
    TRY(regex_scan(regex, w->regex, piece, size));
    for (;;) {
        TRY(regex_next(regex, w->regex, &found, &start, &end));
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
    return st ? st : work_split(w, split_match_regex, s->regex, s->behavior, s->invert);
}

const PreTokenizerType pre_tokenizer_split = {.head = {"Split", load, unload}, .run = run};
