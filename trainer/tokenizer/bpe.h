/* Byte pair encoding (Sennrich et al. 2016) inside: what the reader makes and the merging uses. */
#ifndef HONE_TOKENIZER_BPE_H
#define HONE_TOKENIZER_BPE_H

#include "trainer/tokenizer/model_scratch.h"
#include "trainer/tokenizer/vocab.h"

enum { BPE_NO_UNK = -1, BPE_UNK_MISSING = -2, BPE_NO_RANK = -1 };

typedef struct BpeMerge {
    uint64_t pair; /* left << 32 | right; UINT64_MAX: empty slot */
    uint32_t rank, id;
} BpeMerge;

typedef struct Bpe {
    Vocab vocab;
    BpeMerge *merges;
    uint64_t merge_mask;
    int32_t of_byte[256];     /* the token of each byte's character; all there when bytes_complete */
    int32_t fallback[256];    /* of <0x00>, …; -1 */
    int32_t unk;              /* id, BPE_NO_UNK or BPE_UNK_MISSING */
    const char *unk_token;
    bool bytes_complete, fuse_unk, byte_fallback, ignore_merges;
    bool words_at_space; /* nothing merges across the beginning of a run of U+2581: words can be encoded one by one */
    uint64_t serial; /* of its scratch */
} Bpe;

typedef struct BpeSymbol {
    int32_t id;
    uint32_t size; /* bytes of the piece */
} BpeSymbol;

/* Which of a ModelScratch's buffers is what. */
enum { BPE_SYMBOLS, BPE_LINKS, BPE_HEAP, BPE_TEXT };

static inline const BpeMerge *bpe_find_merge(const Bpe *bpe, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t slot = (pair * 0x9E3779B97F4A7C15u) >> 20;
    for (;; slot++) {
        const BpeMerge *m = &bpe->merges[slot & bpe->merge_mask];
        if (m->pair == pair) return m;
        if (m->pair == UINT64_MAX) return NULL;
    }
}

/* Merges n symbols in place, lowest rank first, leftmost first among equals; *n becomes what is left. O(n log n). */
Status bpe_merge(const Bpe *bpe, ModelScratch *scratch, BpeSymbol *symbols, size_t *n);

/* Whether text ends or begins with U+2581, a space as SentencePiece writes it. */
static inline bool bpe_ends_with_space(const char *text, size_t size)
{
    return size >= 3 && !memcmp(text + size - 3, "\xE2\x96\x81", 3);
}
static inline bool bpe_begins_with_space(const char *text, size_t size)
{
    return size >= 3 && !memcmp(text, "\xE2\x96\x81", 3);
}

/* tokenize of the model's type. */
Status bpe_tokenize(const void *data, Work *w);

#endif
