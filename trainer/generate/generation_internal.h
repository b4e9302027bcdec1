/* Between the files that read a GenerationConfig: its table (generation_keys.c), the values of each type
 * (generation_values.c), the layers (generation_config.c). */
#ifndef HONE_GENERATE_GENERATION_INTERNAL_H
#define HONE_GENERATE_GENERATION_INTERNAL_H

#include "trainer/generate/generation_config.h"

const GenerationKey *generation_key_find(const char *name); /* NULL: there is none */

typedef struct GenerationRefused {
    const char *name, *none, *instead; /* none: the value besides null that changes nothing */
} GenerationRefused;
const GenerationRefused *generation_refused_all(int *count);
const GenerationRefused *generation_refused_find(const char *name);

/* Whose values are read: in messages, and the status of a wrong one. */
typedef struct GenerationSource {
    Status code;
    const char *where; /* "": the call's */
    Arena *arena;      /* for lists */
} GenerationSource;
Status generation_wrong(const GenerationSource *s, const GenerationKey *key, const char *must_be);
Status generation_store(const GenerationSource *s, const GenerationKey *key, const cJSON *value, GenerationConfig *out);
void generation_switch_off(const GenerationKey *key, GenerationConfig *out);

#endif
