/* Elements of any dtype, as many as 128 bits hold, in f32 registers: kernels read packs, compute in f32, and round
 * once, to nearest even, where they store.
 *
 * Bits may not depend on alignment, so a kernel gives each thread the same elements on both paths: with ALIGNED
 * accesses of 128 bits move a pack that is whole; else, and at the end of an array, its elements are moved one by one.
 */
#ifndef HONE_KERNELS_CUDA_PACK_CUH
#define HONE_KERNELS_CUDA_PACK_CUH

#include <cstring>
#include <initializer_list>

#include "kernels/cuda/launch.cuh"

template <typename T> constexpr int PACK = 16 / (int)sizeof(T); /* elements: 4 of f32, 8 of bf16 and f16 */

/* Calls f with a number of that type. Only f32, bf16, f16 come here. */
template <typename F> void with_dtype(Dtype dtype, F f)
{
    if (dtype == DTYPE_BF16)
        f(__nv_bfloat16());
    else if (dtype == DTYPE_F16)
        f(__half());
    else
        f(float());
}

__device__ __forceinline__ float widened(float x) { return x; }
__device__ __forceinline__ float widened(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float widened(__half x) { return __half2float(x); }
__device__ __forceinline__ void narrow(float *y, float x) { *y = x; }
__device__ __forceinline__ void narrow(__nv_bfloat16 *y, float x) { *y = __float2bfloat16_rn(x); }
__device__ __forceinline__ void narrow(__half *y, float x) { *y = __float2half_rn(x); }

/* Two of them in one word, the first in its low half. */
__device__ __forceinline__ float2 unpacked(uint32_t word, __nv_bfloat16)
{
    return make_float2(__uint_as_float(word << 16), __uint_as_float(word & 0xFFFF0000u));
}
__device__ __forceinline__ float2 unpacked(uint32_t word, __half)
{
    return make_float2(__half2float(__ushort_as_half((unsigned short)word)),
                       __half2float(__ushort_as_half((unsigned short)(word >> 16))));
}
__device__ __forceinline__ uint32_t packed(float a, float b, __nv_bfloat16)
{
    __nv_bfloat162 two = __floats2bfloat162_rn(a, b);
    uint32_t word;
    memcpy(&word, &two, sizeof word);
    return word;
}
__device__ __forceinline__ uint32_t packed(float a, float b, __half)
{
    __half2 two = __floats2half2_rn(a, b);
    uint32_t word;
    memcpy(&word, &two, sizeof word);
    return word;
}

template <int N> struct Pack {
    float v[N];
};

template <int N> __device__ __forceinline__ void load_words(Pack<N> *y, const float *p)
{
#pragma unroll
    for (int i = 0; i < N; i += 4) {
        float4 w = *reinterpret_cast<const float4 *>(p + i);
        y->v[i] = w.x, y->v[i + 1] = w.y, y->v[i + 2] = w.z, y->v[i + 3] = w.w;
    }
}
template <int N, typename T> __device__ __forceinline__ void load_words(Pack<N> *y, const T *p)
{
    static_assert(N % 8 == 0, "whole accesses");
#pragma unroll
    for (int i = 0; i < N; i += 8) {
        uint4 w = *reinterpret_cast<const uint4 *>(p + i);
        float2 a = unpacked(w.x, T()), b = unpacked(w.y, T()), c = unpacked(w.z, T()), d = unpacked(w.w, T());
        y->v[i] = a.x, y->v[i + 1] = a.y, y->v[i + 2] = b.x, y->v[i + 3] = b.y;
        y->v[i + 4] = c.x, y->v[i + 5] = c.y, y->v[i + 6] = d.x, y->v[i + 7] = d.y;
    }
}

template <int N> __device__ __forceinline__ void store_words(float *p, const Pack<N> &x)
{
#pragma unroll
    for (int i = 0; i < N; i += 4)
        *reinterpret_cast<float4 *>(p + i) = make_float4(x.v[i], x.v[i + 1], x.v[i + 2], x.v[i + 3]);
}
template <int N, typename T> __device__ __forceinline__ void store_words(T *p, const Pack<N> &x)
{
    static_assert(N % 8 == 0, "whole accesses");
#pragma unroll
    for (int i = 0; i < N; i += 8)
        *reinterpret_cast<uint4 *>(p + i) =
            make_uint4(packed(x.v[i], x.v[i + 1], T()), packed(x.v[i + 2], x.v[i + 3], T()),
                       packed(x.v[i + 4], x.v[i + 5], T()), packed(x.v[i + 6], x.v[i + 7], T()));
}

/* p[0 … N-1], 0 at and beyond `left`. */
template <bool ALIGNED, int N, typename T> __device__ __forceinline__ Pack<N> load(const T *p, int64_t left)
{
    Pack<N> y;
    if (ALIGNED && left >= N) {
        load_words(&y, p);
        return y;
    }
#pragma unroll
    for (int i = 0; i < N; i++) y.v[i] = i < left ? widened(p[i]) : 0;
    return y;
}

template <bool ALIGNED, int N, typename T> __device__ __forceinline__ void store(T *p, const Pack<N> &x, int64_t left)
{
    if (ALIGNED && left >= N) {
        store_words(p, x);
        return;
    }
#pragma unroll
    for (int i = 0; i < N; i++)
        if (i < left) narrow(p + i, x.v[i]);
}

#define PACK_OPERATOR(op)                                                                                              \
    template <int N> __device__ __forceinline__ Pack<N> operator op(Pack<N> a, const Pack<N> &b)                       \
    {                                                                                                                  \
        _Pragma("unroll") for (int i = 0; i < N; i++) a.v[i] = a.v[i] op b.v[i];                                       \
        return a;                                                                                                      \
    }                                                                                                                  \
    template <int N> __device__ __forceinline__ Pack<N> operator op(Pack<N> a, float b)                                \
    {                                                                                                                  \
        _Pragma("unroll") for (int i = 0; i < N; i++) a.v[i] = a.v[i] op b;                                            \
        return a;                                                                                                      \
    }
PACK_OPERATOR(+)
PACK_OPERATOR(-)
PACK_OPERATOR(*)
#undef PACK_OPERATOR

template <int N> __device__ __forceinline__ Pack<N> fma_pack(Pack<N> a, const Pack<N> &b, const Pack<N> &c)
{
#pragma unroll
    for (int i = 0; i < N; i++) a.v[i] = fmaf(a.v[i], b.v[i], c.v[i]);
    return a;
}

template <int N> __device__ __forceinline__ Pack<N> zero_pack()
{
    Pack<N> a;
#pragma unroll
    for (int i = 0; i < N; i++) a.v[i] = 0;
    return a;
}

/* By halves. */
template <int N> __device__ __forceinline__ float sum_pack(const Pack<N> &a)
{
    float s[N];
#pragma unroll
    for (int i = 0; i < N; i++) s[i] = a.v[i];
#pragma unroll
    for (int width = N / 2; width; width /= 2)
#pragma unroll
        for (int i = 0; i < width; i++) s[i] += s[i + width];
    return s[0];
}

/* Elements at and beyond `left` become 0: what was made of a missing element is no part of a sum. */
template <int N> __device__ __forceinline__ Pack<N> keep_pack(Pack<N> a, int64_t left)
{
#pragma unroll
    for (int i = 0; i < N; i++) a.v[i] = i < left ? a.v[i] : 0;
    return a;
}

/* Rows of n elements of type T (and f32 arrays beside them) that all begin at a multiple of 16 bytes. */
template <typename T> bool rows_of_packs(int64_t n, std::initializer_list<const void *> arrays)
{
    bool aligned = n % PACK<T> == 0;
    for (const void *p : arrays) aligned = aligned && cuda_is_aligned(p);
    return aligned;
}

/* Threads of a block that works on rows of n elements, a pack each: whole warps, at most `most`. A matter of n and the
 * type alone. */
template <typename T> unsigned pack_threads(int64_t n, unsigned most)
{
    int64_t threads = ((n + PACK<T> - 1) / PACK<T> + 31) / 32 * 32;
    return (unsigned)(threads < 32 ? 32 : threads > most ? most : threads);
}

#endif
