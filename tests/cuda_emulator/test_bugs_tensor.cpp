/* Seeded bugs of tensor cores and asynchronous copies: each misuse of mma.cuh's functions is reported, or shows. */
#include "tests/cuda_emulator/bugs.h"

#include "kernels/cuda/mma.cuh"

static __global__ void reads_too_early(const uint4 *in, uint32_t *out)
{
    SHARED(uint4, room, [32]);
    copy_async(room + threadIdx.x, in + threadIdx.x, 16);
    copy_commit();
    out[threadIdx.x] = room[threadIdx.x].x;
    copy_wait<0>();
}

static __global__ void never_waits(const uint4 *in, uint32_t *)
{
    SHARED(uint4, room, [32]);
    copy_async(room + threadIdx.x, in + threadIdx.x, 16);
    copy_commit();
}

static __global__ void half_a_warp(const uint4 *, uint32_t *out)
{
    float c[4] = {};
    uint32_t a[4] = {};
    if (threadIdx.x < 16) mma<__half>(c, a, 0, 0);
    out[threadIdx.x] = __float_as_uint(c[0]);
}

static __global__ void different_places(const uint4 *, uint32_t *out)
{
    SHARED(uint4, room, [32]);
    float c[4] = {};
    uint32_t a[4] = {};
    room[threadIdx.x] = make_uint4(0, 0, 0, 0);
    __syncthreads();
    if (threadIdx.x < 16)
        mma<__half>(c, a, 0, 0);
    else
        load_matrices(a, room + threadIdx.x);
    out[threadIdx.x] = a[0];
}

static __global__ void misaligned(const uint4 *in, uint32_t *)
{
    SHARED(uint4, room, [33]);
    copy_async(reinterpret_cast<char *>(room) + 8, in, 16);
    copy_commit();
    copy_wait<0>();
}

/* The first word that a warp of so many lanes leaves. */
static uint32_t run(void (*kernel)(const uint4 *, uint32_t *), unsigned threads)
{
    uint32_t first = 0;
    Stream *s = stream_new();
    uint4 *from = (uint4 *)stream_allocate(s, 1024);
    uint32_t *to = (uint32_t *)stream_allocate(s, 1024);
    kernels_cuda()->fill_zero(s, from, 1024);
    launch(kernel, 1, threads, 0, s, from, to);
    kernels_cuda()->copy(s, &first, to, 4);
    stream_sync(s);
    return first;
}

static void early() { require(run(reads_too_early, 32) == 0xFFF7FFF7u); }
static void no_wait() { run(never_waits, 32); }
static void half_of_a_warp() { run(half_a_warp, 32); }
static void short_block() { run(half_a_warp, 16); }
static void at_two_places() { run(different_places, 32); }
static void unaligned() { run(misaligned, 1); }

static void misuse_is_reported(void **)
{
    expect_well(early); /* poison is what it reads */
    expect_report(no_wait, {"without waiting for 1 of its cp.async copies", "never_waits"});
    expect_report(half_of_a_warp, {"has returned"});
    expect_report(short_block, {"its warp has not all of its lanes"});
    expect_report(at_two_places, {"deadlock", "mma", "ldmatrix"});
    expect_report(unaligned, {"misaligned"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(misuse_is_reported)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
