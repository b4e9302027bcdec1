/* The vocabulary of a model that is written as an object of token: id. Ids may have gaps. */
#ifndef HONE_TOKENIZER_VOCAB_H
#define HONE_TOKENIZER_VOCAB_H

#include "trainer/base/json.h"
#include "trainer/tokenizer/string_map.h"

enum { VOCAB_MOST_IDS = 1 << 22 };

typedef struct Vocab {
    StringMap map;
    int32_t *entry_of; /* [id_limit]: place in map.entries, -1 */
    int32_t id_limit;
    size_t longest; /* bytes of the longest token */
} Vocab;

/* json["vocab"] in arena. Two tokens with one id are an error. */
Status vocab_load(const cJSON *json, const char *where, Arena *arena, Vocab *out);
/* As ModelType has it: NULL where there is none. */
const char *vocab_token(const Vocab *vocab, int32_t id, size_t *size);

#endif
