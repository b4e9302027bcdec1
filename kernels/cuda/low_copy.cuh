/* Copies of f32 weights in bf16 or f16, four elements at a time, to nearest or by chance (rounding.h). A warp's stores
 * of four 16-bit numbers a thread are 256 bytes without a gap: as good as 128 bits a thread, and the f32 arrays beside
 * them keep their accesses of 128 bits. */
#ifndef HONE_KERNELS_CUDA_LOW_COPY_CUH
#define HONE_KERNELS_CUDA_LOW_COPY_CUH

#include <type_traits>

#include "kernels/clip.h"
#include "kernels/cuda/vector.cuh"
#include "kernels/rounding.h"

enum LowKind { LOW_NONE, LOW_BF16, LOW_F16, LOW_BF16_CHANCE, LOW_F16_CHANCE };

struct Low {
    uint16_t *data;
    uint32_t seed, update;
    uint64_t quad; /* number of the first element, by 4 */
};

inline Low low_of(const LowCopy *low)
{
    if (!low) return Low{};
    return Low{static_cast<uint16_t *>(low->data), low->seed, low->update, (uint64_t)low->first / 4};
}

inline LowKind low_kind(const LowCopy *low)
{
    if (!low) return LOW_NONE;
    if (low->rounding == ROUND_NEAREST) return low->dtype == DTYPE_BF16 ? LOW_BF16 : LOW_F16;
    return low->dtype == DTYPE_BF16 ? LOW_BF16_CHANCE : LOW_F16_CHANCE;
}

template <LowKind KIND> __device__ __forceinline__ uint2 low_pack(const Low &low, float4 w, int64_t i)
{
    uint2 out;
    if (KIND == LOW_BF16) {
        __nv_bfloat162 a = __floats2bfloat162_rn(w.x, w.y), b = __floats2bfloat162_rn(w.z, w.w);
        memcpy(&out.x, &a, 4), memcpy(&out.y, &b, 4);
    } else if (KIND == LOW_F16) {
        __half2 a = __floats2half2_rn(w.x, w.y), b = __floats2half2_rn(w.z, w.w);
        memcpy(&out.x, &a, 4), memcpy(&out.y, &b, 4);
    } else {
        Philox r = rounding_bits(low.seed, low.update, low.quad + (uint64_t)i / 4);
        const bool f16 = KIND == LOW_F16_CHANCE;
        out.x = f16 ? f16_by_chance(w.x, r.v[0]) | (uint32_t)f16_by_chance(w.y, r.v[1]) << 16
                    : bf16_by_chance(w.x, r.v[0]) | (uint32_t)bf16_by_chance(w.y, r.v[1]) << 16;
        out.y = f16 ? f16_by_chance(w.z, r.v[2]) | (uint32_t)f16_by_chance(w.w, r.v[3]) << 16
                    : bf16_by_chance(w.z, r.v[2]) | (uint32_t)bf16_by_chance(w.w, r.v[3]) << 16;
    }
    return out;
}

/* Elements i … i + 3 of the pass, of which `left` (> 0) are there. */
template <LowKind KIND, bool ALIGNED>
__device__ __forceinline__ void low_store(const Low &low, float4 w, int64_t i, int64_t left)
{
    if (KIND == LOW_NONE) return;
    uint2 v = low_pack<KIND>(low, w, i);
    uint16_t *y = low.data + i;
    if (ALIGNED && left >= 4) {
        *reinterpret_cast<uint2 *>(y) = v;
        return;
    }
    y[0] = (uint16_t)v.x;
    if (left > 1) y[1] = (uint16_t)(v.x >> 16);
    if (left > 2) y[2] = (uint16_t)v.y;
    if (left > 3) y[3] = (uint16_t)(v.y >> 16);
}

/* f(integral_constant of the kind) */
template <typename F> void low_dispatch(LowKind kind, F f)
{
    if (kind == LOW_BF16) f(std::integral_constant<LowKind, LOW_BF16>{});
    else if (kind == LOW_F16) f(std::integral_constant<LowKind, LOW_F16>{});
    else if (kind == LOW_BF16_CHANCE) f(std::integral_constant<LowKind, LOW_BF16_CHANCE>{});
    else if (kind == LOW_F16_CHANCE) f(std::integral_constant<LowKind, LOW_F16_CHANCE>{});
    else f(std::integral_constant<LowKind, LOW_NONE>{});
}

/* The copy in a pass of its own, unless *grad_scale (NULL: no matter) is not finite. */
void cuda_low_copy(Stream *s, const LowCopy *low, const float *w, int64_t n, const float *grad_scale);

#endif
