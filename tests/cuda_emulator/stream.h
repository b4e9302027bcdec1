/* Streams and events of the emulated devices, for runtime.cpp. All functions hold `mutex` themselves or say that the
 * caller does. */
#ifndef TESTS_CUDA_EMULATOR_STREAM_H
#define TESTS_CUDA_EMULATOR_STREAM_H

#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "tests/cuda_emulator/emulator.h"

struct CUevent_st {
    struct Generations {
        uint64_t recorded, done;
    };
    std::shared_ptr<Generations> generations; /* outlives the event while it is queued */
};

namespace emu
{

enum class OpKind { LAUNCH, COPY, SET, RECORD, WAIT, HOST, FREE, LIBRARY, COLLECTIVE };

struct Op {
    OpKind kind;
    Launch launch;
    std::unique_ptr<Kernel> kernel;
    void *to;
    const void *from;
    size_t bytes;
    int value;
    std::vector<char> staged; /* COPY from pageable memory: read when it was queued, as the driver does */
    std::shared_ptr<CUevent_st::Generations> generations;
    uint64_t generation;
    std::function<void()> library; /* what a library's kernel would do; the device is open */
    std::string name;              /* of the library's call, with its sizes */
    std::function<bool()> gets_on; /* COLLECTIVE: begins, goes on; whether it is done. Opens the device itself */
    cudaHostFn_t function;
    void *argument;
};

} // namespace emu

struct CUstream_st {
    int device, number;
    bool blocking; /* waits for the default stream and it for this one */
    std::deque<emu::Op> queue;
};

namespace emu
{

extern std::recursive_mutex mutex;
extern thread_local int current_device;

cudaStream_t stream_of(cudaStream_t stream); /* NULL and the like: the current device's default stream */
cudaStream_t stream_create(bool blocking);
void stream_destroy(cudaStream_t stream);
bool stream_is_idle(cudaStream_t stream);
void enqueue(cudaStream_t stream, Op op); /* and runs something or nothing, as the seed says */
void run_stream(cudaStream_t stream);     /* until it is empty; others may get on too */
void run_device(int device);
void run_event(const CUevent_st::Generations *generations, uint64_t generation);
size_t shared_limit_of(const void *function);
void shared_limit_set(const void *function, size_t bytes);

enum { SHARED_DEFAULT = 48 << 10, SHARED_MOST = 227 << 10 };

} // namespace emu

#endif
