/* From the scores of the next token to the token: transformers' logits processors in its order, then its warpers,
 * softmax and a draw (generation/logits_process.py; generation/utils.py, _get_logits_processor). */
#ifndef HONE_GENERATE_LOGITS_H
#define HONE_GENERATE_LOGITS_H

#include "trainer/generate/generation_config.h"

typedef struct Candidate {
    int32_t id;
    float score;
    double weight;
} Candidate;

/* Scratch for one vocabulary; allocated once. */
typedef struct Logits {
    int64_t vocab;
    float *scores;         /* [vocab] of the token at hand: fill in, then call */
    Candidate *candidates; /* [vocab] */
    int64_t count;         /* of candidates that are left, in the order of their ids */
    uint32_t *seen, stamp; /* [vocab] which tokens the text has */
    float *heap;           /* [vocab] */
} Logits;

Status logits_open(int64_t vocab, Logits *out);
void logits_close(Logits *l);

/* What every strategy applies: repetition penalty, no repeated n-grams, minimum length. ids: the text so far, of which
 * `prompt` were given. */
void logits_process(Logits *l, const GenerationConfig *c, const int32_t *ids, int64_t length, int64_t prompt);
/* What sampling applies: temperature, top_k, top_p, min_p: leaves the candidates. */
void logits_warp(Logits *l, const GenerationConfig *c);
/* Draws from the candidates by their softmax; u in [0, 1). */
int32_t logits_draw(Logits *l, double u);
/* The number of the token at `position` of sequence `number`, for a seed: depends on nothing else. */
double logits_uniform(int64_t seed, int64_t number, int64_t position);
/* All of it. Fails where scores are no numbers, or no token is allowed. */
Status logits_choose(Logits *l, const GenerationConfig *c, const int32_t *ids, int64_t length, int64_t prompt,
                     int64_t number, int32_t *out);

#endif
