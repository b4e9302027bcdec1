/* Each function of mma.cuh in a kernel of one warp, for test_ptx.cpp: compiled for the emulator, where the twin
 * answers, and to PTX, where the instruction does. Lane l reads in[WORDS * l …] and writes out[WORDS * l …]. */
#include "kernels/cuda/mma.cuh"

enum { WORDS = 12, ROOM = 1024 /* words of shared memory */ };

template <typename T> __device__ __forceinline__ void run_mma(const uint32_t *in, uint32_t *out)
{
    const uint32_t *from = in + WORDS * threadIdx.x;
    uint32_t a[4] = {from[0], from[1], from[2], from[3]};
    float c[4] = {__uint_as_float(from[6]), __uint_as_float(from[7]), __uint_as_float(from[8]),
                  __uint_as_float(from[9])};
    mma<T>(c, a, from[4], from[5]);
    for (int i = 0; i < 4; i++) out[WORDS * threadIdx.x + i] = __float_as_uint(c[i]);
}

extern "C" __global__ void run_mma_bf16(const uint32_t *in, uint32_t *out) { run_mma<__nv_bfloat16>(in, out); }
extern "C" __global__ void run_mma_f16(const uint32_t *in, uint32_t *out) { run_mma<__half>(in, out); }

/* in: ROOM words of shared memory, then each lane's row (in units of 16 bytes). */
template <int COUNT, bool TRANSPOSED> __device__ __forceinline__ void run_matrices(const uint32_t *in, uint32_t *out)
{
    SHARED(uint4, room, [ROOM / 4]);
    uint32_t r[COUNT];
    for (int i = 0; i < ROOM / 128; i++)
        room[32 * i + threadIdx.x] = reinterpret_cast<const uint4 *>(in)[32 * i + threadIdx.x];
    __syncthreads();
    const uint4 *row = room + in[ROOM + threadIdx.x];
    if (TRANSPOSED)
        load_matrices_transposed(r, row);
    else
        load_matrices(r, row);
    for (int i = 0; i < COUNT; i++) out[WORDS * threadIdx.x + i] = r[i];
}

extern "C" __global__ void run_matrices_4(const uint32_t *in, uint32_t *out) { run_matrices<4, false>(in, out); }
extern "C" __global__ void run_matrices_2(const uint32_t *in, uint32_t *out) { run_matrices<2, false>(in, out); }
extern "C" __global__ void run_transposed_4(const uint32_t *in, uint32_t *out) { run_matrices<4, true>(in, out); }
extern "C" __global__ void run_transposed_2(const uint32_t *in, uint32_t *out) { run_matrices<2, true>(in, out); }

/* Three groups, of one, two and no copies of in[ROOM + l] bytes; what the first wait leaves under way is not read. */
extern "C" __global__ void run_copies(const uint32_t *in, uint32_t *out)
{
    SHARED(uint4, room, [32 * 3]);
    uint4 *own = room + 3 * threadIdx.x;
    const uint32_t *from = in + WORDS * threadIdx.x;
    uint32_t *to = out + WORDS * threadIdx.x, bytes = in[ROOM + threadIdx.x];
    copy_async(own, from, bytes);
    copy_commit();
    copy_async(own + 1, from + 4, 16);
    copy_async(own + 2, from + 8, bytes);
    copy_commit();
    copy_commit();
    copy_wait<2>();
    to[0] = own[0].x, to[1] = own[0].y, to[2] = own[0].z, to[3] = own[0].w;
    copy_wait<1>();
    to[4] = own[1].x, to[5] = own[1].y, to[6] = own[1].z, to[7] = own[1].w;
    copy_wait<0>();
    to[8] = own[2].x, to[9] = own[2].y, to[10] = own[2].z, to[11] = own[2].w;
}

extern "C" __global__ void run_copies_4(const uint32_t *in, uint32_t *out)
{
    SHARED(uint32_t, room, [64]);
    copy_async_4(room + threadIdx.x, in + 3 * threadIdx.x, 4);
    copy_async_4(room + 32 + threadIdx.x, in + 7 * threadIdx.x, in[ROOM + threadIdx.x] & 4);
    copy_commit();
    copy_wait<0>();
    out[2 * threadIdx.x] = room[threadIdx.x], out[2 * threadIdx.x + 1] = room[32 + threadIdx.x];
}

extern "C" __global__ void run_exp2(const uint32_t *in, uint32_t *out)
{
    for (int i = 0; i < WORDS; i++)
        out[WORDS * threadIdx.x + i] = __float_as_uint(fast_exp2(__uint_as_float(in[WORDS * threadIdx.x + i])));
}
