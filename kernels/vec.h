/* Vectors of VF floats for kernels/cpu: 4, 8 or 16, by what the compiler was told of the CPU, so that kernels are
 * written once, with no #if.
 *
 * vf, vi, vu are GCC vectors of float, int32_t, uint32_t: + - * / & | ^ ~ << >> and comparisons are the language's (a
 * comparison gives a vi of 0 and -1), (vi)x reinterprets bits. Kernels walk an array in steps of VF, told what is left:
 *     for (int64_t i = 0; i < n; i += VF) vf_put(y + i, vf_get(x + i, n - i) * a, n - i);
 * get and put touch min(VF, left) floats, at any alignment; lanes beyond are 0.
 * Contraction is off (options.cmake): vf_fma says where a product is fused; the base set, which has no such
 * instruction, rounds twice. Sums over lanes go in one fixed order. The functions are minimax polynomials (Lawson
 * iteration, double) after the usual argument reductions (Cody and Waite 1980; Muller, Elementary Functions, 2016):
 * tests/kernels/vec_cases.h bounds their errors. */
#ifndef HONE_KERNELS_VEC_H
#define HONE_KERNELS_VEC_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define VEC_FN static inline __attribute__((always_inline, unused))

#if defined __AVX512F__ && defined __AVX512DQ__ && defined __AVX512BW__ && defined __AVX512VL__
enum { VF = 16 };
#elif defined __AVX2__ && defined __FMA__
enum { VF = 8 };
#else
enum { VF = 4 };
#endif

typedef float vf __attribute__((vector_size(4 * VF)));
typedef int32_t vi __attribute__((vector_size(4 * VF)));
typedef uint32_t vu __attribute__((vector_size(4 * VF)));
typedef uint64_t vu64 __attribute__((vector_size(4 * VF)));
typedef double vd __attribute__((vector_size(4 * VF))); /* VF / 2 doubles */
typedef float vf_at __attribute__((vector_size(4 * VF), may_alias, aligned(4)));

/* ---- what differs between the sets ------------------------------------------------------------------------------- */

#if defined __AVX512F__ && defined __AVX512DQ__ && defined __AVX512BW__ && defined __AVX512VL__

VEC_FN vf vf_fma(vf a, vf b, vf c) { return (vf)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
VEC_FN vd vd_fma(vd a, vd b, vd c) { return (vd)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
VEC_FN vf vf_max(vf a, vf b) { return (vf)_mm512_max_ps((__m512)a, (__m512)b); }
VEC_FN vf vf_min(vf a, vf b) { return (vf)_mm512_min_ps((__m512)a, (__m512)b); }
VEC_FN vf vf_sqrt(vf a) { return (vf)_mm512_sqrt_ps((__m512)a); }
VEC_FN vf vf_set(float a) { return (vf)_mm512_set1_ps(a); }
VEC_FN vf vf_select(vi mask, vf a, vf b)
{
    return (vf)_mm512_mask_blend_ps(_mm512_movepi32_mask((__m512i)mask), (__m512)b, (__m512)a);
}
VEC_FN vf vf_get_some(const float *p, int64_t n) { return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p); }
VEC_FN void vf_put_some(float *p, vf a, int64_t n) { _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)a); }
VEC_FN vd vf_to_vd_low(vf a) { return (vd)_mm512_cvtps_pd(_mm512_castps512_ps256((__m512)a)); }
VEC_FN vd vf_to_vd_high(vf a) { return (vd)_mm512_cvtps_pd(_mm512_extractf32x8_ps((__m512)a, 1)); }
VEC_FN vu64 vu64_mul32(vu64 a, uint32_t b) { return (vu64)_mm512_mul_epu32((__m512i)a, _mm512_set1_epi64(b)); }
VEC_FN vu vu_odd(vu even, vu odd) { return (vu)_mm512_mask_blend_epi32(0xAAAA, (__m512i)even, (__m512i)odd); }
VEC_FN vu vu_low32(vu a, vu b) { return (vu)_mm512_unpacklo_epi32((__m512i)a, (__m512i)b); }
VEC_FN vu vu_high32(vu a, vu b) { return (vu)_mm512_unpackhi_epi32((__m512i)a, (__m512i)b); }
VEC_FN vu vu_low64(vu a, vu b) { return (vu)_mm512_unpacklo_epi64((__m512i)a, (__m512i)b); }
VEC_FN vu vu_high64(vu a, vu b) { return (vu)_mm512_unpackhi_epi64((__m512i)a, (__m512i)b); }
VEC_FN vf vf_get_fours(const float *p, int64_t stride) /* VF/4 times four floats, `stride` apart */
{
    __m512 a = _mm512_castps128_ps512(_mm_loadu_ps(p));
    a = _mm512_insertf32x4(a, _mm_loadu_ps(p + stride), 1);
    a = _mm512_insertf32x4(a, _mm_loadu_ps(p + 2 * stride), 2);
    return (vf)_mm512_insertf32x4(a, _mm_loadu_ps(p + 3 * stride), 3);
}
VEC_FN void vf_put_fours(float *p, int64_t stride, vf a)
{
    _mm_storeu_ps(p, _mm512_castps512_ps128((__m512)a));
    _mm_storeu_ps(p + stride, _mm512_extractf32x4_ps((__m512)a, 1));
    _mm_storeu_ps(p + 2 * stride, _mm512_extractf32x4_ps((__m512)a, 2));
    _mm_storeu_ps(p + 3 * stride, _mm512_extractf32x4_ps((__m512)a, 3));
}
VEC_FN vf vf_keep(vf a, vu word, uint32_t threshold) /* a where word >= threshold, else 0 */
{
    return (vf)_mm512_maskz_mov_ps(_mm512_cmpge_epu32_mask((__m512i)word, _mm512_set1_epi32((int)threshold)),
                                   (__m512)a);
}

