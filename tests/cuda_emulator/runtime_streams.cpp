/* runtime.cpp's part for streams and events. */
#include "tests/cuda_emulator/runtime.h"

using namespace emu;

extern "C" {

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

} // extern "C"
