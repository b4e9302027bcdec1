/* What pre-tokenizers that split share. */
#ifndef HONE_TOKENIZER_PRE_TOKENIZER_SPLIT_H
#define HONE_TOKENIZER_PRE_TOKENIZER_SPLIT_H

#include "trainer/tokenizer/component.h"
#include "trainer/tokenizer/pattern.h"

/* json["behavior"]; fallback NULL: it must be there. */
Status split_behavior(const cJSON *json, const char *where, const char *fallback, SplitBehavior *out);
Status split_match(const void *pattern, Work *w, const char *piece, size_t size, Matches *m); /* a Matcher */

#endif
