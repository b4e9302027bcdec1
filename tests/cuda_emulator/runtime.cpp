/* The functions of the CUDA runtime API that hone calls, with the error codes of the real ones. What is not here fails
 * to link: that is how one learns that it has to be written. */
#include <cstdlib>
#include <cstring>

#include "tests/cuda_emulator/calls.h"
#include "tests/cuda_emulator/stream.h"

using namespace emu;

#define HOLD std::lock_guard<std::recursive_mutex> hold(emu::mutex)

static thread_local cudaError_t last_error = cudaSuccess;

void emu::set_error(cudaError_t error)
{
    if (error != cudaSuccess) last_error = error;
}

static cudaError_t result(cudaError_t error)
{
    set_error(error);
    return error;
}

static int multiprocessors()
{
    const char *text = getenv("HONE_EMU_SMS"); /* few, so that loops over the grid go round */
    return text ? atoi(text) : 4;
}

extern "C" {

/* ---- devices ------------------------------ */
cudaError_t cudaGetDeviceCount(int *count)
{
    *count = device_count();
    return result(*count ? cudaSuccess : cudaErrorNoDevice);
}

cudaError_t cudaSetDevice(int device)
{
    if (device < 0 || device >= device_count()) return result(cudaErrorInvalidDevice);
    current_device = device;
    return cudaSuccess;
}

cudaError_t cudaGetDevice(int *device)
{
    *device = current_device;
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device)
{
    if (device < 0 || device >= device_count()) return result(cudaErrorInvalidDevice);
    size_t free_bytes;
    memset(p, 0, sizeof *p);
    strcpy(p->name, "emulated");
    p->pciBusID = device;
    p->major = 9, p->minor = 0, p->warpSize = WARP, p->multiProcessorCount = multiprocessors();
    p->maxThreadsPerBlock = MOST_THREADS, p->maxThreadsPerMultiProcessor = 2048,
    p->regsPerBlock = p->regsPerMultiprocessor = 65536;
    p->sharedMemPerBlock = SHARED_DEFAULT, p->sharedMemPerBlockOptin = SHARED_MOST,
    p->sharedMemPerMultiprocessor = 228 << 10;
    p->maxGridSize[0] = 0x7FFFFFFF, p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024, p->maxThreadsDim[2] = 64;
    memory_info(device, &free_bytes, &p->totalGlobalMem);
    return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device)
{
    if (device < 0 || device >= device_count()) return result(cudaErrorInvalidDevice);
    switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
        *value = multiprocessors();
        break;
    case cudaDevAttrComputeCapabilityMajor:
        *value = 9;
        break;
    case cudaDevAttrComputeCapabilityMinor:
        *value = 0;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = SHARED_MOST;
        break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = SHARED_DEFAULT;
        break;
    case cudaDevAttrWarpSize:
        *value = WARP;
        break;
    default:
        return result(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    HOLD;
    count_call(Call::SYNCHRONIZE);
    run_device(current_device);
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int *version) { return cudaRuntimeGetVersion(version); }

/* ---- errors ------------------------------ */
cudaError_t cudaGetLastError(void)
{
    cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}

cudaError_t cudaPeekAtLastError(void) { return last_error; }

#define ERRORS(ERROR)                                                                                                  \
    ERROR(cudaSuccess, "no error")                                                                                     \
    ERROR(cudaErrorInvalidValue, "invalid argument")                                                                   \
    ERROR(cudaErrorMemoryAllocation, "out of memory")                                                                  \
    ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument")                                             \
    ERROR(cudaErrorInvalidDevice, "invalid device ordinal")                                                            \
    ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle")                                                   \
    ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected")                                                     \
    ERROR(cudaErrorNotReady, "device not ready")

const char *cudaGetErrorName(cudaError_t error)
{
    switch (error) {
#define NAME(code, text)                                                                                               \
    case code:                                                                                                         \
        return #code;
        ERRORS(NAME)
    default:
        return "unrecognized error code";
    }
}

const char *cudaGetErrorString(cudaError_t error)
{
    switch (error) {
#define TEXT(code, text)                                                                                               \
    case code:                                                                                                         \
        return text;
        ERRORS(TEXT)
    default:
        return "unrecognized error code";
    }
}

/* ---- memory ------------------------------ */
cudaError_t cudaMalloc(void **memory, size_t bytes)
{
    HOLD;
    count_call(Call::ALLOCATE);
    *memory = nullptr;
    return bytes ? result(memory_allocate(current_device, bytes, memory)) : cudaSuccess;
}

cudaError_t cudaFree(void *memory) /* waits for the device */
{
    HOLD;
    int device;
    if (!memory) return cudaSuccess;
    if (!memory_is_device(memory, &device)) return result(cudaErrorInvalidValue);
    count_call(Call::ALLOCATE);
    run_device(device);
    memory_free(device, memory);
    return cudaSuccess;
}

cudaError_t cudaMallocAsync(void **memory, size_t bytes, cudaStream_t) { return cudaMalloc(memory, bytes); }

cudaError_t cudaFreeAsync(void *memory, cudaStream_t stream)
{
    HOLD;
    if (!memory) return cudaSuccess;
    Op op = {};
    op.kind = OpKind::FREE, op.to = memory;
    enqueue(stream_of(stream), std::move(op));
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    HOLD;
    memory_info(current_device, free_bytes, total_bytes);
    return cudaSuccess;
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned)
{
    HOLD;
    count_call(Call::ALLOCATE_HOST);
    return result(pinned_allocate(bytes, memory));
}

cudaError_t cudaMallocHost(void **memory, size_t bytes) { return cudaHostAlloc(memory, bytes, 0); }

cudaError_t cudaFreeHost(void *memory)
{
    HOLD;
    if (!memory) return cudaSuccess;
    count_call(Call::ALLOCATE_HOST);
    for (int d = 0; d < device_count(); d++) run_device(d);
    return pinned_free(memory) ? cudaSuccess : result(cudaErrorInvalidValue);
}

cudaError_t cudaHostRegister(void *memory, size_t bytes, unsigned)
{
    HOLD;
    return result(pinned_register(memory, bytes) ? cudaSuccess : cudaErrorHostMemoryAlreadyRegistered);
}

cudaError_t cudaHostUnregister(void *memory)
{
    HOLD;
    for (int d = 0; d < device_count(); d++) run_device(d);
    return result(pinned_unregister(memory) ? cudaSuccess : cudaErrorHostMemoryNotRegistered);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream)
{
    HOLD;
    bool to_device = memory_is_device(to, nullptr), from_device = memory_is_device(from, nullptr);
    if (!bytes) return cudaSuccess;
    if ((kind == cudaMemcpyHostToDevice && (!to_device || from_device)) ||
        (kind == cudaMemcpyDeviceToHost && (to_device || !from_device)) ||
        (kind == cudaMemcpyDeviceToDevice && (!to_device || !from_device)) ||
        (kind == cudaMemcpyHostToHost && (to_device || from_device)))
        return result(cudaErrorInvalidValue);
    if (to_device) memory_check_range(to, bytes, "cudaMemcpyAsync to the device");
    if (from_device) memory_check_range(from, bytes, "cudaMemcpyAsync from the device");
    if ((!from_device && !memory_is_pinned(from)) || (!to_device && !memory_is_pinned(to))) count_call(Call::PAGEABLE);
    Op op = {};
    op.kind = OpKind::COPY, op.to = to, op.from = from, op.bytes = bytes;
    /* Pageable memory goes through the driver's own: read before the call returns, written before it returns. Pinned
     * memory is a race's. */
    if (!from_device && !memory_is_pinned(from))
        op.staged.assign(static_cast<const char *>(from), static_cast<const char *>(from) + bytes);
    enqueue(stream_of(stream), std::move(op));
    if (!to_device && !memory_is_pinned(to)) run_stream(stream_of(stream));
    return cudaSuccess;
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    HOLD;
    return cudaMemcpyAsync(to, from, bytes, kind, nullptr); /* the default stream's work is done when it is queued */
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream)
{
    HOLD;
    if (!bytes) return cudaSuccess;
    memory_check_range(to, bytes, "cudaMemsetAsync");
    Op op = {};
    op.kind = OpKind::SET, op.to = to, op.value = value, op.bytes = bytes;
    enqueue(stream_of(stream), std::move(op));
    return cudaSuccess;
}

cudaError_t cudaMemset(void *to, int value, size_t bytes) { return cudaMemsetAsync(to, value, bytes, nullptr); }

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *a, const void *p)
{
    HOLD;
    memset(a, 0, sizeof *a);
    a->type = memory_is_pinned(p) ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
    if (memory_is_device(p, &a->device)) a->type = cudaMemoryTypeDevice, a->devicePointer = const_cast<void *>(p);
    return cudaSuccess;
}

