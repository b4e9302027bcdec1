/* What a kernel sees when the C++ compiler compiles it for the emulator: CUDA's built-in variables and functions. Those
 * of sums and rounding are exact stand-ins; the fast approximations (__expf, rsqrtf) are the exact functions. Float
 * atomics are missing on purpose. */
#ifndef TESTS_CUDA_EMULATOR_DEVICE_H
#define TESTS_CUDA_EMULATOR_DEVICE_H

#include <algorithm>
#include <cmath>
#include <cstring>
#include <tuple>
#include <type_traits>

#include "tests/cuda_emulator/emulator.h"

#undef __launch_bounds__
#define __launch_bounds__(...)
#define threadIdx (emu::current->index)
#define blockIdx (emu::block_index)
#define blockDim (emu::block_dim)
#define gridDim (emu::grid_dim)
#define warpSize 32

using std::max;
using std::min;

#define EMU_PLACE const char *file = __builtin_FILE(), int line = __builtin_LINE()

/* ---- barriers ------------------------------ */
static inline void __syncthreads(EMU_PLACE) { emu::barrier(emu::BarrierOp::SYNC, 0, file, line); }
static inline int __syncthreads_count(int p, EMU_PLACE) { return emu::barrier(emu::BarrierOp::COUNT, p, file, line); }
static inline int __syncthreads_and(int p, EMU_PLACE) { return emu::barrier(emu::BarrierOp::AND, p, file, line); }
static inline int __syncthreads_or(int p, EMU_PLACE) { return emu::barrier(emu::BarrierOp::OR, p, file, line); }
static inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, EMU_PLACE)
{
    emu::warp_operation(emu::WarpOp::SYNC, mask, 0, 0, 32, file, line);
}
static inline void __threadfence() {}
static inline void __threadfence_block() {}

/* ---- warps ------------------------------ */
template <typename T>
static inline T emu_shuffle(emu::WarpOp op, unsigned mask, T value, int argument, int width, const char *file, int line)
{
    static_assert(std::is_trivially_copyable<T>::value && sizeof(T) <= 8, "what a shuffle takes");
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    bits = emu::warp_operation(op, mask, bits, argument, width, file, line);
    memcpy(&value, &bits, sizeof value);
    return value;
}

template <typename T> static inline T __shfl_sync(unsigned mask, T value, int lane, int width = 32, EMU_PLACE)
{
    return emu_shuffle(emu::WarpOp::SHFL_INDEX, mask, value, lane, width, file, line);
}
template <typename T> static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, EMU_PLACE)
{
    return emu_shuffle(emu::WarpOp::SHFL_UP, mask, value, (int)delta, width, file, line);
}
template <typename T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, EMU_PLACE)
{
    return emu_shuffle(emu::WarpOp::SHFL_DOWN, mask, value, (int)delta, width, file, line);
}
template <typename T> static inline T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, EMU_PLACE)
{
    return emu_shuffle(emu::WarpOp::SHFL_XOR, mask, value, lane_mask, width, file, line);
}

static inline unsigned __ballot_sync(unsigned mask, int predicate, EMU_PLACE)
{
    return (unsigned)emu::warp_operation(emu::WarpOp::BALLOT, mask, predicate != 0, 0, 32, file, line);
}
static inline int __any_sync(unsigned mask, int predicate, EMU_PLACE)
{
    return __ballot_sync(mask, predicate, file, line) != 0;
}
static inline int __all_sync(unsigned mask, int predicate, EMU_PLACE)
{
    return !__ballot_sync(mask, !predicate, file, line);
}

#define EMU_REDUCE(name, type, op)                                                                                     \
    static inline type name(unsigned mask, type value, EMU_PLACE)                                                      \
    {                                                                                                                  \
        return (type)emu::warp_operation(emu::WarpOp::op, mask, (unsigned)value, 0, 32, file, line);                   \
    }
EMU_REDUCE(__reduce_add_sync, unsigned, ADD)
EMU_REDUCE(__reduce_min_sync, unsigned, MIN)
EMU_REDUCE(__reduce_max_sync, unsigned, MAX)
EMU_REDUCE(__reduce_add_sync, int, ADD)
EMU_REDUCE(__reduce_min_sync, int, SIGNED_MIN)
EMU_REDUCE(__reduce_max_sync, int, SIGNED_MAX)
EMU_REDUCE(__reduce_and_sync, unsigned, AND)
EMU_REDUCE(__reduce_or_sync, unsigned, OR)
EMU_REDUCE(__reduce_xor_sync, unsigned, XOR)
#undef EMU_REDUCE

