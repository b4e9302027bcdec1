/* Races are found by what each access touches, whatever the order was in which threads happened to run: every kind once
 * with the bug and once without. (test_bugs.cpp has what shows in results.) */
#include "kernels/cuda/mma.cuh"
#include "tests/cuda_emulator/bugs.h"

static Stream *s;
static float *x, *y;

template <typename Kernel> static void run(Kernel *kernel, unsigned blocks, unsigned threads)
{
    s = stream_new();
    x = device_floats(4096), y = device_floats(4096);
    cudaMemset(x, 0, 4096 * sizeof *x);
    launch(kernel, blocks, threads, 0, s, y, (const float *)x);
    stream_sync(s);
}

/* ---- threads of a block ------------------------------ */
template <bool LAST_BARRIER> static __global__ void sum_block(float *out, const float *in)
{
    SHARED(float, tile, [128]);
    unsigned t = threadIdx.x;
    tile[t] = in[t];
    __syncthreads();
    for (unsigned n = 64; n; n /= 2) {
        if (t < n) tile[t] += tile[t + n];
        if (LAST_BARRIER || n > 32) __syncthreads();
    }
    if (t == 0) out[blockIdx.x] = tile[0];
}
enum { REUSE_TILE = __LINE__ };
template <bool SECOND_BARRIER> static __global__ void reuse_tile(float *out, const float *in)
{
    SHARED(float, tile, [64]);
    float sum = 0;
    for (int i = 0; i < 3; i++) {
        tile[threadIdx.x] = in[i * 64 + threadIdx.x];
        __syncthreads();
        sum += tile[63 - threadIdx.x];
        if (SECOND_BARRIER) __syncthreads();
    }
    out[blockIdx.x * 64 + threadIdx.x] = sum;
}
static __global__ void all_write_one(float *out, const float *)
{
    SHARED(float, sum, [1]);
    sum[0] = 1; /* the same from all: nothing shows in the result */
    __syncthreads();
    out[threadIdx.x] = sum[0];
}
static __global__ void first_writes_one(float *out, const float *)
{
    SHARED(float, sum, [1]);
    if (threadIdx.x == 0) sum[0] = 1;
    __syncthreads();
    out[threadIdx.x] = sum[0];
}
static __global__ void through_global(float *out, const float *)
{
    out[threadIdx.x] = 1;
    out[64 + threadIdx.x] = out[threadIdx.x ^ 1];
}
static __global__ void through_global_and_barrier(float *out, const float *)
{
    out[threadIdx.x] = 1;
    __syncthreads();
    out[64 + threadIdx.x] = out[threadIdx.x ^ 1];
}

static void a_missing_syncthreads_is_found(void **)
{
    expect_report([] { run(sum_block<false>, 1, 128); },
                  {"race on byte", "of `tile` (shared memory)", "write by thread (", "read by thread (",
                   "of block (0,0,0) at test_races.cpp:", "no __syncthreads", "sum_block<false>"});
    expect_well([] { run(sum_block<true>, 3, 128); });
    const std::string write = "test_races.cpp:" + std::to_string(REUSE_TILE + 6),
                      read = "test_races.cpp:" + std::to_string(REUSE_TILE + 8);
    expect_report([] { run(reuse_tile<false>, 1, 64); },
                  {"`tile`", "read by thread", "write by thread", write.c_str(), read.c_str()});
    expect_well([] { run(reuse_tile<true>, 3, 64); });
    expect_report([] { run(all_write_one, 1, 64); }, {"`sum`", "write by thread", "no __syncthreads"});
    expect_well([] { run(first_writes_one, 1, 64); });
    expect_report([] { run(through_global, 1, 64); },
                  {"of block 2 (16384 bytes) of cuda:0", "write by thread", "read by thread"});
    expect_well([] { run(through_global_and_barrier, 1, 64); });
}

