/* runtime.cpp's part for memory: of devices, pinned, copies. */
#include "tests/cuda_emulator/runtime.h"

#include <cstring>

using namespace emu;

extern "C" {

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

} // extern "C"
