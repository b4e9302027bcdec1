/* Dropout on the device: which sequence a row is of, and the words of philox.h that decide. */
#ifndef HONE_KERNELS_CUDA_DROPOUT_CUH
#define HONE_KERNELS_CUDA_DROPOUT_CUH

#include "kernels/cuda/launch.cuh"

/* The last sequence that begins at or before the row. */
__device__ __forceinline__ int32_t sequence_of(const int32_t *cu_seqlens, int32_t num_seqs, int64_t row)
{
    int32_t low = 0, high = num_seqs - 1;
    while (low < high) {
        int32_t middle = low + (high - low + 1) / 2;
        if (cu_seqlens[middle] <= row)
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

/* Words of columns 4*quad … 4*quad + 3. head: 0 outside attention. */
__device__ __forceinline__ Philox dropout_words(const Dropout *d, uint32_t quad, uint32_t position, uint32_t head,
                                                uint32_t sample)
{
    return philox4x32(d->seed, PHILOX_DROPOUT | d->update << 8, quad, position, d->op | head << 16, sample);
}

/* Word number `which` of them: an index would put them into local memory. */
__device__ __forceinline__ uint32_t dropout_word(const Philox &w, int64_t which)
{
    return which == 0 ? w.v[0] : which == 1 ? w.v[1] : which == 2 ? w.v[2] : w.v[3];
}

#endif
