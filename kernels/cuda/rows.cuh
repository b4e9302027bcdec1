/* What the families of row-wise kernels share: sums down the columns in two stages. Blocks of some rows (row_chunk)
 * leave partial sums; rows_add_chunks adds these, SEGMENTS interleaved runs of chunks for each column and then the
 * runs, so the order is a matter of the number of rows alone. */
#ifndef HONE_KERNELS_CUDA_ROWS_CUH
#define HONE_KERNELS_CUDA_ROWS_CUH

#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/vector.cuh"

enum { SHARED_BYTES = 40 << 10 /* dynamic, besides a few small arrays */ };

/* Rows of one chunk: at least 32, so that partial sums are few beside the rows; some 512 chunks at most, which is one
 * wave of blocks on a large device. A multiple of 4. */
inline int64_t row_chunk(int64_t rows)
{
    int64_t share = (rows + 511) / 512;
    return share < 32 ? 32 : (share + 3) / 4 * 4;
}

/* Rows of n floats that all begin at a multiple of 16 bytes. */
inline bool rows_are_aligned(int64_t n, std::initializer_list<const void *> arrays)
{
    return rows_of_packs<float>(n, arrays);
}

inline void *stream_scratch_cuda(Stream *s, int slot, size_t bytes) { return s->backend->scratch(s, 0, slot, bytes); }

/* sums[0 … N-1] = first ? v : sums + v */
template <bool ALIGNED, int N>
__device__ __forceinline__ void add_columns(float *sums, const Pack<N> &v, int64_t left, bool first)
{
    store<ALIGNED>(sums, first ? v : load<ALIGNED, N>(sums, left) + v, left);
}

/* Each thread gets the sums over its block of `count` numbers that each thread has, warps in order. `room`: shared,
 * COUNT
 * * 32 floats, free again after the next barrier that follows: who calls this again and again takes two in turn. */
template <int COUNT> __device__ __forceinline__ void block_sums_of(float *sums, float *room)
{
    int warps = blockDim.x / 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int k = 0; k < COUNT; k++) sums[k] = warp_sum(sums[k]);
    if (warps == 1) return;
    if (threadIdx.x % 32 == 0)
#pragma unroll
        for (int k = 0; k < COUNT; k++) room[k * 32 + warp] = sums[k];
    __syncthreads();
#pragma unroll
    for (int k = 0; k < COUNT; k++) {
        sums[k] = room[k * 32];
        for (int w = 1; w < warps; w++) sums[k] += room[k * 32 + w];
    }
}

/* out[0 … n-1] and more[0 … n-1] (NULL: not wanted) = sums over chunks of partial [chunks, stride]'s columns 0 … n-1
 * and n … 2n-1, + what is there where accumulate. */
void rows_add_chunks(Stream *s, float *out, float *more, const float *partial, int64_t chunks, int64_t n,
                     int64_t stride, bool accumulate);

/* out [n] f32 = column sums of x [rows, n], + out where accumulate. */
void rows_sum_columns(Stream *s, float *out, Dtype dtype, const void *x, int64_t rows, int64_t n, bool accumulate);

inline void rows_sum_columns(Stream *s, float *out, const float *x, int64_t rows, int64_t n, bool accumulate)
{
    rows_sum_columns(s, out, DTYPE_F32, x, rows, n, accumulate);
}

#endif
