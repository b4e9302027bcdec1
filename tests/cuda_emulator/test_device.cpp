/* The emulated device does what the CUDA documentation says of the real one: warp operations with masks and widths,
 * barriers with votes, the order of streams and events, error codes. */
#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>

extern "C" {
#include <cmocka.h>
}

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/launch.cuh"

enum { SEEDS = 6 };

static Stream *stream_new()
{
    char message[200];
    Stream *s = stream_new_cuda(0, message);
    if (!s) fail_msg("%s", message);
    return s;
}

/* Runs kernel(out, …) on `threads` threads in two blocks, for each seed; the second block's results are looked at. */
template <typename Kernel> static void run(Kernel *kernel, int threads, int *host)
{
    Stream *s = stream_new();
    int *out = static_cast<int *>(stream_allocate(s, 2048 * sizeof *out));
    launch(kernel, 2, threads, 0, s, out);
    kernels_cuda()->copy(s, host, out + 1024, (size_t)threads * sizeof *out);
    stream_sync(s);
    assert_false(stream_failed(s));
    stream_release(s, out);
    stream_free(s);
}

#define EACH_SEED for (uint64_t seed = 0; emu::set_seed(seed), seed < SEEDS; seed++)
#define OUT out[blockIdx.x * 1024 + threadIdx.x]

static __global__ void shuffle_index(int *out) { OUT = __shfl_sync(0xFFFFFFFFu, (int)threadIdx.x, 5, 8); }
static __global__ void shuffle_up(int *out) { OUT = __shfl_up_sync(0xFFFFFFFFu, (int)threadIdx.x, 3, 16); }
static __global__ void shuffle_down(int *out) { OUT = __shfl_down_sync(0xFFFFFFFFu, (int)threadIdx.x, 30); }
static __global__ void shuffle_xor(int *out) { OUT = __shfl_xor_sync(0xFFFFFFFFu, (int)threadIdx.x, 17); }
static __global__ void shuffle_double(int *out)
{
    OUT = (int)(__shfl_xor_sync(0xFFFFFFFFu, threadIdx.x + 0.25, 1) * 4);
}
static __global__ void shuffle_halves(int *out) /* the halves of a warp go their own ways */
{
    unsigned mask = threadIdx.x % 32 < 16 ? 0x0000FFFFu : 0xFFFF0000u;
    int sum = (int)threadIdx.x;
    for (int lanes = 8; lanes; lanes /= 2) sum += __shfl_xor_sync(mask, sum, lanes);
    OUT = sum;
}

static void shuffles_read_the_lane_that_is_documented(void **)
{
    int host[64];
    EACH_SEED
    {
        run(shuffle_index, 64, host);
        for (int i = 0; i < 64; i++) assert_int_equal(host[i], i / 8 * 8 + 5);
        run(shuffle_up, 64, host);
        for (int i = 0; i < 64; i++) assert_int_equal(host[i], i % 16 < 3 ? i : i - 3);
        run(shuffle_down, 64, host);
        for (int i = 0; i < 64; i++) assert_int_equal(host[i], i % 32 >= 2 ? i : i + 30);
        run(shuffle_xor, 64, host);
        for (int i = 0; i < 64; i++) assert_int_equal(host[i], i ^ 17);
        run(shuffle_double, 64, host);
        for (int i = 0; i < 64; i++) assert_int_equal(host[i], (i ^ 1) * 4 + 1);
        run(shuffle_halves, 64, host);
        for (int i = 0; i < 64; i++) assert_int_equal(host[i], i / 16 * 16 * 16 + 120);
    }
}

