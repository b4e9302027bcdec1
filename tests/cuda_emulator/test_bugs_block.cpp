/* The emulator finds what is wrong within a block and among blocks: barriers, warps, shared memory, order. As
 * test_bugs.cpp; races that no result shows are test_races.cpp's. */
#include "tests/cuda_emulator/bugs.h"

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
    expect_report(diverges, {"barrier divergence: not all threads", "__syncthreads of test_bugs_block.cpp",
                             "thread (63,0,0) has returned", "barrier_for_some<<<"});
    expect_well(all_at_the_barrier);
    expect_report([] { run_on_64(two_barriers); },
                  {"barrier divergence: threads of one block wait at different barriers"});
    expect_report([] { run_on_64(lane_missing); }, {"deadlock", "__shfl_sync of test_bugs_block.cpp", "mask 0xffffffff",
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

/* ---- order of blocks, calls in the wrong place ------------------------------ */
static __global__ void add_up(float *x) /* right where blocks come one after the other */
{
    x[blockIdx.x + 1] = x[blockIdx.x] + 1;
}
static void blocks_wait_for_none()
{
    Stream *s = stream_new();
    float *x = device_floats(9);
    cudaMemset(x, 0, 9 * sizeof *x);
    launch(add_up, 8, 1, 0, s, x);
    stream_sync(s);
    require(host_value(x + 8) == 8);
}
static void one_block_a_launch()
{
    Stream *s = stream_new();
    float *x = device_floats(9);
    cudaMemset(x, 0, 9 * sizeof *x);
    for (int i = 0; i < 8; i++) launch(add_up, 1, 1, 0, s, x + i);
    stream_sync(s);
    require(host_value(x + 8) == 8);
}
static __global__ void asks_for_dynamic(float *x) { x[0] = dynamic_shared<float>()[0]; }
static void no_dynamic_memory()
{
    Stream *s = stream_new();
    launch(asks_for_dynamic, 1, 1, 0, s, device_floats(1));
    stream_sync(s);
}
static void blocks_have_no_order(void **)
{
    expect_seeds_to_differ(blocks_wait_for_none);
    expect_well(one_block_a_launch);
}
static void what_a_kernel_alone_may_call_is_refused_elsewhere(void **)
{
    expect_report([] { __syncthreads(); }, {"__syncthreads outside a kernel"});
    expect_report([] { __syncwarp(); }, {"a warp operation outside a kernel"});
    expect_report(no_dynamic_memory, {"dynamic_shared() in a kernel that was launched without dynamic shared memory"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(barriers_and_warps_that_do_not_meet_are_found),
        cmocka_unit_test(shared_memory_bugs_are_found),
        cmocka_unit_test(misaligned_access_and_full_stacks_are_found),
        cmocka_unit_test(blocks_have_no_order),
        cmocka_unit_test(what_a_kernel_alone_may_call_is_refused_elsewhere),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
