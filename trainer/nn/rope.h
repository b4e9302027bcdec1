/* Rotary positions (Su et al. 2021) and the ways to stretch them over longer texts, as transformers computes them
 * (modeling_rope_utils.py): half-split, frequencies in f32.
 *
 * Tables of cosines and sines are made for the positions that a run meets, where the stream's kernels work, the first
 * time that they are needed. */
#ifndef HONE_NN_ROPE_H
#define HONE_NN_ROPE_H

#include "trainer/autograd/ops.h"

typedef enum RopeType { ROPE_DEFAULT, ROPE_LINEAR, ROPE_DYNAMIC, ROPE_YARN, ROPE_LONGROPE, ROPE_LLAMA3 } RopeType;

typedef struct RopeSpec {
    RopeType type;
    int32_t dim;           /* values of a head that are rotated; even */
    double theta;
    int64_t max_positions; /* of the model */
    double factor, original_max_positions;
    double attention_factor;       /* multiplies cosines and sines; 0: what yarn and longrope make of factor */
    double beta_fast, beta_slow, mscale, mscale_all_dim; /* yarn; mscale 0: unset */
    bool no_truncation;                                  /* yarn */
    double low_freq_factor, high_freq_factor;            /* llama3 */
    const float *short_factor, *long_factor;             /* longrope: [dim/2], borrowed */
} RopeSpec;

typedef struct Rope {
    RopeSpec spec;
    Stream *stream; /* that has the tables */
    float *cos, *sin;  /* [positions, dim/2] */
    int64_t positions; /* that the tables hold */
    int64_t made_for;  /* the length that their frequencies are for */
} Rope;

/* inverse [dim/2]: radians a position, for texts of `length` tokens; *scale: what cosines and sines are multiplied
 * with. */
void rope_frequencies(const RopeSpec *spec, int64_t length, float *inverse, float *scale);
/* Rotates `heads` heads of head_dim values of x (consumed) by the positions of the tape's batch. dynamic and longrope
 * take their frequencies from the longest sequence of the batch (with what the tape's cache holds of it). */
Tensor *rope(Tape *t, Rope *r, Tensor *x, int32_t heads, int32_t head_dim);
void rope_free(Rope *r); /* before its stream */

#endif
