/* Patterns: reading and finding. */
#include "trainer/tokenizer/pattern.h"

#include <string.h>

Status pattern_load(const cJSON *json, const char *where, Arena *arena, Pattern *out)
{
    Status st = OK;
    const cJSON *pattern = cJSON_GetObjectItemCaseSensitive(json, "pattern");
    const cJSON *regex = cJSON_GetObjectItemCaseSensitive(pattern, "Regex");
    const cJSON *text = cJSON_GetObjectItemCaseSensitive(pattern, "String");
    *out = (Pattern){0};
    if (cJSON_IsString(regex) && !text) {
        st = regex_compile(regex->valuestring, strlen(regex->valuestring), &out->regex);
    } else if (cJSON_IsString(text) && !regex) {
        out->size = strlen(text->valuestring);
        out->text = arena_strndup(arena, text->valuestring, out->size);
        TRY_MEMORY(out->text);
        if (!out->size) st = regex_compile("", 0, &out->regex); /* matches everywhere */
    } else {
        RAISE(FORMAT, "%s.pattern: should be {\"Regex\": \"…\"} or {\"String\": \"…\"}", where);
    }
    if (st) st = status_prefix(st, "%s.pattern", where);
done:
    return st;
}

void pattern_free(Pattern *p) { regex_free(p->regex); }

Status pattern_scan(PatternScan *scan, const Pattern *pattern, RegexScratch *scratch, const char *text, size_t size)
{
    *scan = (PatternScan){pattern, scratch, text, size, 0};
    return pattern->regex ? regex_scan(pattern->regex, scratch, text, size) : OK;
}

Status pattern_next(PatternScan *scan, bool *found, size_t *start, size_t *end)
{
    const Pattern *p = scan->pattern;
    if (p->regex) return regex_next(p->regex, scan->scratch, found, start, end);
    const char *at = scan->at < scan->size ? scan->text + scan->at : NULL;
    if (at && p->size == 1) at = memchr(at, p->text[0], scan->size - scan->at);
    if (at && p->size != 1) at = memmem(at, scan->size - scan->at, p->text, p->size);
    *found = at != NULL;
    if (!at) return OK;
    *start = (size_t)(at - scan->text);
    *end = scan->at = *start + p->size;
    return OK;
}
