/* A device's queue and memory, for tests that are linked with its kernels (HONE_TEST_CUDA). Include it after cmocka.h.
 */
#ifndef HONE_TESTS_AUTOGRAD_DEVICE_MEMORY_H
#define HONE_TESTS_AUTOGRAD_DEVICE_MEMORY_H

#include "kernels/cuda/cuda.h"

static Stream *device_queue; /* of the line at work: one at a time */

static inline Stream *device_stream(int threads)
{
    char message[200];
    (void)threads;
    device_queue = stream_new_cuda(0, message);
    if (!device_queue) fail_msg("%s", message);
    return device_queue;
}

static inline void *device_take(size_t bytes)
{
    void *memory = stream_allocate(device_queue, bytes);
    assert_non_null(memory);
    return memory;
}

static inline void device_give(void *memory) { stream_release(device_queue, memory); }

/* To or from the host. */
static inline void *device_copy(void *to, const void *from, size_t bytes)
{
    kernels_cuda()->copy(device_queue, to, from, bytes);
    stream_sync(device_queue);
    if (stream_failed(device_queue)) fail_msg("%s", stream_message(device_queue));
    return to;
}

#endif
