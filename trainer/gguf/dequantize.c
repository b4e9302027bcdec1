/* Blocks of quantized numbers to f32 and back, and the table of types. A block is one f16 scale (or two) and small
 * integers; layouts and the order of operations are ggml's (ggml-quants.c), so that every number is bit for bit what
 * others make of the file. */
#include <math.h>
#include <string.h>

#include "trainer/checkpoint/safetensors.h"
#include "trainer/gguf/gguf.h"

enum { QK = 32, QK_K = 256 };

static float half(const unsigned char *x)
{
    uint16_t bits = (uint16_t)(x[0] | x[1] << 8);
    float f;
    convert_elements(DTYPE_F32, &f, DTYPE_F16, &bits, 1);
    return f;
}

static void from_f32(float *y, const unsigned char *x, int64_t n) { memcpy(y, x, (size_t)n * sizeof *y); }
static void from_f16(float *y, const unsigned char *x, int64_t n)
{
    convert_elements(DTYPE_F32, y, DTYPE_F16, x, n);
}
static void from_bf16(float *y, const unsigned char *x, int64_t n)
{
    convert_elements(DTYPE_F32, y, DTYPE_BF16, x, n);
}
static void to_f32(unsigned char *y, const float *x, int64_t n) { memcpy(y, x, (size_t)n * sizeof *x); }
static void to_f16(unsigned char *y, const float *x, int64_t n) { convert_elements(DTYPE_F16, y, DTYPE_F32, x, n); }
static void to_bf16(unsigned char *y, const float *x, int64_t n) { convert_elements(DTYPE_BF16, y, DTYPE_F32, x, n); }

/* Element i and i + 16 share a byte. */
static void from_q4_0(float *y, const unsigned char *x, int64_t n)
{
    for (; n > 0; n -= QK, x += 18, y += QK) {
        float d = half(x);
        for (int i = 0; i < QK / 2; i++) {
            y[i] = d * (float)((x[2 + i] & 15) - 8);
            y[i + QK / 2] = d * (float)((x[2 + i] >> 4) - 8);
        }
    }
}

static void from_q4_1(float *y, const unsigned char *x, int64_t n)
{
    for (; n > 0; n -= QK, x += 20, y += QK) {
        float d = half(x), m = half(x + 2);
        for (int i = 0; i < QK / 2; i++) {
            float low = d * (float)(x[4 + i] & 15), high = d * (float)(x[4 + i] >> 4);
            y[i] = low + m;
            y[i + QK / 2] = high + m;
        }
    }
}

/* The fifth bits of all 32 are in a word of their own. */
static int fifth(const unsigned char *high, int i) { return high[i / 8] >> i % 8 & 1; }

static void from_q5_0(float *y, const unsigned char *x, int64_t n)
{
    for (; n > 0; n -= QK, x += 22, y += QK) {
        float d = half(x);
        for (int i = 0; i < QK / 2; i++) {
            y[i] = d * (float)(((x[6 + i] & 15) | fifth(x + 2, i) << 4) - 16);
            y[i + QK / 2] = d * (float)((x[6 + i] >> 4 | fifth(x + 2, i + 16) << 4) - 16);
        }
    }
}

static void from_q5_1(float *y, const unsigned char *x, int64_t n)
{
    for (; n > 0; n -= QK, x += 24, y += QK) {
        float d = half(x), m = half(x + 2);
        for (int i = 0; i < QK / 2; i++) {
            float low = d * (float)((x[8 + i] & 15) | fifth(x + 4, i) << 4);
            float high = d * (float)(x[8 + i] >> 4 | fifth(x + 4, i + 16) << 4);
            y[i] = low + m;
            y[i + QK / 2] = high + m;
        }
    }
}

static void from_q8_0(float *y, const unsigned char *x, int64_t n)
{
    for (; n > 0; n -= QK, x += 34, y += QK) {
        float d = half(x);
        for (int i = 0; i < QK; i++) y[i] = (float)(int8_t)x[2 + i] * d;
    }
}

/* As ggml rounds: the largest becomes 127, halves away from zero. */
static void to_q8_0(unsigned char *y, const float *x, int64_t n)
{
    for (; n > 0; n -= QK, x += QK, y += 34) {
        float most = 0;
        for (int i = 0; i < QK; i++) most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
        float d = most / 127, inverse = d != 0 ? 1 / d : 0;
        convert_elements(DTYPE_F16, y, DTYPE_F32, &d, 1);
        for (int i = 0; i < QK; i++) y[2 + i] = (unsigned char)(int8_t)roundf(x[i] * inverse);
    }
}

/* Of 8 sub-blocks the scale and minimum, 6 bits each in 12 bytes: the first four plainly, the last four in the upper
 * bits of those and in the last four bytes. */
static void sub_block(const unsigned char *s, int i, float *scale, float *least)
{
    if (i < 4) {
        *scale = (float)(s[i] & 63), *least = (float)(s[i + 4] & 63);
    } else {
        *scale = (float)((s[i + 4] & 15) | s[i - 4] >> 6 << 4);
        *least = (float)(s[i + 4] >> 4 | s[i] >> 6 << 4);
    }
}

