/* Vectors of floats in and out of arrays of any float dtype: f32 in registers, whatever is stored; rounded to nearest
 * even where it is. `d` is a constant where these are called (DTYPE_CASES), so each dtype has a loop of its own and f32
 * costs nothing. What NaN carries is kept, f16's denormals too; f16 takes F16C where the set has it, else integers
 * (after F. Giesen, "float->half variants"). */
#ifndef HONE_KERNELS_CPU_TYPED_H
#define HONE_KERNELS_CPU_TYPED_H

#include "kernels/dtype.h"
#include "kernels/vec.h"

/* switch (dtype) { DTYPE_CASES(LOOP) }: LOOP(constant) for the one that it is. */
#define DTYPE_CASES(LOOP)                   \
    case DTYPE_BF16: LOOP(DTYPE_BF16); break; \
    case DTYPE_F16: LOOP(DTYPE_F16); break;   \
    default: LOOP(DTYPE_F32); break;

typedef uint16_t vh __attribute__((vector_size(2 * VF)));
typedef uint16_t vh_at __attribute__((vector_size(2 * VF), may_alias, aligned(2)));

VEC_FN float bf16_to_f32(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

VEC_FN uint16_t f32_to_bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    uint32_t rounded = (u + 0x7FFF + (u >> 16 & 1)) >> 16, nan = u >> 16 | 0x40;
    return (uint16_t)((u & 0x7FFFFFFF) > 0x7F800000 ? nan : rounded);
}

VEC_FN float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, rest = (uint32_t)(h & 0x7FFF) << 13, u;
    float f;
    if (rest >= 0x7C00u << 13) u = rest + (uint32_t)(255 - 31) * 0x800000u; /* infinity, NaN */
    else if (rest >= 0x0400u << 13) u = rest + (uint32_t)(127 - 15) * 0x800000u;
    else {
        f = (float)(h & 0x3FF) * 0x1p-24f;
        memcpy(&u, &f, sizeof u);
    }
    if (rest > 0x7C00u << 13) u |= 0x400000; /* quiet, as F16C does */
    u |= sign;
    memcpy(&f, &u, sizeof f);
    return f;
}

VEC_FN uint16_t f32_to_f16(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    uint32_t sign = u >> 16 & 0x8000, rest = u & 0x7FFFFFFF, h;
    if (rest > 0x7F800000) h = 0x7E00 | (rest >> 13 & 0x3FF); /* NaN, quiet */
    else if (rest >= 0x47800000) h = 0x7C00;                  /* 65536 and more */
    else if (rest >= 0x38800000)
        h = (rest - ((127u - 15u) << 23) + 0xFFF + (rest >> 13 & 1)) >> 13; /* may round up to infinity */
    else { /* denormal: adding 0.5 leaves its bits, rounded by the adder, at the low end */
        float small;
        memcpy(&small, &rest, sizeof small);
        small += 0.5f;
        memcpy(&h, &small, sizeof h);
        h -= 0x3F000000;
    }
    return (uint16_t)(sign | h);
}

/* ---- vectors ----------------------------------------------------------------------------------------------------- */

VEC_FN vf vh_widen(Dtype d, vh h)
{
    if (d == DTYPE_BF16) return (vf)(__builtin_convertvector(h, vu) << 16);
#if defined __AVX512F__
    return (vf)_mm512_cvtph_ps((__m256i)h);
#elif defined __F16C__
    return (vf)_mm256_cvtph_ps((__m128i)h);
#else
    vf a;
    for (int i = 0; i < VF; i++) a[i] = f16_to_f32(h[i]);
    return a;
#endif
}

VEC_FN vh vf_narrow(Dtype d, vf a)
{
    if (d == DTYPE_BF16) {
        vu u = (vu)a, rounded = (u + 0x7FFF + (u >> 16 & 1)) >> 16, nan = u >> 16 | 0x40;
        vu whole = (vu)(a != a);
        return __builtin_convertvector((rounded & ~whole) | (nan & whole), vh);
    }
#if defined __AVX512F__
    return (vh)_mm512_cvtps_ph((__m512)a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif defined __F16C__
    return (vh)_mm256_cvtps_ph((__m256)a, _MM_FROUND_TO_NEAREST_INT);
#else
    vh h;
    for (int i = 0; i < VF; i++) h[i] = f32_to_f16(a[i]);
    return h;
#endif
}

/* Elements i … i + VF - 1 of x, and to y; those at and beyond `left` (> 0) are 0, and stay. */
VEC_FN vf at(Dtype d, const void *x, int64_t i, int64_t left)
{
    if (d == DTYPE_F32) return vf_get((const float *)x + i, left);
    const uint16_t *p = (const uint16_t *)x + i;
    if (left >= VF) return vh_widen(d, *(const vh_at *)p);
    vh h = {0};
    memcpy(&h, p, (size_t)left * sizeof *p);
    return vh_widen(d, h);
}

VEC_FN void put(Dtype d, void *y, int64_t i, vf a, int64_t left)
{
    if (d == DTYPE_F32) {
        vf_put((float *)y + i, a, left);
        return;
    }
    uint16_t *p = (uint16_t *)y + i;
    vh h = vf_narrow(d, a);
    if (left >= VF) *(vh_at *)p = h;
    else memcpy(p, &h, (size_t)left * sizeof *p);
}

/* One element. */
VEC_FN float at_one(Dtype d, const void *x, int64_t i)
{
    if (d == DTYPE_F32) return ((const float *)x)[i];
    uint16_t h = ((const uint16_t *)x)[i];
    return d == DTYPE_BF16 ? bf16_to_f32(h) : f16_to_f32(h);
}

/* Where element i of an array lies. */
VEC_FN void *typed_at(Dtype d, const void *x, int64_t i)
{
    return (char *)(uintptr_t)x + i * (d == DTYPE_F32 ? 4 : 2);
}

/* y [n] = x in f32, and x from f32. */
VEC_FN void widen_span(Dtype d, float *y, const void *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += VF) vf_put(y + i, at(d, x, i, n - i), n - i);
}
VEC_FN void narrow_span(Dtype d, void *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i += VF) put(d, y, i, vf_get(x + i, n - i), n - i);
}

#endif
