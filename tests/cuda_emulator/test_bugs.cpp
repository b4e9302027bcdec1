/* The emulator finds each kind of bug: every test runs a seeded bug in a child process and looks for the report in what
 * it prints; and its twin without the bug, which has to pass. */
#include "tests/cuda_emulator/bugs.h"

/* ---- device memory ------------------------------ */
static __global__ void fill(float *x, int n, float value)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] = value + (float)i;
}

static void host_reads()
{
    float *x = device_floats(100);
    printf("%g", x[3]);
}
static void host_writes_after_a_launch()
{
    Stream *s = stream_new();
    float *x = device_floats(100);
    launch(fill, 1, 128, 0, s, x, 100, 0.0f);
    stream_sync(s);
    x[99] = 1;
}
static void host_copies()
{
    Stream *s = stream_new();
    float *x = device_floats(100);
    launch(fill, 1, 128, 0, s, x, 100, 0.0f);
    stream_sync(s);
    require(host_value(x + 99) == 99);
    stream_free(s);
}
static void host_may_not_touch_device_memory(void **)
{
    expect_report(host_reads, {"host code touches device memory", "byte 12 of block 1 (400 bytes)"});
    expect_report(host_writes_after_a_launch, {"host code touches device memory", "byte 396"});
    expect_well(host_copies);
}

static void writes_behind()
{
    Stream *s = stream_new();
    launch(fill, 1, 128, 0, s, device_floats(100), 101, 0.0f);
    stream_sync(s);
}
static __global__ void write_at(float *x, int i) { x[i] = 1; }
static void writes_before()
{
    Stream *s = stream_new();
    device_floats(100);
    launch(write_at, 1, 1, 0, s, device_floats(100), -1);
    stream_sync(s);
}
static void writes_far_away()
{
    Stream *s = stream_new();
    launch(write_at, 1, 1, 0, s, device_floats(100), 100 << 20);
    stream_sync(s);
}
static void writes_freed()
{
    Stream *s = stream_new();
    float *x = device_floats(100);
    cudaFree(x);
    launch(write_at, 1, 1, 0, s, x, 5);
    stream_sync(s);
    for (int i = 0; i < 10; i++) cudaFree(device_floats(4 << 20)); /* the memory would be used again */
}
static void frees_twice()
{
    float *x = device_floats(10);
    cudaFree(x);
    cudaFree(x);
}
static void copies_too_much()
{
    float host[101] = {0};
    cudaMemcpy(device_floats(100), host, sizeof host, cudaMemcpyHostToDevice);
}
static void writes_outside_are_found(void **)
{
    expect_report(writes_behind, {"write outside device memory by the kernel",
                                  "0 bytes behind the end of block 1 (400 bytes)", "fill<<<(1,1,1), (128,1,1)>>>"});
    expect_report(writes_before, {"write outside device memory by the kernel", "block 1", "write_at<<<"});
    expect_report(writes_far_away, {"access outside device memory", "write_at<<<", "thread (0,0,0)"});
    expect_report(writes_freed, {"write to freed memory: byte 20"});
    expect_report(frees_twice, {"no block begins there", "freed before"});
    expect_report(copies_too_much, {"cudaMemcpyAsync to the device", "404 bytes, where block 1 has 400"});
}

static __global__ void add_one(float *y, const float *x, int n)
{
    if ((int)threadIdx.x < n) y[threadIdx.x] = x[threadIdx.x] + 1;
}
static void reads_poison()
{
    Stream *s = stream_new();
    float *x = device_floats(32), *y = device_floats(32);
    launch(fill, 1, 32, 0, s, x, 31, 0.0f); /* one too few */
    launch(add_one, 1, 32, 0, s, y, (const float *)x, 32);
    stream_sync(s);
    require(host_value(y + 30) == 31);
    require(host_value(y + 31) != host_value(y + 31)); /* NaN */
}
static void fresh_memory_is_nan_of_every_type(void **)
{
    expect_well(reads_poison);
    void *p;
    uint16_t host[4];
    double wide;
    assert_int_equal(cudaMalloc(&p, 8), cudaSuccess);
    cudaMemcpy(host, p, 8, cudaMemcpyDeviceToHost);
    memcpy(&wide, host, 8);
    __nv_bfloat16_raw bf16 = {host[1]};
    __half_raw f16;
    f16.x = host[2];
    assert_true(std::isnan(wide) && std::isnan(__bfloat162float(__nv_bfloat16(bf16))) &&
                std::isnan(__half2float(__half(f16))));
    cudaFree(p);
}

static void launches_with_host_memory()
{
    float x[4];
    launch(fill, 1, 4, 0, stream_new(), x, 4, 0.0f);
}
static void host_memory_is_no_argument(void **)
{
    expect_report(launches_with_host_memory, {"launch of fill: argument 1", "is host memory"});
}

