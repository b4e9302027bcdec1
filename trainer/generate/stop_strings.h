/* Stop strings: a text ends when its tokens' bytes complete one of them, as transformers' StopStringCriteria has it
 * (generation/stopping_criteria.py): in any of the last token's bytes, with a beginning as far back as the prompt. A
 * token's bytes are what it adds to a text that goes before it; of byte-level and byte-fallback tokens also those that
 * are no characters by themselves, so a stop string is found whose characters are split. */
#ifndef HONE_GENERATE_STOP_STRINGS_H
#define HONE_GENERATE_STOP_STRINGS_H

#include "trainer/generate/generation_config.h"

typedef struct StopStrings StopStrings;

/* Both borrowed. */
Status stop_strings_new(const Tokenizer *tokenizer, const StringList *strings, StopStrings **out);
void stop_strings_free(StopStrings *s); /* NULL is fine */
/* Whether the last of the ids completes one. */
Status stop_strings_found(StopStrings *s, const int32_t *ids, int64_t count, bool *found);

#endif