/* ---- lanes of a warp ------------------------------ */
template <bool SYNC> static __global__ void warp_exchange(float *out, const float *in)
{
    SHARED(float, tile, [64]);
    tile[threadIdx.x] = in[threadIdx.x];
    if (SYNC) __syncwarp();
    out[threadIdx.x] = tile[threadIdx.x ^ 1];
}
static __global__ void shuffle_is_no_barrier(float *out, const float *in)
{
    SHARED(float, tile, [64]);
    tile[threadIdx.x] = in[threadIdx.x];
    float sum = __shfl_xor_sync(0xFFFFFFFFu, in[threadIdx.x], 1);
    out[threadIdx.x] = tile[threadIdx.x ^ 1] + sum;
}
static __global__ void other_warp(float *out, const float *in) /* __syncwarp, where a block's barrier is needed */
{
    SHARED(float, tile, [64]);
    tile[threadIdx.x] = in[threadIdx.x];
    __syncwarp();
    out[threadIdx.x] = tile[threadIdx.x ^ 32];
}
static __global__ void half_mask(float *out, const float *in)
{
    SHARED(float, tile, [32]);
    tile[threadIdx.x] = in[threadIdx.x];
    __syncwarp(threadIdx.x < 16 ? 0x0000FFFFu : 0xFFFF0000u);
    out[threadIdx.x] = tile[threadIdx.x ^ 16];
}
static __global__ void halves_apart(float *out, const float *in)
{
    SHARED(float, tile, [32]);
    tile[threadIdx.x] = in[threadIdx.x];
    __syncwarp(threadIdx.x < 16 ? 0x0000FFFFu : 0xFFFF0000u);
    out[threadIdx.x] = tile[threadIdx.x ^ 8];
}
static __global__ void through_a_third(float *out, const float *in) /* 0 before 1 before 2, by two masks */
{
    SHARED(float, tile, [1]);
    unsigned lane = threadIdx.x;
    if (lane == 0) tile[0] = in[0];
    if (lane < 2) __syncwarp(3u);
    if (lane == 1 || lane == 2) __syncwarp(6u);
    if (lane == 2) out[0] = tile[0];
}

static void a_missing_syncwarp_is_found(void **)
{
    expect_report([] { run(warp_exchange<false>, 1, 64); }, {"`tile`", "no __syncthreads or __syncwarp between them"});
    expect_well([] { run(warp_exchange<true>, 1, 64); });
    expect_report([] { run(shuffle_is_no_barrier, 1, 64); }, {"`tile`", "no __syncthreads or __syncwarp"});
    expect_report([] { run(other_warp, 1, 64); }, {"`tile`", "no __syncthreads between them"});
    expect_report([] { run(half_mask, 1, 32); }, {"`tile`", "no __syncthreads or __syncwarp"});
    expect_well([] { run(halves_apart, 1, 32); });
    expect_well([] { run(through_a_third, 1, 32); });
}

/* ---- blocks ------------------------------ */
static __global__ void same_output(float *out, const float *in) { out[threadIdx.x] = in[threadIdx.x]; }
static __global__ void own_output(float *out, const float *in)
{
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = in[i] + in[0]; /* all may read */
}
static __global__ void neighbours_output(float *out, const float *)
{
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    out[i] = 1;
    __syncthreads(); /* is of the block alone */
    out[2048 + i] = out[(i + blockDim.x) % (gridDim.x * blockDim.x)];
}
static __global__ void adds_floats(float *out, const float *in)
{
    if (threadIdx.x == 0) out[0] += in[blockIdx.x];
}
static __global__ void counts(float *out, const float *) { atomicAdd(reinterpret_cast<int *>(out), 1); }
static __global__ void counts_and_reads(float *out, const float *)
{
    int *count = reinterpret_cast<int *>(out);
    atomicAdd(count, 1);
    if (threadIdx.x == 0 && *count == 64) count[1] = 1;
}

static void blocks_that_touch_the_same_memory_are_found(void **)
{
    expect_report([] { run(same_output, 2, 32); },
                  {"of block 2 (16384 bytes) of cuda:0", "write by thread (", "of block (0,0,0)", "of block (1,0,0)",
                   "nothing orders two blocks of one launch", "test_races.cpp:"});
    expect_well([] { run(own_output, 4, 32); });
    expect_report([] { run(neighbours_output, 4, 32); }, {"write by", "read by", "two blocks of one launch"});
    expect_report([] { run(adds_floats, 3, 32); }, {"two blocks of one launch"});
    expect_well([] { run(counts, 3, 32); });
    expect_report([] { run(counts_and_reads, 2, 32); }, {"atomic by thread", "read by thread"});
}