/* ---- synchronisation ------------------------------ */
static void reads_pinned(bool sync)
{
    Stream *s = stream_new();
    float *x = device_floats(4);
    void *pinned;
    cudaMallocHost(&pinned, 16);
    static_cast<float *>(pinned)[2] = -1;
    launch(fill, 1, 4, 0, s, x, 4, 0.0f);
    cudaMemcpyAsync(pinned, x, 16, cudaMemcpyDeviceToHost, cuda_queue(s));
    if (sync) stream_sync(s);
    require(static_cast<float *>(pinned)[2] == 2);
}
static void missing_sync() { reads_pinned(false); }
static void with_sync() { reads_pinned(true); }

static void two_streams(bool event)
{
    Stream *s = stream_new(), *t = stream_new();
    cudaEvent_t done;
    cudaEventCreateWithFlags(&done, cudaEventDisableTiming);
    float *x = device_floats(4), *y = device_floats(4);
    for (int round = 0; round < 4; round++) {
        launch(fill, 1, 4, 0, s, x, 4, (float)round);
        if (event) cudaEventRecord(done, cuda_queue(s)), cudaStreamWaitEvent(cuda_queue(t), done, 0);
        launch(add_one, 1, 4, 0, t, y, (const float *)x, 4);
        if (event) cudaEventRecord(done, cuda_queue(t)), cudaStreamWaitEvent(cuda_queue(s), done, 0);
    }
    stream_sync(t);
    require(host_value(y + 3) == 7);
    stream_sync(s);
}
static void missing_event() { two_streams(false); }
static void with_event() { two_streams(true); }

static void a_missing_synchronise_shows_for_some_seed(void **)
{
    expect_seeds_to_differ(missing_sync);
    expect_well(with_sync);
    expect_seeds_to_differ(missing_event);
    expect_well(with_event);
}

/* ---- barriers and warps ------------------------------ */
static __global__ void barrier_for_some(int *x, int n)
{
    if ((int)threadIdx.x >= n) return;
    __syncthreads();
    x[threadIdx.x] = 1;
}
static __global__ void two_barriers(int *x)
{
    if (threadIdx.x < 32)
        __syncthreads();
    else
        __syncthreads();
    x[threadIdx.x] = 1;
}
static __global__ void lane_missing(int *x)
{
    if (threadIdx.x % 32 == 7) __syncthreads();
    x[threadIdx.x] = __shfl_sync(0xFFFFFFFFu, (int)threadIdx.x, 3);
}
static __global__ void masks_differ(int *x)
{
    unsigned mask = threadIdx.x < 16 ? 0x0000FFFFu : 0xFFFFFFFFu;
    x[threadIdx.x] = __shfl_xor_sync(mask, (int)threadIdx.x, 1);
    __syncthreads();
}
static __global__ void lane_returned(int *x)
{
    if (threadIdx.x == 40) return;
    x[threadIdx.x] = __shfl_xor_sync(0xFFFFFFFFu, (int)threadIdx.x, 1);
}
static __global__ void not_in_mask(int *x) { x[threadIdx.x] = (int)__ballot_sync(0x7FFFFFFFu, 1); }

template <typename Kernel> static void run_on_64(Kernel *kernel)
{
    Stream *s = stream_new();
    launch(kernel, 1, 64, 0, s, (int *)(void *)device_floats(64));
    stream_sync(s);
}
static void diverges()
{
    Stream *s = stream_new();
    launch(barrier_for_some, 1, 64, 0, s, (int *)(void *)device_floats(64), 63);
    stream_sync(s);
}
static void all_at_the_barrier()
{
    Stream *s = stream_new();
    launch(barrier_for_some, 1, 64, 0, s, (int *)(void *)device_floats(64), 64);
    stream_sync(s);
}
static void barriers_and_warps_that_do_not_meet_are_found(void **)
{
    expect_report(diverges, {"barrier divergence: not all threads", "__syncthreads of test_bugs.cpp",
                             "thread (63,0,0) has returned", "barrier_for_some<<<"});
    expect_well(all_at_the_barrier);
    expect_report([] { run_on_64(two_barriers); },
                  {"barrier divergence: threads of one block wait at different barriers"});
    expect_report([] { run_on_64(lane_missing); }, {"deadlock", "__shfl_sync of test_bugs.cpp", "mask 0xffffffff",
                                                    "thread (7,0,0) waits at the __syncthreads"});
    expect_report([] { run_on_64(masks_differ); }, {"deadlock", "waits at the __shfl_xor_sync", "mask 0xffffffff"});
    expect_report([] { run_on_64(lane_returned); }, {"mask 0xffffffff", "names lane 8, which has returned"});
    expect_report([] { run_on_64(not_in_mask); }, {"its mask 0x7fffffff leaves out the caller's lane 31"});
}