static __global__ void votes(int *out)
{
    unsigned odd = __ballot_sync(0xFFFFFFFFu, threadIdx.x & 1);
    int any = __any_sync(0xFFFFFFFFu, threadIdx.x == 40), all = __all_sync(0xFFFFFFFFu, threadIdx.x < 40);
    OUT = (odd == 0xAAAAAAAAu) + 2 * any + 4 * all;
}
static __global__ void reductions(int *out)
{
    unsigned full = 0xFFFFFFFFu, x = threadIdx.x % 32;
    int y = (int)x - 10;
    bool good =
        __reduce_add_sync(full, x) == 496 && __reduce_min_sync(full, y) == -10 && __reduce_max_sync(full, y) == 21;
    good = good && __reduce_max_sync(full, x) == 31 && __reduce_or_sync(full, 1u << x) == full;
    OUT = good && __reduce_and_sync(full, x | 64u) == 64 && __reduce_xor_sync(full, x) == 0;
}
static __global__ void matches(int *out)
{
    int all;
    unsigned any = __match_any_sync(0xFFFFFFFFu, threadIdx.x % 4), same = __match_all_sync(0xFFFFFFFFu, 7, &all);
    bool good = any == 0x11111111u << threadIdx.x % 4 && same == 0xFFFFFFFFu && all;
    same = __match_all_sync(0xFFFFFFFFu, threadIdx.x, &all);
    OUT = good && same == 0 && !all;
}
static __global__ void barrier_votes(int *out)
{
    int count = __syncthreads_count(threadIdx.x % 3 == 0), and_ = __syncthreads_and(threadIdx.x < 99),
        or_ = __syncthreads_or(threadIdx.x == 50);
    OUT = count * 4 + (and_ != 0) * 2 + (or_ != 0);
}
static __global__ void last_warp_is_short(int *out) { OUT = (int)__ballot_sync(0xFFFFFFFFu, 1); }

static void votes_and_reductions_are_over_the_mask(void **)
{
    int host[100];
    EACH_SEED
    {
        run(votes, 64, host);
        for (int i = 0; i < 64; i++) assert_int_equal(host[i], i < 32 ? 1 + 4 : 1 + 2);
        run(reductions, 64, host);
        for (int i = 0; i < 64; i++) assert_int_equal(host[i], 1);
        run(matches, 64, host);
        for (int i = 0; i < 64; i++) assert_int_equal(host[i], 1);
        run(barrier_votes, 100, host);
        for (int i = 0; i < 100; i++) assert_int_equal(host[i], 34 * 4 + 1);
        run(last_warp_is_short, 40, host);
        for (int i = 0; i < 40; i++) assert_int_equal((unsigned)host[i], i < 32 ? 0xFFFFFFFFu : 0xFFu);
    }
}

static __global__ void indices(int *out)
{
    int linear = (int)(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
    int block = (int)(blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z));
    atomicAdd(&out[block * 24 + linear], 1 + block * 24 + linear);
}

static void every_thread_of_every_block_runs_once(void **)
{
    EACH_SEED
    {
        int host[24 * 24];
        Stream *s = stream_new();
        int *out = static_cast<int *>(stream_allocate(s, sizeof host));
        kernels_cuda()->fill_zero(s, out, sizeof host);
        launch(indices, dim3(2, 3, 4), dim3(4, 2, 3), 0, s, out);
        kernels_cuda()->copy(s, host, out, sizeof host);
        stream_sync(s);
        for (int i = 0; i < 24 * 24; i++) assert_int_equal(host[i], i + 1);
        stream_release(s, out);
        stream_free(s);
    }
}

static __global__ void nothing(int *) {}

static void errors_are_those_of_the_runtime(void **)
{
    Stream *s = stream_new();
    void *p;
    cudaStream_t queue = cuda_queue(s);
    launch(nothing, 0, 32, 0, s, (int *)nullptr); /* an empty grid is no error */
    assert_false(stream_failed(s));
    launch(nothing, 1, 1025, 0, s, (int *)nullptr);
    assert_true(stream_failed(s));
    assert_non_null(strstr(stream_message(s), "cudaErrorInvalidConfiguration"));
    stream_clear(s);
    launch(nothing, dim3(1, 65536), 32, 0, s, (int *)nullptr);
    assert_true(stream_failed(s));
    stream_clear(s);
    launch(nothing, 1, 32, 49 << 10, s, (int *)nullptr);
    assert_non_null(strstr(stream_message(s), "cudaErrorInvalidValue"));
    stream_clear(s);
    assert_int_equal(cudaFuncSetAttribute(reinterpret_cast<const void *>(nothing),
                                          cudaFuncAttributeMaxDynamicSharedMemorySize, 49 << 10),
                     cudaSuccess);
    launch(nothing, 1, 32, 49 << 10, s, (int *)nullptr);
    assert_false(stream_failed(s));
    assert_int_equal(cudaMalloc(&p, (size_t)1 << 50), cudaErrorMemoryAllocation);
    assert_int_equal(cudaSetDevice(emu::device_count()), cudaErrorInvalidDevice);
    int host = 0;
    assert_int_equal(cudaMemcpyAsync(&host, &host, 4, cudaMemcpyHostToDevice, queue), cudaErrorInvalidValue);
    assert_int_equal(cudaGetLastError(), cudaErrorInvalidValue);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    stream_free(s);
    char message[200];
    assert_null(stream_new_cuda(99, message));
    assert_non_null(strstr(message, "cudaErrorInvalidDevice"));
}

