/* Among f32, bf16, f16: to nearest even; NaN stays NaN, f16's denormals are kept. Everything goes by way of f32, which
 * holds both others. f16 uses F16C where the instruction set has it, else the integer arithmetic below (after F.
 * Giesen, "float->half variants"). */
#include <assert.h>
#include <string.h>
#ifdef __F16C__
#include <immintrin.h>
#endif

#include "kernels/cpu/families.h"

enum { BLOCK = 1 << 15, LANES = 1024 }; /* elements of a task; of the f32 buffer between two 16-bit types */

static float bf16_to_f32(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static uint16_t f32_to_bf16(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    uint32_t rounded = (u + 0x7FFF + (u >> 16 & 1)) >> 16, nan = u >> 16 | 0x40;
    return (uint16_t)((u & 0x7FFFFFFF) > 0x7F800000 ? nan : rounded);
}

static float f16_to_f32(uint16_t h)
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

static uint16_t f32_to_f16(float f)
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

static void widen_f16(float *y, const uint16_t *x, int64_t n)
{
    int64_t i = 0;
#ifdef __F16C__
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(x + i))));
#endif
    for (; i < n; i++) y[i] = f16_to_f32(x[i]);
}

static void narrow_f16(uint16_t *y, const float *x, int64_t n)
{
    int64_t i = 0;
#ifdef __F16C__
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((__m128i *)(void *)(y + i),
                         _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
#endif
    for (; i < n; i++) y[i] = f32_to_f16(x[i]);
}

static void widen(float *y, Dtype from, const uint16_t *x, int64_t n)
{
    if (from == DTYPE_F16) widen_f16(y, x, n);
    else
        for (int64_t i = 0; i < n; i++) y[i] = bf16_to_f32(x[i]);
}

void VARIANT(convert_narrow)(Dtype to, uint16_t *y, const float *x, int64_t n)
{
    if (to == DTYPE_F16) narrow_f16(y, x, n);
    else
        for (int64_t i = 0; i < n; i++) y[i] = f32_to_bf16(x[i]);
}

typedef struct Conversion {
    Dtype to, from;
    char *y;
    const char *x;
    int64_t n;
} Conversion;

static void convert_block(void *context, int64_t task, int thread)
{
    (void)thread;
    const Conversion *c = context;
    int64_t end = (task + 1) * BLOCK < c->n ? (task + 1) * BLOCK : c->n;
    for (int64_t i = task * BLOCK; i < end; i += LANES) {
        int64_t n = end - i < LANES ? end - i : LANES;
        void *y = c->y + (size_t)i * dtype_bytes(c->to);
        const void *x = c->x + (size_t)i * dtype_bytes(c->from);
        float between[LANES];
        if (c->to == c->from) memcpy(y, x, (size_t)n * dtype_bytes(c->to));
        else if (c->to == DTYPE_F32) widen(y, c->from, x, n);
        else if (c->from == DTYPE_F32) VARIANT(convert_narrow)(c->to, y, x, n);
        else {
            widen(between, c->from, x, n);
            VARIANT(convert_narrow)(c->to, y, between, n);
        }
    }
}

static void convert(Stream *s, Dtype to, void *y, Dtype from, const void *x, int64_t n)
{
    assert(to <= DTYPE_F16 && from <= DTYPE_F16);
    Conversion c = {.to = to, .from = from, .y = y, .x = x, .n = n};
    threads_run(stream_threads(s), (n + BLOCK - 1) / BLOCK, convert_block, &c);
}

void VARIANT(convert_install)(Kernels *k) { k->convert = convert; }