/* ---- shared memory ------------------------------ */
static __global__ void reversed(float *x, bool with_barrier)
{
    SHARED(float, tile, [64]);
    tile[threadIdx.x] = (float)threadIdx.x;
    if (with_barrier) __syncthreads();
    x[threadIdx.x] = tile[63 - threadIdx.x];
}
static void reverse(bool with_barrier)
{
    Stream *s = stream_new();
    float *x = device_floats(64);
    launch(reversed, 3, 64, 0, s, x, with_barrier);
    stream_sync(s);
    require(host_value(x + 50) == 13); /* comes after the other in ascending order */
}
static void races() { reverse(false); }
static void waits() { reverse(true); }

static __global__ void add_neighbours(float *x)
{
    SHARED(float, tile, [64]);
    float sum = 0;
    for (int step = 0; step < 3; step++) {
        tile[threadIdx.x] = (float)(step + (int)threadIdx.x);
        __syncthreads();
        sum += tile[threadIdx.x < 63 ? threadIdx.x + 1 : 63];
        /* a barrier is missing here */
    }
    x[threadIdx.x] = sum;
}
static void races_in_a_loop()
{
    Stream *s = stream_new();
    float *x = device_floats(64), host[64];
    launch(add_neighbours, 1, 64, 0, s, x);
    stream_sync(s);
    cudaMemcpy(host, x, sizeof host, cudaMemcpyDeviceToHost);
    for (int i = 0; i < 64; i++) require(host[i] == (float)(3 + 3 * (i < 63 ? i + 1 : 63)));
}

static __global__ void writes_behind_shared(float *x)
{
    SHARED(float, tile, [8]);
    SHARED(float, other, [8]);
    float *p = tile; /* the bounds of an array UBSan would know */
    if (threadIdx.x < 8) other[threadIdx.x] = 0;
    p[threadIdx.x] = 1;
    x[threadIdx.x] = p[0];
}
static __global__ void uses_dynamic(float *x, int n)
{
    float *tile = dynamic_shared<float>();
    tile[n] = 1;
    x[0] = tile[0];
}
static void shared_overflows()
{
    Stream *s = stream_new();
    launch(writes_behind_shared, 1, 9, 0, s, device_floats(9));
    stream_sync(s);
}
static void dynamic_overflows()
{
    Stream *s = stream_new();
    launch(uses_dynamic, 1, 1, 400, s, device_floats(9), 100);
    stream_sync(s);
}
static void shared_is_not_kept()
{
    Stream *s = stream_new();
    float *x = device_floats(9);
    for (int n = 0; n < 2; n++) launch(uses_dynamic, 1, 1, 400, s, x, n); /* the second counts on what the first left */
    stream_sync(s);
    require(host_value(x) != host_value(x));
}
static __global__ void big_shared(float *x)
{
    SHARED(float, tile, [13000]);
    tile[0] = 1, x[0] = tile[0];
}
static void too_much_shared()
{
    Stream *s = stream_new();
    launch(big_shared, 1, 1, 0, s, device_floats(1));
    stream_sync(s);
}
static void shared_memory_bugs_are_found(void **)
{
    expect_seeds_to_differ(races);
    expect_well(waits);
    expect_seeds_to_differ(races_in_a_loop);
    expect_report(shared_overflows,
                  {"write outside shared memory", "`tile` has 32 bytes, byte 32", "writes_behind_shared<<<"});
    expect_report(dynamic_overflows,
                  {"write outside shared memory", "`dynamic shared memory` has 400 bytes, byte 400"});
    expect_well(shared_is_not_kept);
    expect_report(too_much_shared, {"shared memory: 52000 bytes with `tile`, more than the 49152"});
}

static __global__ void misaligned(float *x) { x[0] = __ldg(reinterpret_cast<const float4 *>(x + 1)).x; }
static __global__ void deep(float *x, int n)
{
    volatile float local[1 << 18];
    for (int i = 0; i < n; i++) local[i] = 1;
    x[0] = local[n / 2];
}
static void misaligned_access_and_full_stacks_are_found(void **)
{
    expect_report(
        [] {
            Stream *s = stream_new();
            launch(misaligned, 1, 1, 0, s, device_floats(9));
            stream_sync(s);
        },
        {"misaligned access of 16 bytes"});
    expect_report(
        [] {
            Stream *s = stream_new();
            launch(deep, 1, 1, 0, s, device_floats(9), 1 << 18);
            stream_sync(s);
        },
        {"more local memory than a fiber's stack", "deep<<<"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_may_not_touch_device_memory),
        cmocka_unit_test(writes_outside_are_found),
        cmocka_unit_test(fresh_memory_is_nan_of_every_type),
        cmocka_unit_test(host_memory_is_no_argument),
        cmocka_unit_test(a_missing_synchronise_shows_for_some_seed),
        cmocka_unit_test(barriers_and_warps_that_do_not_meet_are_found),
        cmocka_unit_test(shared_memory_bugs_are_found),
        cmocka_unit_test(misaligned_access_and_full_stacks_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
