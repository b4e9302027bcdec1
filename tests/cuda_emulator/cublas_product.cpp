/* cublas_product.h. f32 sums in ascending order of k, so no bit depends on m or n; TF32 rounds inputs to 10 bits of
 * mantissa, to nearest even; the result is rounded once. */
#include <cmath>
#include <cstring>
#include <vector>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "tests/cuda_emulator/cublas_product.h"

using namespace emu;

/* ---- elements ------------------------------ */

size_t emu::bytes_of(cudaDataType type) { return type == CUDA_R_32F ? 4 : 2; }

static float get(const void *p, cudaDataType type, int64_t i)
{
    if (type == CUDA_R_32F) return static_cast<const float *>(p)[i];
    if (type == CUDA_R_16BF) return __bfloat162float(static_cast<const __nv_bfloat16 *>(p)[i]);
    return __half2float(static_cast<const __half *>(p)[i]);
}

static void put(void *p, cudaDataType type, int64_t i, float x)
{
    if (type == CUDA_R_32F)
        static_cast<float *>(p)[i] = x;
    else if (type == CUDA_R_16BF)
        static_cast<__nv_bfloat16 *>(p)[i] = __float2bfloat16_rn(x);
    else
        static_cast<__half *>(p)[i] = __float2half_rn(x);
}

static float tf32_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7F800000) == 0x7F800000) return x; /* infinite, NaN */
    bits = (bits + 0x0FFF + (bits >> 13 & 1)) & ~0x1FFFu;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float gelu_tanh(float x)
{
    return 0.5f * x * (1 + std::tanh(0.79788456080286536f * (x + 0.044715f * x * x * x)));
}

/* ---- the product ------------------------------ */

/* to [outer, inner]: element (o, i) of the matrix at column o where `by_columns`, else at column i */
static void pack(std::vector<float> *to, const void *from, const Layout &l, int64_t outer, int64_t inner,
                 bool by_columns, bool tf32)
{
    to->resize((size_t)(outer * inner));
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            float x = get(from, l.type, by_columns ? o * l.stride + i : i * l.stride + o);
            (*to)[(size_t)(o * inner + i)] = tf32 ? tf32_of(x) : x;
        }
}

#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static void
add_scaled(float *sum, const float *x, float factor, int64_t n)
{
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) sum[i] += x[i] * factor;
}

/* Column j of D from its sums. */
static void finish(const Product &p, const std::vector<float> &sum, int64_t j)
{
    const Operation &o = p.operation;
    for (int64_t i = 0; i < p.m; i++) {
        int64_t at = j * p.c.stride + i;
        float x = p.alpha * sum[(size_t)i];
        if (p.beta != 0) x += p.beta * get(p.c_data, p.c.type, at); /* else C is not read */
        if (o.epilogue & BIAS) x += get(o.bias, p.c.type, i);
        if (o.epilogue & AUX) put(o.aux, p.c.type, j * o.aux_stride + i, x);
        if (o.epilogue & GELU) x = gelu_tanh(x);
        put(p.c_data, p.c.type, at, x);
    }
}

void emu::multiply(const Product &p)
{
    const Operation &o = p.operation;
    std::vector<float> a, b, sum((size_t)p.m);
    pack(&a, p.a_data, p.a, p.k, p.m, o.trans_a == CUBLAS_OP_N, o.tf32);
    pack(&b, p.b_data, p.b, p.n, p.k, o.trans_b == CUBLAS_OP_N, o.tf32);
    for (int64_t j = 0; j < p.n; j++) {
        std::fill(sum.begin(), sum.end(), 0.0f);
        for (int64_t k = 0; k < p.k; k++) add_scaled(sum.data(), a.data() + k * p.m, b[(size_t)(j * p.k + k)], p.m);
        finish(p, sum, j);
    }
}