template <typename T> static inline unsigned __match_any_sync(unsigned mask, T value, EMU_PLACE)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    return (unsigned)emu::warp_operation(emu::WarpOp::MATCH_ANY, mask, bits, 0, 32, file, line);
}
template <typename T> static inline unsigned __match_all_sync(unsigned mask, T value, int *all, EMU_PLACE)
{
    uint64_t bits = 0;
    memcpy(&bits, &value, sizeof value);
    unsigned lanes = (unsigned)emu::warp_operation(emu::WarpOp::MATCH_ALL, mask, bits, 0, 32, file, line);
    *all = lanes != 0;
    return lanes;
}

/* ---- atomics on integers: device work runs in one OS thread ------------------------------ */
#define EMU_ATOMIC(name, result, ...) /* inlined into a kernel it would be sanitized with it */                        \
    template <typename T>                                                                                              \
    __attribute__((noinline, no_sanitize("thread"))) static T name(T *p, __VA_ARGS__)                                  \
    {                                                                                                                  \
        static_assert(std::is_integral<T>::value, "sums have a fixed order: no float atomics");                        \
        emu::note_access(p, sizeof *p, emu::AccessKind::ATOMIC, __builtin_return_address(0));                          \
        T old = *p;                                                                                                    \
        *p = (result);                                                                                                 \
        return old;                                                                                                    \
    }
EMU_ATOMIC(atomicAdd, (T)(old + value), T value)
EMU_ATOMIC(atomicSub, (T)(old - value), T value)
EMU_ATOMIC(atomicMax, old > value ? old : value, T value)
EMU_ATOMIC(atomicMin, old < value ? old : value, T value)
EMU_ATOMIC(atomicOr, (T)(old | value), T value)
EMU_ATOMIC(atomicExch, value, T value)
EMU_ATOMIC(atomicCAS, old == compare ? value : old, T compare, T value)
#undef EMU_ATOMIC

/* ---- arithmetic and loads ------------------------------ */
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
#define __expf(x) expf(x) /* the C library has such names of its own */
#define __logf(x) logf(x)
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline float __fsqrt_rn(float x) { return sqrtf(x); }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __brev(unsigned x)
{
    unsigned y = 0;
    for (int i = 0; i < 32; i++) y |= (x >> i & 1) << (31 - i);
    return y;
}
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((uint64_t)a * b >> 32); }
template <typename To, typename From> static inline To emu_bits(From from)
{
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}
static inline unsigned __float_as_uint(float x) { return emu_bits<unsigned>(x); }
static inline int __float_as_int(float x) { return emu_bits<int>(x); }
static inline float __uint_as_float(unsigned x) { return emu_bits<float>(x); }
static inline float __int_as_float(int x) { return emu_bits<float>(x); }
/* 128-bit accesses need their alignment, on a GPU as here. */
template <typename T> static inline void emu_check_aligned(const T *p)
{
    if (reinterpret_cast<uintptr_t>(p) % alignof(T))
        emu::report("misaligned access of %zu bytes at %p", sizeof(T), (const void *)p);
}
template <typename T> static inline T __ldg(const T *p) { return emu_check_aligned(p), *p; }
template <typename T> static inline T __ldcs(const T *p) { return emu_check_aligned(p), *p; }
template <typename T> static inline T __ldcg(const T *p) { return emu_check_aligned(p), *p; }
template <typename T> static inline void __stcs(T *p, T value) { emu_check_aligned(p), *p = value; }
template <typename T> static inline void __stcg(T *p, T value) { emu_check_aligned(p), *p = value; }

/* ---- launches ------------------------------ */
namespace emu
{

template <typename... Parameters> struct KernelCall final : Kernel {
    void (*kernel)(Parameters...);
    std::tuple<Parameters...> arguments;
    KernelCall(void (*k)(Parameters...), Parameters... a) : kernel(k), arguments(a...) {}
    void run_thread() override { std::apply(kernel, arguments); }
};

template <typename T> inline void check_one(const T &argument, int number, const void *function)
{
    if constexpr (std::is_pointer<T>::value)
        check_argument(argument, number, function);
    else
        (void)argument, (void)number, (void)function;
}

template <typename... Parameters, typename... Arguments>
inline cudaError_t launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                          cudaStream_t stream, Arguments... arguments)
{
    const void *function = reinterpret_cast<const void *>(kernel);
    int number = 0;
    (check_one(arguments, ++number, function), ...);
    return enqueue_launch(new KernelCall<Parameters...>(kernel, static_cast<Parameters>(arguments)...), function, grid,
                          block, shared_bytes, stream);
}

} // namespace emu

#endif
