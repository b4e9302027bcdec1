/* A device's stream: a queue, scratch that grows to its largest use, memory. And the table of kernels. */
#include <cstdio>
#include <cstdlib>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/families.h"
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
    if (s->queue) cudaStreamSynchronize(s->queue), cudaStreamDestroy(s->queue);
    products_free(s);
    for (int i = 0; i < CUDA_SLOTS; i++) cudaFree(s->scratch[i].data);
    free(s);
}

/* Grows in the first step only. On failure the stream has failed, and launch() does nothing until it is cleared. */
static void *scratch(Stream *stream, int thread, int slot, size_t bytes)
{
    CudaStream *s = cuda_stream(stream);
    (void)thread;
    if (bytes <= s->scratch[slot].bytes && s->scratch[slot].data) return s->scratch[slot].data;
    size_t rounded = (bytes + 255) / 256 * 256;
    if (s->scratch[slot].data) sync(stream); /* what is queued may use it */
    cudaFree(s->scratch[slot].data);
    s->scratch[slot].data = nullptr, s->scratch[slot].bytes = 0;
    if (!cuda_ok(stream, cudaMalloc(&s->scratch[slot].data, rounded ? rounded : 256), "scratch memory")) return nullptr;
    s->scratch[slot].bytes = rounded ? rounded : 256;
    return s->scratch[slot].data;
}

static void *allocate(Stream *s, size_t bytes)
{
    void *memory = nullptr;
    (void)s;
    if (cudaMalloc(&memory, bytes ? bytes : 1) == cudaSuccess) return memory;
    cudaGetLastError(); /* it has been told */
    return nullptr;
}

static void release(Stream *s, void *memory)
{
    sync(s);
    cuda_ok(s, cudaFree(memory), "free");
}

static void *allocate_host(Stream *, size_t bytes)
{
    void *memory = nullptr;
    if (cudaHostAlloc(&memory, bytes ? bytes : 1, cudaHostAllocPortable) == cudaSuccess) return memory;
    cudaGetLastError();
    return nullptr;
}

static void release_host(Stream *s, void *memory) { cuda_ok(s, cudaFreeHost(memory), "free of host memory"); }

static const StreamBackend backend = {free_stream, sync,         scratch, allocate, release, allocate_host,
                                      release_host, true, products_set_tf32};

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

extern "C" const Kernels *kernels_cuda(void)
{
    static const Kernels *const table = [] {
        static Kernels k;
        k.name = "cuda";
        k.dtypes = 1u << DTYPE_F32;
#define FAMILY_INSTALLED(name) cuda_##name##_install(&k);
        FAMILIES(FAMILY_INSTALLED)
#undef FAMILY_INSTALLED
        return &k;
    }();
    return table;
}
