/* From the scores of the next token to the token: transformers' logits processors in its order (logits_process.c), then
 * its warpers (logits_warp.c), softmax and a draw (logits.c). Source: generation/logits_process.py;
 * generation/utils.py, _get_logits_processor. */
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

/* The text at hand. */
typedef struct TextSoFar {
    const int32_t *ids;
    int64_t length, prompt; /* tokens; of them given */
    int64_t most;           /* tokens that were asked for, in all */
} TextSoFar;

Status logits_open(int64_t vocab, Logits *out);
void logits_close(Logits *l);

/* What every strategy applies: biases, penalties, bans, what is forced. */
void logits_process(Logits *l, const GenerationConfig *c, const TextSoFar *text);
/* What sampling applies: temperature, top_h, top_k, top_p, min_p, typical_p, cutoffs: leaves the candidates. */
void logits_warp(Logits *l, const GenerationConfig *c);
/* Draws from the candidates by their softmax; u in [0, 1). */
int32_t logits_draw(Logits *l, double u);
/* The number of the token at `position` of sequence `number`, for a seed: depends on nothing else. */
double logits_uniform(int64_t seed, int64_t number, int64_t position);
/* All of it. Fails where scores are no numbers, or no token is allowed. */
Status logits_choose(Logits *l, const GenerationConfig *c, const TextSoFar *text, int64_t number, int32_t *out);

/* ---- between the files ------------------------------------------------------------------------------------------- */
float logits_largest(const Logits *l); /* of the candidates; -inf: there are none */
double logits_weigh(Logits *l);        /* weights exp(score - largest); their sum, the softmax's denominator */

#endif
