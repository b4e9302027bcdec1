/* The Unigram model inside: what the reader makes and the search uses. */
#ifndef HONE_TOKENIZER_UNIGRAM_H
#define HONE_TOKENIZER_UNIGRAM_H

#include "trainer/tokenizer/model_scratch.h"

/* A trie over the bytes of all tokens. The first byte has a table, others an open-addressed one by (node, byte). */
typedef struct UnigramEdge {
    uint32_t key; /* node << 8 | byte; 0: empty (node 0 is the root, whose children are in first) */
    uint32_t child;
} UnigramEdge;

typedef struct Unigram {
    const char **tokens; /* [count], NUL-terminated */
    double *scores;
    uint32_t *sizes;
    int32_t count;
    StringMap map;    /* of equal tokens the last counts */
    uint32_t first[256];
    UnigramEdge *edges;
    uint64_t edge_mask;
    int32_t *node_token; /* -1: none ends here */
    uint32_t node_count;
    int32_t unk; /* -1: none */
    double unk_score;
    bool byte_fallback;
    int32_t fallback[256]; /* of <0x00>, …; -1 */
    uint64_t serial;
} Unigram;

/* 0: none. */
static inline uint32_t unigram_child(const Unigram *m, uint32_t node, unsigned char byte)
{
    if (!node) return m->first[byte];
    uint32_t key = node << 8 | byte;
    for (uint64_t slot = (key * 0x9E3779B97F4A7C15u) >> 32;; slot++) {
        const UnigramEdge *e = &m->edges[slot & m->edge_mask];
        if (e->key == key) return e->child;
        if (!e->key) return 0;
    }
}

/* tokenize of the model's type. */
Status unigram_tokenize(const void *data, Work *w);

#endif
