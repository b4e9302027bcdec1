/* Between generate.c (texts and when they end), conversation.c and generator.c (passes over the model). */
#ifndef HONE_GENERATE_GENERATOR_H
#define HONE_GENERATE_GENERATOR_H

#include "trainer/generate/generate.h"
#include "trainer/generate/logits.h"
#include "trainer/generate/stop_strings.h"
#include "trainer/nn/kv_cache.h"

/* Rows and prompts of a pass over prompts: bounds its memory; no bit depends on it. */
enum { READ_AT_ONCE = 4096, READ_BETWEEN_STOPS = 512, PROMPTS_AT_ONCE = 64 };

struct Generator {
    const Model *model;
    const Tokenizer *tokenizer;
    Kernels k; /* the backend's, with products of which no bit depends on the number of rows */
    Tape tape;
    BatchRoom room;
    Batch placed; /* the pass's batch, where kernels read it */
    Logits logits;
    float *scores; /* [SCORES_AT_ONCE, vocab] of the host; NULL: kernels work in the host's memory */
    bool rotations_move; /* a token's keys depend on the text's length: it is read whole, every time */
};

/* Scratch of passes, for so many rows and sequences. */
typedef struct PassRoom {
    int32_t *ids, *positions, *cu, *sample;
} PassRoom;
Status pass_room_new(Arena *arena, int64_t rows, int num_seqs, PassRoom *out);
/* Reads of each texts[which[i]] what it has beyond the cache, up to `most` tokens. *scores [count, vocab]: where
 * kernels work, queued: after the last token read. */
Status generator_read(Generator *g, KvCache *cache, const PassRoom *room, const GeneratedText *texts, const int *which,
                      int count, int64_t most, const float **scores);
/* The scores of text `i` of `count` in the host's memory; asked for in ascending order. */
Status generator_fetch(Generator *g, const float *scores, int i, int count, const float **out);

/* One text over a cache that has its beginning already; count and answers 1. cache NULL: a new one. */
Status generate_over(Generator *g, const GenerationConfig *config, const Prompt *prompts, int count, int64_t first,
                     const GenerateHooks *hooks, KvCache *cache, Arena *arena, GeneratedText **texts);
/* The longest that a text becomes which begins with `given` tokens, and why no longer. */
int64_t generate_length(const Generator *g, const GenerationConfig *config, int64_t given, Finish *why);

#endif
