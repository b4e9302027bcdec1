/* The functions of the CUDA runtime API that hone calls, with the error codes of the real ones: devices, errors,
 * kernels; memory, streams and events are in the files beside it. What is not here fails to link: that is how one
 * learns that it has to be written. */
#include <cstdlib>
#include <cstring>

#include "tests/cuda_emulator/runtime.h"

using namespace emu;

static thread_local cudaError_t last_error = cudaSuccess;

void emu::set_error(cudaError_t error)
{
    if (error != cudaSuccess) last_error = error;
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
