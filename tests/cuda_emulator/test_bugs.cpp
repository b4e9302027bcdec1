/* The emulator finds what is wrong about memory and synchronisation: every test runs a seeded bug in a child process
 * and looks for the report in what it prints; and its twin without the bug, which has to pass. */
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

/* A pointer that no argument shows: in a structure. */
struct Hidden {
    float *x;
};
static __global__ void fill_hidden(Hidden h) { h.x[threadIdx.x] = 1; }
static float *floats_on(int device, int n)
{
    require(cudaSetDevice(device) == cudaSuccess);
    float *x = device_floats(n);
    require(cudaSetDevice(0) == cudaSuccess);
    return x;
}
static void launches_with_anothers_memory()
{
    Stream *s = stream_new();
    launch(fill, 1, 4, 0, s, floats_on(1, 4), 4, 0.0f);
}
static void reaches_anothers_memory()
{
    Stream *s = stream_new();
    launch(fill_hidden, 1, 4, 0, s, Hidden{floats_on(1, 4)});
    stream_sync(s);
}
static void reaches_host_memory()
{
    Stream *s = stream_new();
    launch(fill_hidden, 1, 4, 0, s, Hidden{reinterpret_cast<float *>(4096)});
    stream_sync(s);
}
static void memory_of_another_device_is_out_of_reach(void **)
{
    expect_report(launches_with_anothers_memory, {"launch of fill on cuda:0: argument 1", "is memory of cuda:1"});
    expect_report(reaches_anothers_memory, {"a kernel of another device touches device memory",
                                            "of block 1 (16 bytes) of cuda:1", "fill_hidden<<<"});
    expect_report(reaches_host_memory,
                  {"a kernel reads or writes 0x10", "which is no device memory", "fill_hidden<<<"});
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(host_may_not_touch_device_memory),
        cmocka_unit_test(writes_outside_are_found),
        cmocka_unit_test(fresh_memory_is_nan_of_every_type),
        cmocka_unit_test(host_memory_is_no_argument),
        cmocka_unit_test(memory_of_another_device_is_out_of_reach),
        cmocka_unit_test(a_missing_synchronise_shows_for_some_seed),
    };
    setenv("HONE_EMU_DEVICES", "2", 1);
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
