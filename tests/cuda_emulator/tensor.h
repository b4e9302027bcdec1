/* The twins of kernels/cuda/mma.cuh: the same functions with the same layouts, for the emulator. What a lane reads and
 * writes in memory it reads and writes itself; the lanes of a warp meet to exchange fragments (tensor.cpp).
 *
 * An asynchronous copy shows nothing before the wait: its destination is poison until then, so a kernel that reads
 * without waiting, or fills a buffer that others still read, computes NaN. */
#ifndef TESTS_CUDA_EMULATOR_TENSOR_H
#define TESTS_CUDA_EMULATOR_TENSOR_H

#include <cmath>
#include <cstring>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "tests/cuda_emulator/device.h"

namespace emu
{

struct MmaLane {
    float *c;
    const uint32_t *a;
    uint32_t b[2];
};
void mma_bf16(void *const *lanes);
void mma_f16(void *const *lanes);

struct MatrixLane {
    uint16_t row[8];
    uint32_t *to;
    int count;
    bool transposed;
};
void load_matrices(void *const *lanes);

struct Copy {
    void *to;
    uint4 data;
    unsigned bytes;
};
/* Of the running thread. */
void copy_add(const Copy &copy);
void copy_commit();
bool copy_take(unsigned groups_left, Copy *copy); /* the next that is done when so many groups are under way */

} // namespace emu

template <typename T> static inline void mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, EMU_PLACE)
{
    emu::MmaLane lane = {c, a, {b0, b1}};
    emu::warp_together(std::is_same<T, __half>::value ? emu::mma_f16 : emu::mma_bf16, &lane, "mma", file, line);
}

static inline void emu_load_matrices(uint32_t *r, int count, const void *row, bool transposed, const char *file,
                                     int line)
{
    emu::MatrixLane lane = {{}, r, count, transposed};
    if (threadIdx.x % 32 < (unsigned)count * 8) {
        uint4 words = __ldg(static_cast<const uint4 *>(row)); /* not memcpy, which races.cpp would not see */
        memcpy(lane.row, &words, sizeof lane.row);
    }
    emu::warp_together(emu::load_matrices, &lane, "ldmatrix", file, line);
}
static inline void load_matrices(uint32_t (&r)[4], const void *row, EMU_PLACE)
{
    emu_load_matrices(r, 4, row, false, file, line);
}
static inline void load_matrices_transposed(uint32_t (&r)[4], const void *row, EMU_PLACE)
{
    emu_load_matrices(r, 4, row, true, file, line);
}
static inline void load_matrices(uint32_t (&r)[2], const void *row, EMU_PLACE)
{
    emu_load_matrices(r, 2, row, false, file, line);
}
static inline void load_matrices_transposed(uint32_t (&r)[2], const void *row, EMU_PLACE)
{
    emu_load_matrices(r, 2, row, true, file, line);
}

/* Fetches what there is, and leaves poison (NaN in each type) where it will go. */
template <typename Word> static inline void emu_copy_async(void *to, const void *from, unsigned bytes)
{
    emu::Copy copy = {to, make_uint4(0, 0, 0, 0), sizeof(Word)};
    const uint4 poison = make_uint4(0xFFF7FFF7u, 0xFFF7FFF7u, 0xFFF7FFF7u, 0xFFF7FFF7u);
    emu_check_aligned(static_cast<Word *>(to));
    if (bytes > sizeof(Word)) emu::report("cp.async: %u of %zu bytes", bytes, sizeof(Word));
    if (bytes) {
        emu_check_aligned(static_cast<const Word *>(from));
        if (bytes == sizeof(Word))
            *reinterpret_cast<Word *>(&copy.data) = *static_cast<const Word *>(from);
        else
            for (unsigned i = 0; i < bytes; i++)
                reinterpret_cast<char *>(&copy.data)[i] = static_cast<const char *>(from)[i];
    }
    *static_cast<Word *>(to) = *reinterpret_cast<const Word *>(&poison);
    emu::copy_add(copy);
}
static inline void copy_async(void *to, const void *from, unsigned bytes) { emu_copy_async<uint4>(to, from, bytes); }
static inline void copy_async_4(void *to, const void *from, unsigned bytes)
{
    emu_copy_async<uint32_t>(to, from, bytes);
}
static inline void copy_commit() { emu::copy_commit(); }
template <int N> static inline void copy_wait()
{
    emu::Copy copy;
    while (emu::copy_take(N, &copy))
        if (copy.bytes == 16)
            *static_cast<uint4 *>(copy.to) = copy.data;
        else
            *static_cast<uint32_t *>(copy.to) = copy.data.x;
}

static inline float fast_exp2(float x)
{
    float y = exp2f(x);
    return y < 0x1p-126f ? 0 : y;
}

#endif