/* ---- streams and events ------------------------------ */
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int)
{
    HOLD;
    if (!device_count()) return result(cudaErrorNoDevice);
    *stream = stream_create(!(flags & cudaStreamNonBlocking));
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned flags)
{
    return cudaStreamCreateWithPriority(stream, flags, 0);
}
cudaError_t cudaStreamCreate(cudaStream_t *stream)
{
    return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest)
{
    *least = 0, *greatest = -5;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    HOLD;
    if (!stream || stream == cudaStreamLegacy || stream == cudaStreamPerThread)
        return result(cudaErrorInvalidResourceHandle);
    stream_destroy(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream)
{
    HOLD;
    count_call(Call::SYNCHRONIZE);
    run_stream(stream_of(stream));
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t stream)
{
    HOLD;
    return stream_is_idle(stream_of(stream)) ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *argument)
{
    HOLD;
    Op op = {};
    op.kind = OpKind::HOST, op.function = function, op.argument = argument;
    enqueue(stream_of(stream), std::move(op));
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned)
{
    HOLD;
    *event = new CUevent_st{std::make_shared<CUevent_st::Generations>()};
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *event) { return cudaEventCreateWithFlags(event, 0); }

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    HOLD;
    delete event;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream)
{
    HOLD;
    Op op = {};
    op.kind = OpKind::RECORD, op.generations = event->generations, op.generation = ++event->generations->recorded;
    enqueue(stream_of(stream), std::move(op));
    return cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned)
{
    HOLD;
    Op op = {};
    op.kind = OpKind::WAIT, op.generations = event->generations, op.generation = event->generations->recorded;
    enqueue(stream_of(stream), std::move(op));
    return cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    HOLD;
    if (event->generations->done < event->generations->recorded) count_call(Call::WAIT);
    run_event(event->generations.get(), event->generations->recorded);
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) /* never waits: not for who holds the mutex either */
{
    return __atomic_load_n(&event->generations->done, __ATOMIC_SEQ_CST) >=
                   __atomic_load_n(&event->generations->recorded, __ATOMIC_SEQ_CST)
               ? cudaSuccess
               : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t, cudaEvent_t)
{
    *ms = 0;
    return cudaSuccess;
}

/* ---- kernels ------------------------------ */
cudaError_t cudaFuncSetAttribute(const void *function, cudaFuncAttribute attribute, int value)
{
    HOLD;
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 || value > SHARED_MOST)
        return result(cudaErrorInvalidValue);
    shared_limit_set(function, value > SHARED_DEFAULT ? (size_t)value : (size_t)SHARED_DEFAULT);
    return cudaSuccess;
}

} // extern "C"
