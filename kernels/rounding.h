/* Rounding f32 to bf16 and f16 by chance (Gupta et al. 2015, "Deep learning with limited numerical precision"): up with
 * the probability that is the share of the way up, so the mean is the number itself. NaN, infinity and what lies beyond
 * the largest number become what rounding to nearest makes of them. Integers only: the same bits in C and CUDA.
 *
 * Random bits (Philox): key = (seed, PHILOX_ROUNDING | update << 8), counter = (element / 4, 0, 0), word element % 4.
 * The element's number is that of the flat array, so the bits do not depend on how a pass is split. */
#ifndef HONE_KERNELS_ROUNDING_H
#define HONE_KERNELS_ROUNDING_H

#include <stdint.h>
#include <string.h>

#include "kernels/philox.h"

/* For elements 4*quad … 4*quad + 3. */
ANYWHERE Philox rounding_bits(uint32_t seed, uint32_t update, uint64_t quad)
{
    return philox4x32(seed, PHILOX_ROUNDING | update << 8, (uint32_t)quad, (uint32_t)(quad >> 32), 0, 0);
}

ANYWHERE uint16_t bf16_by_chance(float x, uint32_t random)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    if ((u & 0x7FFFFFFF) > 0x7F800000) return (uint16_t)(u >> 16 | 0x40);
    if ((u & 0x7FFFFFFF) == 0x7F800000) return (uint16_t)(u >> 16);
    return (uint16_t)((u + (random & 0xFFFF)) >> 16);
}

ANYWHERE uint16_t f16_by_chance(float x, uint32_t random)
{
    uint32_t u, sign, rest, h;
    memcpy(&u, &x, sizeof u);
    sign = u >> 16 & 0x8000, rest = u & 0x7FFFFFFF;
    if (rest > 0x7F800000) h = 0x7E00 | (rest >> 13 & 0x3FF);
    else if (rest >= 0x47800000) h = 0x7C00; /* 65536 and more */
    else if (rest >= 0x38800000) h = (rest + (random & 0x1FFF) - ((127u - 15u) << 23)) >> 13;
    else { /* denormal: a whole number of 2^-24, which is `mantissa` by 2^-shift */
        uint32_t exponent = rest >> 23, mantissa = (rest & 0x7FFFFF) | (exponent ? 0x800000 : 0);
        uint32_t shift = 126 - (exponent ? exponent : 1);
        if (shift < 32) h = (mantissa + (random & ((1u << shift) - 1))) >> shift;
        else h = shift < 56 && random < mantissa >> (shift - 32);
    }
    return (uint16_t)(sign | h);
}

#endif