static void from_q4_k(float *y, const unsigned char *x, int64_t n)
{
    for (; n > 0; n -= QK_K, x += 144, y += QK_K)
        for (int i = 0; i < 8; i++) {
            const unsigned char *q = x + 16 + i / 2 * 32;
            float scale, least, d = half(x), m = half(x + 2);
            sub_block(x + 4, i, &scale, &least);
            d *= scale, m *= least;
            for (int k = 0; k < 32; k++) {
                float product = d * (float)(q[k] >> i % 2 * 4 & 15);
                y[32 * i + k] = product - m;
            }
        }
}

static void from_q5_k(float *y, const unsigned char *x, int64_t n)
{
    for (; n > 0; n -= QK_K, x += 176, y += QK_K)
        for (int i = 0; i < 8; i++) {
            const unsigned char *high = x + 16, *q = x + 48 + i / 2 * 32;
            float scale, least, d = half(x), m = half(x + 2);
            sub_block(x + 4, i, &scale, &least);
            d *= scale, m *= least;
            for (int k = 0; k < 32; k++) {
                float product = d * (float)((q[k] >> i % 2 * 4 & 15) | (high[k] >> i & 1) << 4);
                y[32 * i + k] = product - m;
            }
        }
}

/* Two halves of 128: 64 bytes of lower four bits, 32 of upper two; 16 signed scales for 16 elements each. */
static void from_q6_k(float *y, const unsigned char *x, int64_t n)
{
    for (; n > 0; n -= QK_K, x += 210, y += QK_K) {
        const unsigned char *scales = x + 192;
        float d = half(x + 208);
        for (int i = 0; i < QK_K; i++) {
            const unsigned char *low = x + i / 128 * 64, *high = x + 128 + i / 128 * 32;
            int k = i % 128;
            int q = (low[k % 64] >> k / 64 * 4 & 15) | (high[k % 32] >> k / 32 * 2 & 3) << 4;
            float scale = d * (float)(int8_t)scales[i / 16];
            y[i] = scale * (float)(q - 32);
        }
    }
}

#define QUANTIZED .dtype = DTYPE_COUNT
static const GgufType types[] = {
    {0, "F32", 1, 4, DTYPE_F32, from_f32, to_f32},
    {1, "F16", 1, 2, DTYPE_F16, from_f16, to_f16},
    {30, "BF16", 1, 2, DTYPE_BF16, from_bf16, to_bf16},
    {2, "Q4_0", QK, 18, QUANTIZED, .dequantize = from_q4_0},
    {3, "Q4_1", QK, 20, QUANTIZED, .dequantize = from_q4_1},
    {6, "Q5_0", QK, 22, QUANTIZED, .dequantize = from_q5_0},
    {7, "Q5_1", QK, 24, QUANTIZED, .dequantize = from_q5_1},
    {8, "Q8_0", QK, 34, QUANTIZED, .dequantize = from_q8_0, .quantize = to_q8_0},
    {12, "Q4_K", QK_K, 144, QUANTIZED, .dequantize = from_q4_k},
    {13, "Q5_K", QK_K, 176, QUANTIZED, .dequantize = from_q5_k},
    {14, "Q6_K", QK_K, 210, QUANTIZED, .dequantize = from_q6_k},
    /* known by name and size only */
    {9, "Q8_1", QK, 36, QUANTIZED},
    {10, "Q2_K", QK_K, 84, QUANTIZED},
    {11, "Q3_K", QK_K, 110, QUANTIZED},
    {15, "Q8_K", QK_K, 292, QUANTIZED},
    {16, "IQ2_XXS", QK_K, 66, QUANTIZED},
    {17, "IQ2_XS", QK_K, 74, QUANTIZED},
    {18, "IQ3_XXS", QK_K, 98, QUANTIZED},
    {19, "IQ1_S", QK_K, 50, QUANTIZED},
    {20, "IQ4_NL", QK, 18, QUANTIZED},
    {21, "IQ3_S", QK_K, 110, QUANTIZED},
    {22, "IQ2_S", QK_K, 82, QUANTIZED},
    {23, "IQ4_XS", QK_K, 136, QUANTIZED},
    {24, "I8", 1, 1, QUANTIZED},
    {25, "I16", 1, 2, QUANTIZED},
    {26, "I32", 1, 4, QUANTIZED},
    {27, "I64", 1, 8, QUANTIZED},
    {28, "F64", 1, 8, QUANTIZED},
    {29, "IQ1_M", QK_K, 56, QUANTIZED},
    {34, "TQ1_0", QK_K, 54, QUANTIZED},
    {35, "TQ2_0", QK_K, 66, QUANTIZED},
    {39, "MXFP4", QK, 17, QUANTIZED},
};

const GgufType *gguf_type_by_id(uint32_t id)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if ((uint32_t)types[i].id == id) return &types[i];
    return NULL;
}

const GgufType *gguf_type_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0) return &types[i];
    return NULL;
}
