/* What Split and Replace look for: {"Regex": "…"} or {"String": "…"}. A text is looked for as it is, without the
 * regular expressions: most files replace one character. Constant once loaded. */
#ifndef HONE_TOKENIZER_PATTERN_H
#define HONE_TOKENIZER_PATTERN_H

#include "trainer/base/json.h"
#include "trainer/tokenizer/regex.h"

typedef struct Pattern {
    Regex *regex;     /* NULL: text */
    const char *text; /* in arena; never empty (an empty text is an empty regular expression) */
    size_t size;
} Pattern;

/* json["pattern"] of the component at `where`. */
Status pattern_load(const cJSON *json, const char *where, Arena *arena, Pattern *out);
void pattern_free(Pattern *pattern);

typedef struct PatternScan {
    const Pattern *pattern;
    RegexScratch *scratch;
    const char *text;
    size_t size, at;
} PatternScan;

/* The matches of a valid UTF-8 text in order; the text is borrowed until the scan ends. The scratch, which a text as
 * pattern needs not, serves one scan at a time. */
Status pattern_scan(PatternScan *scan, const Pattern *pattern, RegexScratch *scratch, const char *text, size_t size);
Status pattern_next(PatternScan *scan, bool *found, size_t *start, size_t *end);

#endif
