/* Four floats at once, and sums over warps and blocks in a fixed order.
 *
 * Bits may not depend on alignment, so a kernel gives each thread the same elements on both paths, as fours: with
 * ALIGNED one access of 128 bits moves them where all four are there; else, and at the end of a row, they are moved one
 * by one. */
#ifndef HONE_KERNELS_CUDA_VECTOR_CUH
#define HONE_KERNELS_CUDA_VECTOR_CUH

#include "kernels/cuda/launch.cuh"

#define FULL_WARP 0xFFFFFFFFu

/* p[0 … 3], 0 at and beyond `left` (> 0). */
template <bool ALIGNED> __device__ __forceinline__ float4 load4(const float *p, int64_t left)
{
    if (ALIGNED && left >= 4) return *reinterpret_cast<const float4 *>(p);
    return make_float4(p[0], left > 1 ? p[1] : 0, left > 2 ? p[2] : 0, left > 3 ? p[3] : 0);
}

template <bool ALIGNED> __device__ __forceinline__ void store4(float *p, float4 v, int64_t left)
{
    if (ALIGNED && left >= 4) {
        *reinterpret_cast<float4 *>(p) = v;
        return;
    }
    p[0] = v.x;
    if (left > 1) p[1] = v.y;
    if (left > 2) p[2] = v.z;
    if (left > 3) p[3] = v.w;
}

__device__ __forceinline__ float4 operator+(float4 a, float4 b)
{
    return make_float4(a.x + b.x, a.y + b.y, a.z + b.z, a.w + b.w);
}
__device__ __forceinline__ float4 operator*(float4 a, float4 b)
{
    return make_float4(a.x * b.x, a.y * b.y, a.z * b.z, a.w * b.w);
}
__device__ __forceinline__ float4 operator+(float4 a, float b)
{
    return make_float4(a.x + b, a.y + b, a.z + b, a.w + b);
}
__device__ __forceinline__ float4 operator-(float4 a, float b)
{
    return make_float4(a.x - b, a.y - b, a.z - b, a.w - b);
}
__device__ __forceinline__ float4 operator*(float4 a, float b)
{
    return make_float4(a.x * b, a.y * b, a.z * b, a.w * b);
}
__device__ __forceinline__ float4 fma4(float4 a, float4 b, float4 c)
{
    return make_float4(fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y), fmaf(a.z, b.z, c.z), fmaf(a.w, b.w, c.w));
}
__device__ __forceinline__ float sum4(float4 v) { return (v.x + v.y) + (v.z + v.w); }
__device__ __forceinline__ float4 zero4() { return make_float4(0, 0, 0, 0); }

/* Elements at and beyond `left` become 0: what was made of a missing element is no part of a sum. */
__device__ __forceinline__ float4 keep4(float4 v, int64_t left)
{
    return make_float4(v.x, left > 1 ? v.y : 0, left > 2 ? v.z : 0, left > 3 ? v.w : 0);
}

/* All lanes get the sum, by halves: the same bits in each. */
template <typename T> __device__ __forceinline__ T warp_sum(T v)
{
    for (int lanes = 16; lanes; lanes /= 2) v += __shfl_xor_sync(FULL_WARP, v, lanes);
    return v;
}

__device__ __forceinline__ float warp_max(float v) /* NaN is not kept */
{
    for (int lanes = 16; lanes; lanes /= 2) v = fmaxf(v, __shfl_xor_sync(FULL_WARP, v, lanes));
    return v;
}

/* All threads of a block of whole warps get the sums of a and b, warps in order. `room`: shared, 64 of T; free again
 * after the next barrier that follows. */
template <typename T> __device__ __forceinline__ void block_sums(T *a, T *b, T *room)
{
    int warps = blockDim.x / 32, warp = threadIdx.x / 32;
    *a = warp_sum(*a), *b = warp_sum(*b);
    if (warps == 1) return;
    if (threadIdx.x % 32 == 0) room[warp] = *a, room[32 + warp] = *b;
    __syncthreads();
    *a = room[0], *b = room[32];
    for (int w = 1; w < warps; w++) *a += room[w], *b += room[32 + w];
    __syncthreads();
}

template <typename T> __device__ __forceinline__ T block_sum(T a, T *room)
{
    T nothing = 0;
    block_sums(&a, &nothing, room);
    return a;
}

/* Threads of a block that works on rows of n elements, four at a time: whole warps, at most `most`. A matter of n
 * alone. */
inline unsigned row_threads(int64_t n, unsigned most)
{
    int64_t threads = ((n + 3) / 4 + 31) / 32 * 32;
    return (unsigned)(threads < 32 ? 32 : threads > most ? most : threads);
}

#endif