#elif defined __AVX2__ && defined __FMA__

VEC_FN vf vf_fma(vf a, vf b, vf c) { return (vf)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
VEC_FN vd vd_fma(vd a, vd b, vd c) { return (vd)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
VEC_FN vf vf_max(vf a, vf b) { return (vf)_mm256_max_ps((__m256)a, (__m256)b); }
VEC_FN vf vf_min(vf a, vf b) { return (vf)_mm256_min_ps((__m256)a, (__m256)b); }
VEC_FN vf vf_sqrt(vf a) { return (vf)_mm256_sqrt_ps((__m256)a); }
VEC_FN vf vf_set(float a) { return (vf)_mm256_set1_ps(a); }
VEC_FN vf vf_select(vi mask, vf a, vf b) { return (vf)_mm256_blendv_ps((__m256)b, (__m256)a, (__m256)mask); }
VEC_FN __m256i vi_first(int64_t n) /* -1 in the first n lanes */
{
    static const int32_t ones[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256((const __m256i *)(ones + 8 - n));
}
VEC_FN vf vf_get_some(const float *p, int64_t n) { return (vf)_mm256_maskload_ps(p, vi_first(n)); }
VEC_FN void vf_put_some(float *p, vf a, int64_t n) { _mm256_maskstore_ps(p, vi_first(n), (__m256)a); }
VEC_FN vd vf_to_vd_low(vf a) { return (vd)_mm256_cvtps_pd(_mm256_castps256_ps128((__m256)a)); }
VEC_FN vd vf_to_vd_high(vf a) { return (vd)_mm256_cvtps_pd(_mm256_extractf128_ps((__m256)a, 1)); }
VEC_FN vu64 vu64_mul32(vu64 a, uint32_t b) { return (vu64)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b)); }
VEC_FN vu vu_odd(vu even, vu odd) { return (vu)_mm256_blend_epi32((__m256i)even, (__m256i)odd, 0xAA); }
VEC_FN vu vu_low32(vu a, vu b) { return (vu)_mm256_unpacklo_epi32((__m256i)a, (__m256i)b); }
VEC_FN vu vu_high32(vu a, vu b) { return (vu)_mm256_unpackhi_epi32((__m256i)a, (__m256i)b); }
VEC_FN vu vu_low64(vu a, vu b) { return (vu)_mm256_unpacklo_epi64((__m256i)a, (__m256i)b); }
VEC_FN vu vu_high64(vu a, vu b) { return (vu)_mm256_unpackhi_epi64((__m256i)a, (__m256i)b); }
VEC_FN vf vf_get_fours(const float *p, int64_t stride)
{
    return (vf)_mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), _mm_loadu_ps(p + stride), 1);
}
VEC_FN void vf_put_fours(float *p, int64_t stride, vf a)
{
    _mm_storeu_ps(p, _mm256_castps256_ps128((__m256)a));
    _mm_storeu_ps(p + stride, _mm256_extractf128_ps((__m256)a, 1));
}
VEC_FN vf vf_keep(vf a, vu word, uint32_t threshold)
{
    __m256i t = _mm256_set1_epi32((int)threshold);
    return (vf)((vi)a & (vi)_mm256_cmpeq_epi32(_mm256_max_epu32((__m256i)word, t), (__m256i)word));
}

