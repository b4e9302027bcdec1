/* Element conversion for files. Branch-free loops that the compiler turns into vector code; the 16-bit float routines
 * keep away from subnormal operands, so they are right also where the processor flushes those to zero. f64 goes through
 * f32. Sources: bfloat16 rounding as in Eigen; float16 after Fabian Giesen's float_to_half_fast3_rtne (public domain).
 */
#include "trainer/checkpoint/safetensors.h"

#include <string.h>

enum { PART = 1024 }; /* elements converted at a time where two steps are needed */

static inline uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static inline float float_of(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static inline uint16_t bf16_of(float f)
{
    uint32_t u = bits_of(f), rounded = (u + 0x7FFF + (u >> 16 & 1)) >> 16;
    return (uint16_t)((u & 0x7FFFFFFF) > 0x7F800000 ? (u >> 16 | 0x40) : rounded); /* NaN stays NaN, quiet */
}

static inline float f32_of_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = (uint32_t)(h & 0x7FFF) << 13;
    float small = float_of(0x38800000 | magnitude) - float_of(0x38800000); /* 2^-14 (1 + m/1024) - 2^-14 */
    uint32_t large = magnitude + ((127u - 15u) << 23);
    uint32_t value = magnitude < 1u << 23 ? bits_of(small) : magnitude >= 31u << 23 ? large | 0x7F800000 : large;
    return float_of(value | sign);
}

static inline uint16_t f16_of(float f)
{
    const uint32_t magic = ((127u - 15u) + (23u - 10u) + 1u) << 23;
    uint32_t u = bits_of(f), sign = u & 0x80000000;
    u ^= sign;
    uint32_t special = u > 0x7F800000 ? 0x7E00 : 0x7C00;
    uint32_t small = bits_of(float_of(u < 113u << 23 ? u : 0) + float_of(magic)) - magic;
    uint32_t normal = (u - ((127u - 15u) << 23) + 0xFFF + (u >> 13 & 1)) >> 13;
    return (uint16_t)((u >= 143u << 23 ? special : u < 113u << 23 ? small : normal) | sign >> 16);
}

static bool is_float(Dtype d) { return d == DTYPE_F32 || d == DTYPE_BF16 || d == DTYPE_F16 || d == DTYPE_F64; }

bool convertible(Dtype to, Dtype from)
{
    return (unsigned)to < DTYPE_COUNT && (unsigned)from < DTYPE_COUNT &&
           (to == from || (is_float(to) && is_float(from)));
}

static void widen(float *y, Dtype from, const void *x, int64_t n)
{
    if (from == DTYPE_F32) {
        memcpy(y, x, (size_t)n * sizeof *y);
    } else if (from == DTYPE_BF16) {
        for (int64_t i = 0; i < n; i++) y[i] = float_of((uint32_t)((const uint16_t *)x)[i] << 16);
    } else if (from == DTYPE_F16) {
        for (int64_t i = 0; i < n; i++) y[i] = f32_of_f16(((const uint16_t *)x)[i]);
    } else {
        for (int64_t i = 0; i < n; i++) y[i] = (float)((const double *)x)[i];
    }
}

static void narrow(Dtype to, void *y, const float *x, int64_t n)
{
    if (to == DTYPE_F32) {
        memcpy(y, x, (size_t)n * sizeof *x);
    } else if (to == DTYPE_BF16) {
        for (int64_t i = 0; i < n; i++) ((uint16_t *)y)[i] = bf16_of(x[i]);
    } else if (to == DTYPE_F16) {
        for (int64_t i = 0; i < n; i++) ((uint16_t *)y)[i] = f16_of(x[i]);
    } else {
        for (int64_t i = 0; i < n; i++) ((double *)y)[i] = x[i];
    }
}

void convert_elements(Dtype to, void *y, Dtype from, const void *x, int64_t n)
{
    if (n <= 0) return;
    if (to == from) {
        memcpy(y, x, (size_t)n * dtype_bytes(to));
    } else if (to == DTYPE_F32) {
        widen(y, from, x, n);
    } else if (from == DTYPE_F32) {
        narrow(to, y, x, n);
    } else {
        float part[PART];
        for (int64_t i = 0; i < n; i += PART) {
            int64_t m = n - i < PART ? n - i : PART;
            widen(part, from, (const char *)x + (size_t)i * dtype_bytes(from), m);
            narrow(to, (char *)y + (size_t)i * dtype_bytes(to), part, m);
        }
    }
}
