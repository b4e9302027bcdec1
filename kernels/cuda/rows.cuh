/* What the families of row-wise kernels share: sums down the columns in two stages. Blocks of CHUNK rows leave partial
 * sums; rows_add_chunks adds these, SEGMENTS interleaved runs of chunks for each column and then the runs, so the order
 * is a matter of the number of rows alone. */
#ifndef HONE_KERNELS_CUDA_ROWS_CUH
#define HONE_KERNELS_CUDA_ROWS_CUH

#include <initializer_list>

#include "kernels/cuda/vector.cuh"

enum { CHUNK = 32, SHARED_BYTES = 40 << 10 /* dynamic, besides a few small arrays */ };

/* Rows of n floats that all begin at a multiple of 16 bytes. */
inline bool rows_are_aligned(int64_t n, std::initializer_list<const void *> arrays)
{
    bool aligned = n % 4 == 0;
    for (const void *p : arrays) aligned = aligned && cuda_is_aligned(p);
    return aligned;
}

inline void *stream_scratch_cuda(Stream *s, int slot, size_t bytes) { return s->backend->scratch(s, 0, slot, bytes); }

/* sums[0 … 3] = first ? v : sums + v */
template <bool ALIGNED> __device__ __forceinline__ void add_column(float *sums, float4 v, int64_t left, bool first)
{
    store4<ALIGNED>(sums, first ? v : load4<ALIGNED>(sums, left) + v, left);
}

/* out [n] (NULL: nothing) = sum over chunks of partial [chunks, stride], + out where accumulate. */
void rows_add_chunks(Stream *s, float *out, const float *partial, int64_t chunks, int64_t n, int64_t stride,
                     bool accumulate);

/* out [n] = column sums of x [rows, n], + out where accumulate. */
void rows_sum_columns(Stream *s, float *out, const float *x, int64_t rows, int64_t n, bool accumulate);

#endif
