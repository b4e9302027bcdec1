/* A weight whose dtype is not the one that is computed in, a part at a time: the product of a part follows its
 * conversion, so no weight is ever there twice. */
#ifndef HONE_KERNELS_CUDA_WEIGHT_PARTS_CUH
#define HONE_KERNELS_CUDA_WEIGHT_PARTS_CUH

#include "kernels/cuda/convert.cuh"
#include "kernels/cuda/rows.cuh"

enum { SLOT_WEIGHT = 4 }; /* of scratch */
#ifdef HONE_EMULATED /* several parts of the small matrices of tests */
static constexpr int64_t WEIGHT_PART_BYTES = 4096, WEIGHT_PART_UNIT = 8;
#else
static constexpr int64_t WEIGHT_PART_BYTES = 64 << 20, WEIGHT_PART_UNIT = 256;
#endif

struct Weight {
    Dtype dtype;
    const void *data;
    int64_t rows, cols; /* as it lies in memory, dense */
};

/* Rows (columns) of a part. */
inline int64_t weight_part(int64_t number, int64_t across, Dtype to)
{
    int64_t most = WEIGHT_PART_BYTES / ((across > 0 ? across : 1) * (int64_t)dtype_bytes(to));
    most = most / WEIGHT_PART_UNIT * WEIGHT_PART_UNIT;
    return most < WEIGHT_PART_UNIT ? WEIGHT_PART_UNIT : most < number ? most : number;
}

/* f(first, count, data, ld) for the parts of w's rows, or of its columns, in dtype `to`: all of it at once where it has
 * that already. */
template <typename F> void with_weight_parts(Stream *s, Dtype to, const Weight &w, bool columns, F f)
{
    int64_t number = columns ? w.cols : w.rows, across = columns ? w.rows : w.cols;
    if (to == w.dtype) {
        f((int64_t)0, number, w.data, w.cols);
        return;
    }
    int64_t part = weight_part(number, across, to);
    void *room = stream_scratch_cuda(s, SLOT_WEIGHT, (size_t)(part * across) * dtype_bytes(to));
    if (stream_has_failed(s)) return;
    for (int64_t first = 0; first < number; first += part) {
        int64_t count = number - first < part ? number - first : part, ld = columns ? part : w.cols;
        size_t at = (size_t)(columns ? first : first * w.cols) * dtype_bytes(w.dtype);
        const void *from = static_cast<const char *>(w.data) + at;
        if (columns)
            cuda_convert_rows(s, to, room, ld, w.dtype, from, w.cols, w.rows, count);
        else
            cuda_convert_rows(s, to, room, ld, w.dtype, from, w.cols, count, w.cols);
        f(first, count, (const void *)room, ld);
    }
}

#endif
