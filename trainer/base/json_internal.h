/* How the reader and the writer of JSON keep, in a cJSON item, what cJSON has no place for. */
#ifndef HONE_BASE_JSON_INTERNAL_H
#define HONE_BASE_JSON_INTERNAL_H

#include "trainer/base/json.h"

/* A bit of item->type above those that cJSON uses: the number is a float, so 3 is written "3.0". cJSON_IsNumber and
 * cJSON_Duplicate keep to the low byte and copy the rest. */
enum { JSON_REAL = 1 << 16 };
/* An integer of 2^53 or more keeps its digits in item->valuestring, which cJSON copies and frees with the item. */
#define JSON_EXACT 9007199254740992.0

/* Length of the valid UTF-8 character at text, 0 if it is not one. */
size_t utf8_length(const char *text, size_t size);

#endif
