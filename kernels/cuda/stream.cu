/* A device's stream: a queue, scratch that grows to its largest use, memory. And the table of kernels. */
#include <cstdio>
#include <cstdlib>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/memory.cuh"
#include "kernels/cuda/product.cuh"

bool cuda_ok(Stream *s, cudaError_t error, const char *what)
{
    char text[sizeof s->message];
    if (error == cudaSuccess) return true;
    snprintf(text, sizeof text, "cuda:%d: %s: %s (%s)", cuda_stream(s)->device, what, cudaGetErrorString(error),
             cudaGetErrorName(error));
    stream_set_failed(s, text);
    return false;
}

static void sync(Stream *s) { cuda_ok(s, cudaStreamSynchronize(cuda_queue(s)), "work that was queued"); }

static void free_stream(Stream *stream)
{
    CudaStream *s = cuda_stream(stream);
    if (s->queue) cudaStreamSynchronize(s->queue);
    products_free(s);
    cuda_memory_free(s);
    if (s->queue) cudaStreamDestroy(s->queue);
    free(s);
}

/* Grows in the first step only. On failure the stream has failed, and launch() does nothing until it is cleared. */
static void *scratch(Stream *stream, int thread, int slot, size_t bytes)
{
    CudaStream *s = cuda_stream(stream);
    (void)thread;
    if (bytes <= s->scratch[slot].bytes && s->scratch[slot].data) return s->scratch[slot].data;
    cuda_give(stream, s->scratch[slot].data);
    s->scratch[slot].bytes = 0;
    if ((s->scratch[slot].data = cuda_take(stream, bytes))) {
        s->scratch[slot].bytes = bytes;
        return s->scratch[slot].data;
    }
    char text[sizeof stream->message];
    snprintf(text, sizeof text, "scratch memory: out of memory%s", cuda_memory_failure(stream));
    stream_set_failed(stream, text);
    return nullptr;
}

static void *allocate_host(Stream *, size_t bytes)
{
    void *memory = nullptr;
    if (cudaHostAlloc(&memory, bytes ? bytes : 1, cudaHostAllocPortable) == cudaSuccess) return memory;
    cudaGetLastError();
    return nullptr;
}

static void release_host(Stream *s, void *memory) { cuda_ok(s, cudaFreeHost(memory), "free of host memory"); }

static const StreamBackend backend = {free_stream,   sync,         scratch, cuda_take,         cuda_give,
                                      allocate_host, release_host, true,    products_set_tf32, cuda_memory,
                                      cuda_trim,     cuda_memory_failure, nullptr};

extern "C" Stream *stream_new_cuda(int device, char *message)
{
    CudaStream *s = static_cast<CudaStream *>(calloc(1, sizeof *s));
    if (!s) {
        snprintf(message, 200, "cuda:%d: no host memory", device);
        return nullptr;
    }
    s->base.backend = &backend, s->device = device;
    if (cuda_ok(&s->base, cudaSetDevice(device), "cudaSetDevice") &&
        cuda_ok(&s->base, cudaStreamCreateWithFlags(&s->queue, cudaStreamNonBlocking), "cudaStreamCreate"))
        return &s->base;
    snprintf(message, 200, "%s", s->base.message);
    cudaGetLastError();
    free_stream(&s->base);
    return nullptr;
}

extern "C" int cuda_device_count(void)
{
    int count = 0;
    if (cudaGetDeviceCount(&count) == cudaSuccess) return count;
    cudaGetLastError();
    return 0;
}

extern "C" bool cuda_device_facts(int device, DeviceFacts *facts, char *why)
{
    cudaDeviceProp p;
    size_t free_bytes = 0, total_bytes = 0;
    cudaError_t error = cudaGetDeviceProperties(&p, device);
    *facts = {};
    if (error == cudaSuccess) error = cudaSetDevice(device);
    if (error == cudaSuccess) error = cudaMemGetInfo(&free_bytes, &total_bytes);
    if (error == cudaSuccess) error = cudaDriverGetVersion(&facts->driver);
    if (error == cudaSuccess) error = cudaRuntimeGetVersion(&facts->runtime);
    if (error != cudaSuccess) {
        snprintf(why, 200, "cuda:%d: %s (%s)", device, cudaGetErrorString(error), cudaGetErrorName(error));
        cudaGetLastError();
        return false;
    }
    snprintf(facts->name, sizeof facts->name, "%s", p.name);
    facts->major = p.major, facts->minor = p.minor, facts->multiprocessors = p.multiProcessorCount;
    facts->memory_bytes = (int64_t)total_bytes, facts->memory_free_bytes = (int64_t)free_bytes;
    return true;
}

extern "C" const Kernels *kernels_cuda(void)
{
    static const Kernels *const table = [] {
        static Kernels k;
        k.name = "cuda";
        k.dtypes = 1u << DTYPE_F32 | 1u << DTYPE_BF16 | 1u << DTYPE_F16;
#define FAMILY_INSTALLED(name) cuda_##name##_install(&k);
        FAMILIES(FAMILY_INSTALLED)
#undef FAMILY_INSTALLED
        return &k;
    }();
    return table;
}
