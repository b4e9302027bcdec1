/* Ranks, a device each (kernels/device.h): a second queue, points in queues, adding up in a given order. NCCL is
 * comm_nccl.cu. */
#include <cstdio>

#include "kernels/cuda/comm.cuh"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/families.h"
#include "kernels/cuda/vector.cuh"

/* ---- queues and marks ---- */
static void identify(Stream *s, char id[DEVICE_ID_BYTES])
{
    cudaDeviceProp p;
    int device = cuda_stream(s)->device;
    if (cuda_ok(s, cudaGetDeviceProperties(&p, device), "cudaGetDeviceProperties"))
        snprintf(id, DEVICE_ID_BYTES, "%04x:%02x:%02x", (unsigned)p.pciDomainID, (unsigned)p.pciBusID,
                 (unsigned)p.pciDeviceID);
    else
        snprintf(id, DEVICE_ID_BYTES, "number %d", device);
}

/* Of the highest priority: what goes round is short and others wait for it. */
static Stream *beside(Stream *s, char why[DEVICE_WHY_BYTES])
{
    int lowest = 0, highest = 0;
    Stream *queue = stream_new_cuda(cuda_stream(s)->device, why);
    if (!queue) return nullptr;
    CudaStream *q = cuda_stream(queue);
    cudaStreamDestroy(q->queue);
    q->queue = nullptr;
    if (cuda_ok(queue, cudaDeviceGetStreamPriorityRange(&lowest, &highest), "stream priorities") &&
        cuda_ok(queue, cudaStreamCreateWithPriority(&q->queue, cudaStreamNonBlocking, highest), "cudaStreamCreate"))
        return queue;
    snprintf(why, DEVICE_WHY_BYTES, "%s", queue->message);
    queue->backend->free(queue);
    return nullptr;
}

static bool pin(void *memory, size_t bytes)
{
    if (cudaHostRegister(memory, bytes, cudaHostRegisterPortable) == cudaSuccess) return true;
    cudaGetLastError(); /* it has been told */
    return false;
}

static void unpin(void *memory)
{
    if (cudaHostUnregister(memory) != cudaSuccess) cudaGetLastError();
}

struct DeviceMark {
    cudaEvent_t event;
};

static DeviceMark *mark_new()
{
    DeviceMark *m = static_cast<DeviceMark *>(calloc(1, sizeof *m));
    if (m && cudaEventCreate(&m->event) == cudaSuccess) return m;
    if (m) cudaGetLastError();
    free(m);
    return nullptr;
}

static void mark_free(DeviceMark *m)
{
    if (m) cudaEventDestroy(m->event);
    free(m);
}

static void mark_set(DeviceMark *m, Stream *s) { cuda_ok(s, cudaEventRecord(m->event, cuda_queue(s)), "a mark"); }

static void mark_order(DeviceMark *m, Stream *s)
{
    cuda_ok(s, cudaStreamWaitEvent(cuda_queue(s), m->event, 0), "waiting for a mark");
}

static void mark_wait(DeviceMark *m, Stream *s)
{
    cuda_ok(s, cudaEventSynchronize(m->event), "work that was queued");
}

static bool mark_is_reached(DeviceMark *m) { return cudaEventQuery(m->event) == cudaSuccess; }

static double mark_seconds(DeviceMark *from, DeviceMark *to)
{
    float ms = 0;
    if (cudaEventElapsedTime(&ms, from->event, to->event) != cudaSuccess) cudaGetLastError(), ms = 0;
    return ms / 1e3;
}

/* ---- adding up ---- */
enum { THREADS = 256, AT_ONCE = 8 };

struct Sources {
    const float *at[AT_ONCE];
    int count;
};

/* Elements do not see each other: grid-stride over groups of four. */
template <bool ALIGNED>
static __global__ void __launch_bounds__(THREADS) fold_sources(float *into, Sources sources, int64_t n)
{
    int64_t step = (int64_t)gridDim.x * THREADS * 4;
    for (int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * 4; i < n; i += step) {
        float4 sum = load4<ALIGNED>(sources.at[0] + i, n - i);
#pragma unroll
        for (int k = 1; k < AT_ONCE; k++)
            if (k < sources.count) sum = sum + load4<ALIGNED>(sources.at[k] + i, n - i);
        store4<ALIGNED>(into + i, sum, n - i);
    }
}

static void fold(Stream *s, float *into, const float *const *source, int count, int64_t n)
{
    for (int done = 0; done < count;) {
        Sources sources = {};
        bool aligned = cuda_is_aligned(into);
        if (done) sources.at[sources.count++] = into;
        while (sources.count < AT_ONCE && done < count) sources.at[sources.count++] = source[done++];
        for (int k = 0; k < sources.count; k++) aligned &= cuda_is_aligned(sources.at[k]);
        launch(aligned ? fold_sources<true> : fold_sources<false>, cuda_blocks(n, THREADS * 4), THREADS, 0, s, into,
               sources, n);
    }
}

extern "C" const DeviceRanks *device_ranks_cuda(void)
{
    static const DeviceRanks *const table = [] {
        static DeviceRanks t;
        t.id = identify, t.beside = beside, t.pin = pin, t.unpin = unpin;
        t.mark_new = mark_new, t.mark_free = mark_free, t.mark_set = mark_set, t.mark_order = mark_order;
        t.mark_wait = mark_wait, t.mark_is_reached = mark_is_reached, t.mark_seconds = mark_seconds;
        t.fold = fold;
        cuda_comm_nccl_install(&t);
        return &t;
    }();
    return table;
}
