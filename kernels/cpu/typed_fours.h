/* Four floats at a time from arrays of any dtype, for transpositions. */
#ifndef HONE_KERNELS_CPU_TYPED_FOURS_H
#define HONE_KERNELS_CPU_TYPED_FOURS_H

#include "kernels/cpu/typed.h"

typedef float v4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef uint32_t v4u __attribute__((vector_size(16)));
typedef uint16_t v4h __attribute__((vector_size(8), aligned(2), may_alias));

VEC_FN v4 v4_at(Dtype d, const void *x, int64_t i)
{
    if (d == DTYPE_F32) return *(const v4 *)((const float *)x + i);
    const uint16_t *p = (const uint16_t *)x + i;
    if (d == DTYPE_BF16) return (v4)(__builtin_convertvector(*(const v4h *)p, v4u) << 16);
#ifdef __F16C__
    return (v4)_mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)(const void *)p));
#else
    return (v4){f16_to_f32(p[0]), f16_to_f32(p[1]), f16_to_f32(p[2]), f16_to_f32(p[3])};
#endif
}

/* y [4, ldy] in f32 = transposed x [4, 4] of dtype d, from element i on, rows ldx apart */
VEC_FN void transpose_4x4(Dtype type, float *y, int64_t ldy, const void *x, int64_t i, int64_t ldx)
{
    v4 a = v4_at(type, x, i), b = v4_at(type, x, i + ldx), c = v4_at(type, x, i + 2 * ldx),
       d = v4_at(type, x, i + 3 * ldx);
    v4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    v4 ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    *(v4 *)y = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    *(v4 *)(y + ldy) = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    *(v4 *)(y + 2 * ldy) = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
    *(v4 *)(y + 3 * ldy) = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

#endif