/* ---- sizes ------------------------------ */
template <typename T> static __global__ void neighbours(float *out, const float *)
{
    T *p = reinterpret_cast<T *>(out);
    p[blockIdx.x * blockDim.x + threadIdx.x] = T();
}
static __global__ void wide_over_narrow(float *out, const float *)
{
    if (blockIdx.x == 0)
        reinterpret_cast<float4 *>(out)[threadIdx.x] = make_float4(1, 2, 3, 4);
    else
        reinterpret_cast<unsigned char *>(out)[threadIdx.x * 16 + 13] = 1;
}

static void each_byte_counts(void **)
{
    expect_well([] { run(neighbours<unsigned char>, 3, 33); });
    expect_well([] { run(neighbours<short>, 3, 33); });
    expect_well([] { run(neighbours<double>, 3, 33); });
    expect_well([] { run(neighbours<float4>, 3, 33); });
    expect_report([] { run(wide_over_narrow, 2, 32); }, {"write by", "block (0,0,0)", "block (1,0,0)"});
}

/* ---- tensor cores ------------------------------ */
template <bool BARRIER> static __global__ void copies_to_others(float *out, const float *in)
{
    SHARED(float, tile, [256]);
    copy_async(tile + 4 * threadIdx.x, in + 4 * threadIdx.x, 16);
    copy_commit();
    copy_wait<0>(); /* of its own copies alone */
    if (BARRIER) __syncthreads();
    out[threadIdx.x] = tile[255 - threadIdx.x];
}
template <bool BARRIER> static __global__ void refills_what_is_read(float *out, const float *in)
{
    SHARED(float, tile, [256]);
    tile[4 * threadIdx.x] = 1;
    __syncthreads();
    float kept = tile[4 * (63 - threadIdx.x)];
    if (BARRIER) __syncthreads();
    copy_async(tile + 4 * threadIdx.x, in + 4 * threadIdx.x, 12); /* may be written from here on */
    copy_commit();
    copy_wait<0>();
    out[threadIdx.x] = kept;
}
template <bool BARRIER> static __global__ void loads_matrices(float *out, const float *)
{
    SHARED(uint4, tile, [32]);
    uint32_t a[4];
    tile[threadIdx.x] = make_uint4(1, 2, 3, 4);
    if (BARRIER) __syncwarp();
    load_matrices(a, &tile[threadIdx.x ^ 1]);
    out[threadIdx.x] = (float)a[0];
}

static void copies_and_matrix_loads_are_accesses(void **)
{
    expect_report([] { run(copies_to_others<false>, 1, 64); },
                  {"`tile`", "write by thread", "read by thread", "test_races.cpp:", "no __syncthreads"});
    expect_well([] { run(copies_to_others<true>, 1, 64); });
    expect_report([] { run(refills_what_is_read<false>, 1, 64); },
                  {"`tile`", "write by", "read by", "test_races.cpp:"});
    expect_well([] { run(refills_what_is_read<true>, 1, 64); });
    expect_report([] { run(loads_matrices<false>, 1, 32); }, {"`tile`", "write by", "read by", "__syncwarp"});
    expect_well([] { run(loads_matrices<true>, 1, 32); });
}

/* ---- launches, and the emulator's own accesses ------------------------------ */
static void two_launches()
{
    run(same_output, 1, 32);
    for (int i = 0; i < 3; i++) launch(same_output, 1, 32, 0, s, y, (const float *)x);
    stream_sync(s);
}
static __global__ void reads_by_the_emulator(float *out, const float *)
{
    SHARED(float, tile, [32]);
    tile[threadIdx.x] = 1;
    emu::note_access(&tile[threadIdx.x ^ 1], sizeof *tile, emu::AccessKind::READ, __builtin_return_address(0));
    out[threadIdx.x] = 1;
}

static void launches_are_ordered_and_what_no_compiler_sees_can_be_told(void **)
{
    expect_well(two_launches);
    expect_report([] { run(reads_by_the_emulator, 1, 32); }, {"`tile`", "no __syncthreads or __syncwarp"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_syncthreads_is_found),
        cmocka_unit_test(a_missing_syncwarp_is_found),
        cmocka_unit_test(blocks_that_touch_the_same_memory_are_found),
        cmocka_unit_test(each_byte_counts),
        cmocka_unit_test(copies_and_matrix_loads_are_accesses),
        cmocka_unit_test(launches_are_ordered_and_what_no_compiler_sees_can_be_told),
    };
    return cmocka_run_group_tests(tests, nullptr, nullptr);
}
