/* Tensor cores, and copies that run beside the arithmetic: the instructions of PTX that CUDA C has no name for, one
 * function each. Under nvcc it is the instruction (sm_80 and later), under emulation a twin with the same layout
 * (tests/cuda_emulator/tensor.h); test_ptx.cpp runs the assembly itself against the twin.
 * Source: PTX ISA 8.8, "Matrix Fragments for mma.m16n8k16 with floating point type", "ldmatrix", "cp.async".
 *
 * A fragment is a warp's share of a small matrix; lane l has g = l / 4 and t = l % 4, two 16-bit values are a word:
 *   a [16, 16]: a[0] row g, columns 2t and 2t + 1;  a[1] row g + 8;  a[2], a[3] the same rows, columns 8 further right
 *   b [16, 8]:  b0 rows 2t and 2t + 1 of column g;  b1 rows 2t + 8 and 2t + 9
 *   c [16, 8]:  c[0], c[1] row g, columns 2t and 2t + 1;  c[2], c[3] row g + 8
 * so c of two neighbours in n, rounded and packed, is an a of the next product. */
#ifndef HONE_KERNELS_CUDA_MMA_CUH
#define HONE_KERNELS_CUDA_MMA_CUH

#include "kernels/cuda/launch.cuh"
#ifdef HONE_EMULATED
#include "tests/cuda_emulator/tensor.h"
#endif

#ifndef HONE_EMULATED
__device__ __forceinline__ uint32_t shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }

/* c += a b, products and sums in f32. T: __nv_bfloat16 or __half. */
template <typename T>
__device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);

template <>
__device__ __forceinline__ void mma<__nv_bfloat16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

template <> __device__ __forceinline__ void mma<__half>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* Matrices of 8 x 8 16-bit values: lane l names row l % 8 (16 bytes, aligned) of matrix l / 8 in shared memory, and
 * gets of matrix i, in r[i], the values 2t and 2t + 1 of row g; transposed: rows 2t and 2t + 1 of column g. */
__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&r)[4], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
/* Two of them; what lanes 16 … 31 name is ignored. */
__device__ __forceinline__ void load_matrices(uint32_t (&r)[2], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}
__device__ __forceinline__ void load_matrices_transposed(uint32_t (&r)[2], const void *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}

/* Starts to copy 16 bytes from global to shared memory, both aligned: the first `bytes` of them, 0 behind (0: `from` is
 * not read). They are there for the thread that asked when it has waited for their group, for others after a barrier
 * behind that. */
__device__ __forceinline__ void copy_async(void *to, const void *from, unsigned bytes)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
                 :
                 : "r"(shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(bytes)
                 : "memory");
}
/* The same of 4 bytes; `bytes` is 4 or 0. */
__device__ __forceinline__ void copy_async_4(void *to, const void *from, unsigned bytes)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;"
                 :
                 : "r"(shared_address(to)), "l"(__cvta_generic_to_global(from)), "r"(bytes)
                 : "memory");
}
/* What the thread has started since the last call becomes a group, an empty one too. */
__device__ __forceinline__ void copy_commit() { asm volatile("cp.async.commit_group;" : : : "memory"); }
/* Until at most N of the thread's groups, the latest, are under way. */
template <int N> __device__ __forceinline__ void copy_wait()
{
    asm volatile("cp.async.wait_group %0;" : : "n"(N) : "memory");
}

/* 2^x within 2 ulp; results below 2^-126 are 0. */
__device__ __forceinline__ float fast_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}
#endif

/* Two values rounded to nearest even, as a word of a fragment: `low` comes first. */
template <typename T> __device__ __forceinline__ uint32_t pack(float low, float high);
template <> __device__ __forceinline__ uint32_t pack<__nv_bfloat16>(float low, float high)
{
    union {
        __nv_bfloat162 pair;
        uint32_t word;
    } u = {__floats2bfloat162_rn(low, high)};
    return u.word;
}
template <> __device__ __forceinline__ uint32_t pack<__half>(float low, float high)
{
    union {
        __half2 pair;
        uint32_t word;
    } u = {__floats2half2_rn(low, high)};
    return u.word;
}

#endif
