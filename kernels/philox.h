/* Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3").
 * No stream and no position: a number depends only on what it is for, so masks are never stored and do not depend on
 * threads, ranks, accumulation, backend or recomputation. One header for C and CUDA. */
#ifndef HONE_KERNELS_PHILOX_H
#define HONE_KERNELS_PHILOX_H

#include <stdint.h>

#include "kernels/anywhere.h"

#define PHILOX_FN ANYWHERE

/* What a number is for: the second half of the key. */
typedef enum PhiloxPurpose {
    PHILOX_DROPOUT = 1, PHILOX_INIT = 2, PHILOX_SAMPLE = 3, PHILOX_NOISE = 4, PHILOX_ROUNDING = 5
} PhiloxPurpose;

typedef struct Philox { uint32_t v[4]; } Philox;

PHILOX_FN Philox philox4x32(uint32_t k0, uint32_t k1, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3)
{
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1, c3 = (uint32_t)p0, c0 = n0, c2 = n2;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    Philox out = {{c0, c1, c2, c3}};
    return out;
}

/* [0, 1) with 24 bits. */
PHILOX_FN float philox_uniform(uint32_t bits) { return (float)(bits >> 8) * 0x1p-24f; }

/* Dropout's numbers (architecture.md, 5): key = (seed, purpose | update << 8), counter = (quad, row, op | head << 16,
 * sample).
 *   quad: element's column / 4, its word is column % 4;  row: position in the sequence;  op: the op's number in the
 *   model; head: 0 outside attention (there: query head; row the query's and column the key's position);
 *   sample: index of the sequence in the update, over all ranks and micro-batches.
 * Kept where word >= p * 2^32 (dropout_threshold), then scaled by 1/(1-p). */
PHILOX_FN uint32_t dropout_threshold(float p) { return (uint32_t)((double)p * 4294967296.0); }

#endif
