/* What every .cu file includes: the device's stream, launches, shared memory. The same source is compiled by nvcc for
 * real devices and by the C++ compiler for the emulator (tests/cuda_emulator), so:
 *   - a kernel is started by launch(kernel, grid, block, shared_bytes, stream, arguments…) alone; an empty grid is fine
 * and does nothing;
 *   - shared arrays are declared by SHARED(float, tile, [32][33]); dynamic shared memory is dynamic_shared<T>(); both
 * 16-byte aligned. */
#ifndef HONE_KERNELS_CUDA_LAUNCH_CUH
#define HONE_KERNELS_CUDA_LAUNCH_CUH

#include <cstdint>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

extern "C" {
#include "kernels/kernels.h"
#include "kernels/stream.h"
}

#ifdef HONE_EMULATED
#include "tests/cuda_emulator/device.h"
#define SHARED(type, name, dimensions)                                                                                 \
    typedef type name##_array dimensions;                                                                              \
    static emu::SharedSite name##_site;                                                                                \
    name##_array &name = *static_cast<name##_array *>(emu::shared_array(&name##_site, sizeof(name##_array), #name))
template <typename T> __device__ inline T *dynamic_shared() { return static_cast<T *>(emu::dynamic_shared_memory()); }
#else
#define SHARED(type, name, dimensions) __shared__ __align__(16) type name dimensions
template <typename T> __device__ inline T *dynamic_shared()
{
    extern __shared__ __align__(16) unsigned char shared_memory[];
    return reinterpret_cast<T *>(shared_memory);
}
#endif

enum { CUDA_SLOTS = 8 }; /* of scratch: kernels.h's 0 … 3, the rest internal */

struct CudaStream {
    Stream base;
    int device;
    cudaStream_t queue;
    struct {
        void *data;
        size_t bytes;
    } scratch[CUDA_SLOTS];
    void *memory;   /* memory.cu's: what is had from the device */
    void *products; /* product.cu's: the library's handle, workspace and plans */
    bool tf32;      /* what products of f32 use */
};

inline CudaStream *cuda_stream(Stream *s) { return reinterpret_cast<CudaStream *>(s); }
inline cudaStream_t cuda_queue(Stream *s) { return cuda_stream(s)->queue; }

/* Keeps a failure in the stream for the next who asks; true: none. */
bool cuda_ok(Stream *s, cudaError_t error, const char *what);

template <typename... Parameters, typename... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes, Stream *s,
            Arguments... arguments)
{
    if (!grid.x || !grid.y || !grid.z || stream_has_failed(s)) return;
#ifdef HONE_EMULATED
    cuda_ok(s, emu::launch(kernel, grid, block, shared_bytes, cuda_queue(s), arguments...), "launch");
#else
    kernel<<<grid, block, shared_bytes, cuda_queue(s)>>>(static_cast<Parameters>(arguments)...);
    cuda_ok(s, cudaGetLastError(), "launch");
#endif
}

/* Blocks for n elements, `each` a block; a grid has at most 2^31 - 1, and kernels go round with a stride. */
inline unsigned cuda_blocks(int64_t n, int64_t each)
{
    int64_t blocks = (n + each - 1) / each;
    return (unsigned)(blocks < 0x7FFFFFFF ? blocks : 0x7FFFFFFF);
}

inline bool cuda_is_aligned(const void *p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; } /* NULL is */

#endif