/* Scratch and memory that cannot be had: the stream fails, nothing is launched, and it works again once it is cleared.
 */
static void memory_that_runs_out_is_an_error_of_the_stream(void **)
{
    emu::set_seed(3);
    size_t before = emu::memory_blocks(0);
    Stream *s = stream_new();
    float host[300], out[300];
    int32_t zeros[10] = {0};
    for (float &x : host) x = 1;
    float *x = static_cast<float *>(stream_allocate(s, sizeof host)),
          *table = static_cast<float *>(stream_allocate(s, sizeof out));
    int32_t *ids = static_cast<int32_t *>(stream_allocate(s, sizeof zeros));
    kernels_cuda()->copy(s, x, host, sizeof host);
    kernels_cuda()->copy(s, ids, zeros, sizeof zeros);
    emu::fail_allocation_after(1);
    kernels_cuda()->embedding_backward(s, DTYPE_F32, table, x, ids, 10, 30, 10, -1, false);
    stream_sync(s);
    assert_true(stream_failed(s));
    assert_non_null(strstr(stream_message(s), "scratch memory: out of memory"));
    stream_clear(s);
    emu::fail_allocation_after(1);
    assert_null(stream_allocate(s, 100));
    assert_false(stream_failed(s));
    kernels_cuda()->embedding_backward(s, DTYPE_F32, table, x, ids, 10, 30, 10, -1, false);
    kernels_cuda()->copy(s, out, table, sizeof out);
    stream_sync(s);
    assert_true(!stream_failed(s) && out[0] == 10);
    stream_release(s, x), stream_release(s, table), stream_release(s, ids);
    stream_free(s);
    assert_int_equal(emu::memory_blocks(0), before);
}

static __global__ void append(int *list, int *count, int value) { list[(*count)++] = value; }

static void streams_keep_their_order_and_events_order_streams(void **)
{
    EACH_SEED
    {
        Stream *a = stream_new(), *b = stream_new();
        cudaEvent_t event;
        int *list = static_cast<int *>(stream_allocate(a, 400)), *count = static_cast<int *>(stream_allocate(a, 4)),
            host[20];
        kernels_cuda()->fill_zero(a, count, 4);
        assert_int_equal(cudaEventCreate(&event), cudaSuccess);
        for (int i = 0; i < 20; i++) {
            Stream *s = i % 3 ? a : b, *other = i % 3 ? b : a;
            cudaEventRecord(event, cuda_queue(other));
            cudaStreamWaitEvent(cuda_queue(s), event, 0);
            launch(append, 1, 1, 0, s, list, count, i);
        }
        cudaEventRecord(event, cuda_queue(a));
        assert_int_equal(cudaEventSynchronize(event), cudaSuccess);
        assert_int_equal(cudaEventQuery(event), cudaSuccess);
        stream_sync(b);
        kernels_cuda()->copy(a, host, list, sizeof host);
        for (int i = 0; i < 20; i++) assert_int_equal(host[i], i);
        cudaEventDestroy(event);
        stream_release(a, list), stream_release(a, count);
        stream_free(a), stream_free(b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shuffles_read_the_lane_that_is_documented),
        cmocka_unit_test(votes_and_reductions_are_over_the_mask),
        cmocka_unit_test(every_thread_of_every_block_runs_once),
        cmocka_unit_test(errors_are_those_of_the_runtime),
        cmocka_unit_test(memory_that_runs_out_is_an_error_of_the_stream),
        cmocka_unit_test(streams_keep_their_order_and_events_order_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
