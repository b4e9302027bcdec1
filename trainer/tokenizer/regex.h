/* Regular expressions that split text exactly as the tokenizers library's engine (Oniguruma) does.
 *
 * A pattern asks of a code point only in which of its classes it lies ("a letter", "the apostrophe", "white space,
 * not a newline"). So the code points are partitioned by the pattern's classes, rarely into more than twenty parts;
 * the text becomes one byte for each code point, its part; and the pattern, written over such bytes, is run by PCRE2
 * (JIT) without any Unicode. That gives the library's classes instead of PCRE2's older ones, and a byte set costs
 * PCRE2 nothing.
 *
 * A Regex is constant after compilation: any number of threads, each with its own RegexScratch. */
#ifndef HONE_TOKENIZER_REGEX_H
#define HONE_TOKENIZER_REGEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/base/status.h"

typedef struct Regex Regex;
typedef struct RegexScratch RegexScratch;

/* Errors name the construct: STATUS_UNSUPPORTED for what is left out on purpose (back-references, …). */
Status regex_compile(const char *pattern, size_t size, Regex **out);
void regex_free(Regex *regex); /* NULL is fine */

Status regex_scratch_new(RegexScratch **out);
void regex_scratch_free(RegexScratch *scratch); /* NULL is fine */

/* Begins a scan of valid UTF-8, which is borrowed until the scan ends. */
Status regex_scan(const Regex *regex, RegexScratch *scratch, const char *text, size_t size);
/* The next match as byte offsets into the text; *found false at the end. Empty matches right after a match are left
 * out. */
Status regex_next(const Regex *regex, RegexScratch *scratch, bool *found, size_t *start, size_t *end);

#endif
