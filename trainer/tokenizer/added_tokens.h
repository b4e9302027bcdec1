/* Added tokens: texts that become one token before anything else looks at them. Those with normalized false are
 * looked for in the text as it came, the others, normalized themselves, in the normalized text; leftmost, then
 * longest. Constant once loaded. */
#ifndef HONE_TOKENIZER_ADDED_TOKENS_H
#define HONE_TOKENIZER_ADDED_TOKENS_H

#include "trainer/tokenizer/component.h"
#include "trainer/tokenizer/string_map.h"

typedef struct AddedToken {
    const char *content, *pattern; /* pattern: normalized when it is to be */
    size_t content_size, pattern_size;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized, special;
} AddedToken;

typedef struct TrieNode {
    int32_t child, sibling, token; /* -1: none */
    unsigned char byte;
} TrieNode;

typedef struct Trie {
    int32_t first[256]; /* node of a first byte, -1 */
    TrieNode *nodes;
    size_t count;
} Trie;

typedef struct AddedTokens {
    AddedToken *tokens;
    size_t count;
    StringMap by_content, specials; /* specials: what skip_special leaves out, by text as the library does */
    int32_t *of_id; /* [id_limit]: place in tokens, -1 */
    int32_t id_limit;
    Trie raw, normalized;
} AddedTokens;

/* Ids are given as the library gives them: the model's id when it has the token, else the next free one (a warning
 * where the file says another). */
Status added_tokens_load(const cJSON *root, const char *file, Arena *arena, const ComponentList *normalizers,
                         const ModelType *model, const void *model_data, AddedTokens *out);
/* Cuts the pieces at the added tokens of one kind. */
Status added_tokens_split(const AddedTokens *added, bool normalized, Work *w);
const AddedToken *added_tokens_find(const AddedTokens *added, int32_t id); /* NULL: none */

#endif