#else

VEC_FN vf vf_fma(vf a, vf b, vf c) { return a * b + c; }
VEC_FN vd vd_fma(vd a, vd b, vd c) { return a * b + c; }
VEC_FN vf vf_max(vf a, vf b) { return (vf)_mm_max_ps((__m128)a, (__m128)b); }
VEC_FN vf vf_min(vf a, vf b) { return (vf)_mm_min_ps((__m128)a, (__m128)b); }
VEC_FN vf vf_sqrt(vf a) { return (vf)_mm_sqrt_ps((__m128)a); }
VEC_FN vf vf_set(float a) { return (vf)_mm_set1_ps(a); }
VEC_FN vf vf_select(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
VEC_FN vf vf_get_some(const float *p, int64_t n)
{
    return (vf){n > 0 ? p[0] : 0, n > 1 ? p[1] : 0, n > 2 ? p[2] : 0, n > 3 ? p[3] : 0};
}
VEC_FN void vf_put_some(float *p, vf a, int64_t n)
{
    for (int i = 0; i < VF; i++)
        if (i < n) p[i] = a[i];
}
VEC_FN vd vf_to_vd_low(vf a) { return (vd)_mm_cvtps_pd((__m128)a); }
VEC_FN vd vf_to_vd_high(vf a) { return (vd)_mm_cvtps_pd(_mm_movehl_ps((__m128)a, (__m128)a)); }
VEC_FN vu64 vu64_mul32(vu64 a, uint32_t b) { return (vu64)_mm_mul_epu32((__m128i)a, _mm_set1_epi64x(b)); }
VEC_FN vu vu_odd(vu even, vu odd)
{
    const vu mask = {~0u, 0, ~0u, 0};
    return (even & mask) | (odd & ~mask);
}
VEC_FN vu vu_low32(vu a, vu b) { return (vu)_mm_unpacklo_epi32((__m128i)a, (__m128i)b); }
VEC_FN vu vu_high32(vu a, vu b) { return (vu)_mm_unpackhi_epi32((__m128i)a, (__m128i)b); }
VEC_FN vu vu_low64(vu a, vu b) { return (vu)_mm_unpacklo_epi64((__m128i)a, (__m128i)b); }
VEC_FN vu vu_high64(vu a, vu b) { return (vu)_mm_unpackhi_epi64((__m128i)a, (__m128i)b); }
VEC_FN vf vf_get_fours(const float *p, int64_t stride) { return (void)stride, (vf)_mm_loadu_ps(p); }
VEC_FN void vf_put_fours(float *p, int64_t stride, vf a) { (void)stride, _mm_storeu_ps(p, (__m128)a); }
VEC_FN vf vf_keep(vf a, vu word, uint32_t threshold)
{
    return (vf)((vi)a & (vi)(word >= threshold));
}

#endif

/* ---- the rest, written once -------------------------------------------------------------------------------------- */

VEC_FN vf vf_load(const float *p) { return *(const vf_at *)p; }
VEC_FN void vf_store(float *p, vf a) { *(vf_at *)p = a; }
VEC_FN vf vf_get(const float *p, int64_t left) { return left >= VF ? vf_load(p) : vf_get_some(p, left); }
VEC_FN void vf_put(float *p, vf a, int64_t left)
{
    if (left >= VF) vf_store(p, a);
    else vf_put_some(p, a, left);
}

VEC_FN vf vf_zero(void) { return (vf){0}; }
VEC_FN vi vi_set(int32_t a) { return (vi){0} + a; }
VEC_FN vu vu_set(uint32_t a) { return (vu){0} + a; }
VEC_FN vi vi_lanes(void) /* 0 1 2 … */
{
    static const int32_t lanes[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vi a;
    memcpy(&a, lanes, sizeof a);
    return a;
}
VEC_FN vf vf_abs(vf a) { return (vf)((vi)a & INT32_MAX); }
VEC_FN vf vf_with_sign(vf magnitude, vf sign) { return (vf)(((vi)magnitude & INT32_MAX) | ((vi)sign & INT32_MIN)); }
VEC_FN vf vf_where(vi mask, vf a) { return (vf)((vi)a & mask); } /* a, or 0 */

/* Lanes 0 1 2 3 …, halves folded onto each other: (0 + VF/2) …, then again. */
VEC_FN float vf_sum(vf a)
{
    float v[VF];
    memcpy(v, &a, sizeof v);
#pragma GCC unroll 4
    for (int half = VF / 2; half; half /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < half; i++) v[i] += v[i + half];
    return v[0];
}
VEC_FN float vf_largest(vf a) /* no NaN */
{
    float v[VF];
    memcpy(v, &a, sizeof v);
#pragma GCC unroll 4
    for (int half = VF / 2; half; half /= 2)
#pragma GCC unroll 8
        for (int i = 0; i < half; i++) v[i] = v[i] > v[i + half] ? v[i] : v[i + half];
    return v[0];
}
VEC_FN double vd_sum(vd a)
{
    double s = 0;
    for (int i = 0; i < VF / 2; i++) s += a[i];
    return s;
}

/* To the nearest integer for |a| < 2^22, as float and as int. */
VEC_FN vf vf_round(vf a, vi *integer)
{
    const vf magic = vf_set(0x1.8p23f);
    vf shifted = a + magic;
    *integer = (vi)shifted - (vi)magic;
    return shifted - magic;
}

/* e^a; 0 below -87.3 (no denormals: their last bits are worth less than their price), inf above 88.7, NaN for NaN. */
VEC_FN vf vf_exp(vf a)
{
    vi n;
    vf x = vf_min(vf_set(88.8f), vf_max(vf_set(-87.4f), a)); /* the second operand where one is NaN */
    vf k = vf_round(x * 0x1.715476p+0f, &n);
    vf r = vf_fma(k, vf_set(-0x1.62e400p-1f), x);
    r = vf_fma(k, vf_set(-0x1.7f7d1cp-20f), r);
    vf p = vf_fma(vf_set(0x1.6dbc68p-10f), r, vf_set(0x1.124148p-7f));
    p = vf_fma(p, r, vf_set(0x1.555454p-5f));
    p = vf_fma(p, r, vf_set(0x1.555486p-3f));
    p = vf_fma(p, r, vf_set(0.5f));
    p = vf_fma(p, r * r, r) + 1.0f;
    p = (vf)((vi)p + (n << 23)); /* n may be 128, then p < 1 */
    p = vf_select(a < -87.3f, vf_zero(), p);
    return vf_select(a <= 0x1.62e42ep+6f, p, a + INFINITY); /* too large, NaN */
}

/* The same for a <= 0 or a little above (-inf and NaN as before, no overflow): what softmax needs, a little cheaper. */
VEC_FN vf vf_exp_negative(vf a)
{
    vi n;
    vf x = vf_max(vf_set(-87.4f), a);
    vf k = vf_round(x * 0x1.715476p+0f, &n);
    vf r = vf_fma(k, vf_set(-0x1.62e400p-1f), x);
    r = vf_fma(k, vf_set(-0x1.7f7d1cp-20f), r);
    vf p = vf_fma(vf_set(0x1.6dbc68p-10f), r, vf_set(0x1.124148p-7f));
    p = vf_fma(p, r, vf_set(0x1.555454p-5f));
    p = vf_fma(p, r, vf_set(0x1.555486p-3f));
    p = vf_fma(p, r, vf_set(0.5f));
    p = vf_fma(p, r * r, r) + 1.0f;
    return vf_where(~(a < -87.3f), p * (vf)((n + 127) << 23)); /* a product, for NaN to stay */
}

/* ln a; -inf for 0, NaN below, inf for inf. */
VEC_FN vf vf_log(vf a)
{
    vi small = a < 0x1p-126f;
    vf x = vf_select(small, a * 0x1p23f, a);
    vi bits = (vi)x - 0x3f3504f3; /* the mantissa to [sqrt(1/2), sqrt(2)) */
    vi n = bits >> 23;
    vf f = (vf)((bits & 0x7fffff) + 0x3f3504f3) - 1.0f;
    vf k = __builtin_convertvector(n - (small & 23), vf);
    vf p = vf_fma(vf_set(0x1.1b417cp-4f), f, vf_set(-0x1.e2e962p-4f));
    p = vf_fma(p, f, vf_set(0x1.e65112p-4f));
    p = vf_fma(p, f, vf_set(-0x1.fb4340p-4f));
    p = vf_fma(p, f, vf_set(0x1.2332b8p-3f));
    p = vf_fma(p, f, vf_set(-0x1.5562e2p-3f));
    p = vf_fma(p, f, vf_set(0x1.99a546p-3f));
    p = vf_fma(p, f, vf_set(-0x1.ffffeep-3f));
    p = vf_fma(p, f, vf_set(0x1.555546p-2f));
    vf f2 = f * f;
    vf tail = vf_fma(p, f2 * f, k * 0x1.7f7d1cp-20f); /* ln 2 = 0x1.62e4p-1 + 0x1.7f7d1cp-20 */
    vf y = vf_fma(k, vf_set(0x1.62e400p-1f), f + vf_fma(vf_set(-0.5f), f2, tail));
    y = vf_select(a == 0.0f, vf_set(-INFINITY), y);
    y = vf_select(a < 0.0f, vf_set(NAN), y);
    return vf_select(a < INFINITY, y, a + a); /* inf, NaN */
}

VEC_FN vf vf_tanh(vf a)
{
    vf z = a * a;
    vf p = vf_fma(vf_set(0x1.19b35ep-9f), z, vf_set(-0x1.0c2ff6p-7f));
    p = vf_fma(p, z, vf_set(0x1.6397b2p-6f));
    p = vf_fma(p, z, vf_set(-0x1.b9efbcp-5f));
    p = vf_fma(p, z, vf_set(0x1.11106cp-3f));
    p = vf_fma(p, z, vf_set(-0x1.555554p-2f));
    vf near = vf_fma(p * z, a, a);
    vf far = 1.0f - 2.0f / (vf_exp(vf_abs(a) * 2.0f) + 1.0f);
    return vf_with_sign(vf_select(vf_abs(a) < 0.62f, near, far), a);
}

VEC_FN vf vf_erf(vf a)
{
    vf s = a * a, t = vf_min(vf_set(4.0f), vf_abs(a)); /* erf(4) is 1 in f32; NaN stays */
    vf p = vf_fma(vf_set(0x1.5c1380p-14f), s, vf_set(-0x1.aa0506p-11f));
    p = vf_fma(p, s, vf_set(0x1.54c170p-8f));
    p = vf_fma(p, s, vf_set(-0x1.b80de6p-6f));
    p = vf_fma(p, s, vf_set(0x1.ce2e02p-4f));
    p = vf_fma(p, s, vf_set(-0x1.812742p-2f));
    p = vf_fma(p, s, vf_set(0x1.06eba8p-3f));
    vf near = vf_fma(p, a, a);
    vf q = vf_fma(vf_set(-0x1.630968p-16f), t, vf_set(0x1.c85bfcp-12f)); /* ln erfc(t) */
    q = vf_fma(q, t, vf_set(-0x1.1196d6p-8f));
    q = vf_fma(q, t, vf_set(0x1.9bb50ep-6f));
    q = vf_fma(q, t, vf_set(-0x1.bb926cp-4f));
    q = vf_fma(q, t, vf_set(-0x1.444470p-1f));
    q = vf_fma(q, t, vf_set(-0x1.212846p+0f));
    q = vf_fma(q, t, vf_set(0x1.70d576p-13f));
    vf far = 1.0f - vf_exp_negative(q);
    return vf_with_sign(vf_select(vf_abs(a) < 0.925f, near, far), a);
}

VEC_FN vf vf_sigmoid(vf a) { return 1.0f / (1.0f + vf_exp(-a)); }

/* Transposes each 4 x 4 block: lane 4b + i of a[j] with lane 4b + j of a[i]. */
VEC_FN void vf_transpose_fours(vf a[4])
{
    vu t0 = vu_low32((vu)a[0], (vu)a[1]), t1 = vu_high32((vu)a[0], (vu)a[1]);
    vu t2 = vu_low32((vu)a[2], (vu)a[3]), t3 = vu_high32((vu)a[2], (vu)a[3]);
    a[0] = (vf)vu_low64(t0, t2), a[1] = (vf)vu_high64(t0, t2);
    a[2] = (vf)vu_low64(t1, t3), a[3] = (vf)vu_high64(t1, t3);
}

/* ---- Philox4x32-10 of philox.h, VF counters at once -------------------------------------------------------------- */

/* Lane i of out[w] is word w of counter (c0[i], c1[i], c2[i], c3[i]). Even and odd lanes go in 64-bit lanes of their
 * own, whose upper halves are rubbish: the 32 x 32 -> 64 multiplication looks at the lower ones only and yields both
 * halves of the product at once. */
VEC_FN void vu_philox(uint32_t k0, uint32_t k1, vu c0, vu c1, vu c2, vu c3, vu out[4])
{
    vu64 a0 = (vu64)c0, a1 = (vu64)c1, a2 = (vu64)c2, a3 = (vu64)c3;
    vu64 b0 = a0 >> 32, b1 = a1 >> 32, b2 = a2 >> 32, b3 = a3 >> 32;
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++) {
        vu64 pa = vu64_mul32(a0, 0xD2511F53u), qa = vu64_mul32(a2, 0xCD9E8D57u);
        vu64 pb = vu64_mul32(b0, 0xD2511F53u), qb = vu64_mul32(b2, 0xCD9E8D57u);
        a0 = (qa >> 32) ^ a1 ^ k0, a2 = (pa >> 32) ^ a3 ^ k1, a1 = qa, a3 = pa;
        b0 = (qb >> 32) ^ b1 ^ k0, b2 = (pb >> 32) ^ b3 ^ k1, b1 = qb, b3 = pb;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    out[0] = vu_odd((vu)a0, (vu)(b0 << 32)), out[1] = vu_odd((vu)a1, (vu)(b1 << 32));
    out[2] = vu_odd((vu)a2, (vu)(b2 << 32)), out[3] = vu_odd((vu)a3, (vu)(b3 << 32));
}

/* The 4*VF words of the VF counters c0 = quad, quad + 1, … one after the other: those of 4*VF columns of a row. */
VEC_FN void vu_philox_row(uint32_t k0, uint32_t k1, uint32_t quad, uint32_t c1, uint32_t c2, uint32_t c3, vu out[4])
{
    /* The transposition below leaves lane 4b + r in place b of row r; so that lane is given counter b + r * VF/4. */
    vu lane = (vu)vi_lanes(), w[4];
    vu_philox(k0, k1, quad + (lane >> 2) + (lane & 3) * (uint32_t)(VF / 4), vu_set(c1), vu_set(c2), vu_set(c3), w);
    vf a[4] = {(vf)w[0], (vf)w[1], (vf)w[2], (vf)w[3]};
    vf_transpose_fours(a);
    for (int i = 0; i < 4; i++) out[i] = (vu)a[i];
}

#endif
