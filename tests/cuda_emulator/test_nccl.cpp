/* The emulated NCCL: its results, and that it finds what the real one leaves to hang or to garbage. Each case is a run
 * of this program under mpirun, as `test_cuda_emulator_nccl child CASE`. */
#ifdef HONE_NCCL
#define OMPI_SKIP_MPICXX
#include <mpi.h>
#include <nccl.h>
#include <unistd.h>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/launch.cuh"
#include "tests/cuda_emulator/mpi_cases.h"

/* ---- in a rank ------------------------------ */
enum { SEEDS = 8, N = 1000 };
static int rank, ranks;
static ncclComm_t comm;
static Stream *queue, *compute;

#define REQUIRE(what)                                                                                                  \
    do {                                                                                                               \
        if (!(what)) fprintf(stderr, "rank %d: line %d: not so: %s\n", rank, __LINE__, #what), _exit(3);               \
    } while (0)

static float *device_floats(int64_t n)
{
    void *p = nullptr;
    REQUIRE(cudaMalloc(&p, (size_t)n * sizeof(float)) == cudaSuccess);
    return static_cast<float *>(p);
}

static __global__ void fill(float *x, int n, float value, int step)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) x[i] = value + (float)(i / step);
}

static void filled(Stream *s, float *x, int n, float value, int step)
{
    launch(fill, cuda_blocks(n, 64), 64, 0, s, x, n, value, step);
}

static std::vector<float> host_of(Stream *s, const float *x, int64_t n)
{
    std::vector<float> host((size_t)n);
    REQUIRE(cudaMemcpyAsync(host.data(), x, (size_t)n * sizeof(float), cudaMemcpyDeviceToHost, cuda_queue(s)) ==
            cudaSuccess);
    REQUIRE(cudaStreamSynchronize(cuda_queue(s)) == cudaSuccess);
    return host;
}

static ncclResult_t meet()
{
    char why[1024];
    ncclUniqueId id;
    int devices = 0;
    MPI_Init_thread(nullptr, nullptr, MPI_THREAD_MULTIPLE, &devices);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    REQUIRE(cudaGetDeviceCount(&devices) == cudaSuccess);
    REQUIRE(queue = stream_new_cuda(rank % devices, why));
    REQUIRE(compute = stream_new_cuda(rank % devices, why));
    if (!rank) REQUIRE(ncclGetUniqueId(&id) == ncclSuccess);
    MPI_Bcast(&id, sizeof id, MPI_BYTE, 0, MPI_COMM_WORLD);
    return ncclCommInitRank(&comm, ranks, id, rank);
}

/* 0 + 1 + … of what filled() gave each rank: value `rank` and a step. */
static float sum_at(int64_t i, int step) { return (float)(ranks * (ranks - 1) / 2) + (float)(ranks * (i / step)); }

static void reductions()
{
    cudaStream_t s = cuda_queue(queue);
    float *x = device_floats(ranks * N);
    filled(queue, x, ranks * N, (float)rank, 1);
    REQUIRE(ncclAllReduce(x, x, (size_t)(ranks * N), ncclFloat32, ncclSum, comm, s) == ncclSuccess);
    std::vector<float> y = host_of(queue, x, ranks * N);
    for (int i = 0; i < ranks * N; i++) REQUIRE(y[(size_t)i] == sum_at(i, 1));

    filled(queue, x, ranks * N, (float)rank, 1);
    REQUIRE(ncclReduceScatter(x, x + rank * N, N, ncclFloat32, ncclSum, comm, s) == ncclSuccess);
    y = host_of(queue, x, ranks * N);
    for (int i = 0; i < ranks * N; i++)
        REQUIRE(y[(size_t)i] == (i / N == rank ? sum_at(i, 1) : (float)(rank + i))); /* the rest is left alone */

    filled(queue, x, N, (float)rank, 1);
    REQUIRE(ncclReduce(x, x, N, ncclFloat32, ncclSum, 1, comm, s) == ncclSuccess);
    y = host_of(queue, x, N);
    for (int i = 0; i < N; i++) REQUIRE(y[(size_t)i] == (rank == 1 ? sum_at(i, 1) : (float)(rank + i)));
    cudaFree(x);
}

static void copies()
{
    cudaStream_t s = cuda_queue(queue);
    float *x = device_floats(ranks * N);
    filled(queue, x + rank * N, N, (float)rank, N);
    REQUIRE(ncclAllGather(x + rank * N, x, N, ncclFloat32, comm, s) == ncclSuccess);
    std::vector<float> y = host_of(queue, x, ranks * N);
    for (int i = 0; i < ranks * N; i++) REQUIRE(y[(size_t)i] == (float)(i / N));

    filled(queue, x, N, (float)rank, N);
    REQUIRE(ncclBroadcast(x, x, N * sizeof(float), ncclInt8, 1, comm, s) == ncclSuccess);
    REQUIRE(ncclBroadcast(x, x, 0, ncclFloat32, 0, comm, s) == ncclSuccess);
    REQUIRE(host_of(queue, x, N)[N - 1] == 1);
    cudaFree(x);
}

/* Everybody to everybody, in an order that would block without the group; one's own too. */
static void pairs_in_a_group()
{
    cudaStream_t s = cuda_queue(queue);
    float *x = device_floats(N), *y = device_floats(ranks * N);
    filled(queue, x, N, (float)rank, N);
    REQUIRE(ncclGroupStart() == ncclSuccess);
    for (int r = 0; r < ranks; r++) {
        REQUIRE(ncclSend(x, N, ncclFloat32, r, comm, s) == ncclSuccess);
        REQUIRE(ncclRecv(y + r * N, N, ncclFloat32, r, comm, s) == ncclSuccess);
    }
    REQUIRE(ncclGroupEnd() == ncclSuccess);
    std::vector<float> z = host_of(queue, y, ranks * N);
    for (int i = 0; i < ranks * N; i++) REQUIRE(z[(size_t)i] == (float)(i / N));
    cudaFree(x), cudaFree(y);
}

/* A sum whose rounding depends on its order is not that of the ranks 0, 1, 2, … */
static void a_ring_adds_behind_the_owner_first()
{
    static const float terms[] = {16777216, 1, -16777216};
    float *x = device_floats(ranks), mine = terms[rank % 3];
    for (int r = 0; r < ranks; r++) filled(queue, x + r, 1, mine, 1);
    REQUIRE(ncclAllReduce(x, x, (size_t)ranks, ncclFloat32, ncclSum, comm, cuda_queue(queue)) == ncclSuccess);
    std::vector<float> y = host_of(queue, x, ranks);
    if (ranks == 3) REQUIRE(y[0] == 1 && y[1] == 1 && y[2] == 0); /* from ranks 1, 2, 0 */
    cudaFree(x);
}

/* Two queues that marks order: compute fills, `queue` adds up, compute takes what came. */
static int ordered(bool before, bool after)
{
    const DeviceRanks *d = device_ranks_cuda();
    DeviceMark *filled_mark = d->mark_new(), *added = d->mark_new();
    int good = 0;
    float *x = device_floats(N), *y = device_floats(N);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        emu::set_seed(seed);
        REQUIRE(cudaMemsetAsync(x, 0, N * sizeof(float), cuda_queue(compute)) == cudaSuccess);
        REQUIRE(cudaStreamSynchronize(cuda_queue(compute)) == cudaSuccess);
        MPI_Barrier(MPI_COMM_WORLD);
        filled(compute, x, N, (float)rank, 1);
        d->mark_set(filled_mark, compute);
        if (before) d->mark_order(filled_mark, queue);
        REQUIRE(ncclAllReduce(x, x, N, ncclFloat32, ncclSum, comm, cuda_queue(queue)) == ncclSuccess);
        d->mark_set(added, queue);
        if (after) d->mark_order(added, compute);
        kernels_cuda()->copy(compute, y, x, N * sizeof(float));
        std::vector<float> z = host_of(compute, y, N);
        REQUIRE(cudaStreamSynchronize(cuda_queue(queue)) == cudaSuccess);
        bool right = true;
        for (int i = 0; i < N; i++) right &= z[(size_t)i] == sum_at(i, 1);
        good += right;
        MPI_Barrier(MPI_COMM_WORLD);
    }
    d->mark_free(filled_mark), d->mark_free(added);
    cudaFree(x), cudaFree(y);
    return good;
}

/* One rank is at another place on the host: nobody waits for a call but who synchronises. */
static void calls_do_not_wait()
{
    float *x = device_floats(N);
    filled(queue, x, N, (float)rank, 1);
    if (rank) MPI_Barrier(MPI_COMM_WORLD);
    REQUIRE(ncclAllReduce(x, x, N, ncclFloat32, ncclSum, comm, cuda_queue(queue)) == ncclSuccess);
    for (int i = 0; i < 50; i++) cudaStreamQuery(cuda_queue(queue));
    if (!rank) MPI_Barrier(MPI_COMM_WORLD);
    REQUIRE(host_of(queue, x, N)[5] == sum_at(5, 1));
    cudaFree(x);
}

static void well()
{
    REQUIRE(meet() == ncclSuccess);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        emu::set_seed(seed);
        reductions(), copies(), pairs_in_a_group(), a_ring_adds_behind_the_owner_first();
        if (seed) calls_do_not_wait(); /* 0: everything at once */
    }
    REQUIRE(ordered(true, true) == SEEDS);
}

static void arguments()
{
    cudaStream_t s = cuda_queue(queue);
    float *x = device_floats(N);
    REQUIRE(ncclAllReduce(x, x, N, ncclFloat32, ncclSum, nullptr, s) == ncclInvalidArgument);
    REQUIRE(ncclAllReduce(x, x, N, ncclNumTypes, ncclSum, comm, s) == ncclInvalidArgument);
    REQUIRE(ncclBroadcast(x, x, N, ncclFloat32, ranks, comm, s) == ncclInvalidArgument);
    REQUIRE(ncclSend(x, N, ncclFloat32, -1, comm, s) == ncclInvalidArgument);
    REQUIRE(strstr(ncclGetLastError(comm), "ncclSend: no such rank"));
    REQUIRE(ncclGroupEnd() == ncclInvalidUsage);
}

static void all_reduce(float *x, size_t count)
{
    REQUIRE(ncclAllReduce(x, x, count, ncclFloat32, ncclSum, comm, cuda_queue(queue)) == ncclSuccess);
}

static void finish() { REQUIRE(cudaStreamSynchronize(cuda_queue(queue)) == cudaSuccess); }

/* Prints what came of it. */
static int child(const std::string &name)
{
    if (name == "well") {
        well();
    } else if (name == "duplicate") {
        REQUIRE(meet() == ncclInvalidUsage);
        REQUIRE(!comm && strstr(ncclGetLastError(nullptr), "Duplicate GPU detected : rank 0 and rank 1"));
    } else {
        REQUIRE(meet() == ncclSuccess);
        float *x = device_floats(ranks * N);
        filled(queue, x, ranks * N, (float)rank, 1);
        if (name == "arguments") arguments();
        else if (name == "before") fprintf(stderr, "%d well\n", ordered(false, true));
        else if (name == "after") fprintf(stderr, "%d well\n", ordered(true, false));
        else if (name == "kinds" && rank)
            REQUIRE(ncclReduceScatter(x, x + rank * N, N, ncclFloat32, ncclSum, comm, cuda_queue(queue)) ==
                    ncclSuccess);
        else if (name == "kinds") all_reduce(x, N);
        else if (name == "count") all_reduce(x, rank ? N : N - 1);
        else if (name == "order") all_reduce(x, rank ? N : 2), all_reduce(x, rank ? 2 : N);
        else if (name == "missing" && !rank) all_reduce(x, N);
        else if (name == "missing") sleep(5);
        else if (name == "crosswise") {
            REQUIRE(ncclSend(x, N, ncclFloat32, 1 - rank, comm, cuda_queue(queue)) == ncclSuccess);
            REQUIRE(ncclRecv(x, N, ncclFloat32, 1 - rank, comm, cuda_queue(queue)) == ncclSuccess);
        } else if (name == "host") all_reduce(std::vector<float>(N).data(), N);
        else if (name == "short") all_reduce(device_floats(N), N + 1);
        else if (name == "streams") {
            all_reduce(x, N);
            ncclAllReduce(x, x, N, ncclFloat32, ncclSum, comm, cuda_queue(compute));
        } else if (name == "lost") {
            ncclResult_t error = ncclSuccess;
            all_reduce(x, N), finish(), all_reduce(x, N);
            while (!rank && error == ncclSuccess)
                cudaStreamQuery(cuda_queue(queue)), ncclCommGetAsyncError(comm, &error);
            REQUIRE(rank || error == ncclRemoteError);
            if (!rank) REQUIRE(ncclAllReduce(x, x, N, ncclFloat32, ncclSum, comm, cuda_queue(queue)) == error);
            REQUIRE(ncclCommAbort(comm) == ncclSuccess);
        }
        finish();
    }
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Finalize();
    return 0;
}

/* ---- the driver ------------------------------ */
#define TWO "HONE_EMU_DEVICES=2"

static void expect_report(const char *name, const char *words)
{
    const Case &c = outcome(name);
    if (c.well || c.text.find(words) == std::string::npos)
        fail_msg("%s: %s, no \"%s\" in: %s", name, c.well ? "went well" : "failed", words, c.text.c_str());
}

/* Each rank says how many seeds went well: not all, on one of them at least. */
static void expect_seeds_to_differ(const char *name)
{
    const Case &c = outcome(name);
    assert_true(c.well);
    for (size_t at = c.text.find(" well"); at != std::string::npos; at = c.text.find(" well", at + 1))
        if (c.text[at - 1] - '0' < SEEDS) return;
    fail_msg("%s: all seeds went well: %s", name, c.text.c_str());
}

static void collectives_give_what_they_promise(void **)
{
    expect_well("well");
}

static void wrong_arguments_have_the_codes_of_the_real_one(void **)
{
    expect_well("arguments");
    expect_well("duplicate");
}

static void a_missing_order_between_queues_shows(void **)
{
    expect_seeds_to_differ("before");
    expect_seeds_to_differ("after");
}

static void calls_that_do_not_match_are_reported(void **)
{
    expect_report("kinds", "call is ncclAllReduce of 1000 * 4 bytes");
    expect_report("count", "ncclAllReduce of 999 * 4 bytes");
    expect_report("order", "NCCL would hang or give garbage: rank");
}

static void a_wait_without_end_is_reported(void **)
{
    expect_report("missing", "a deadlock: rank 0 has waited 2 s in call 1, ncclAllReduce of 1000 * 4 bytes; no call "
                             "that fits of rank 1");
    expect_report("crosswise", "a deadlock: rank");
}

static void wrong_memory_and_streams_are_reported(void **)
{
    expect_report("host", "ncclAllReduce: ");
    expect_report("short", "ncclAllReduce: 4004 bytes, where block");
    expect_report("streams", "calls of one communicator on two streams");
}

static void a_lost_call_is_told_and_abort_frees_who_waits(void **) { expect_well("lost"); }

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collectives_give_what_they_promise),
        cmocka_unit_test(wrong_arguments_have_the_codes_of_the_real_one),
        cmocka_unit_test(a_missing_order_between_queues_shows),
        cmocka_unit_test(calls_that_do_not_match_are_reported),
        cmocka_unit_test(a_wait_without_end_is_reported),
        cmocka_unit_test(wrong_memory_and_streams_are_reported),
        cmocka_unit_test(a_lost_call_is_told_and_abort_frees_who_waits),
    };
    if (argc == 3 && !strcmp(argv[1], "child")) return child(argv[2]);
    self = argv[0];
    cases() = {{"well", 2, TWO},
               {"well", 3, "HONE_EMU_DEVICES=3"},
               {"arguments", 2, TWO},
               {"duplicate", 2, "HONE_EMU_DEVICES=1"},
               {"before", 2, TWO},
               {"after", 2, TWO},
               {"kinds", 2, TWO},
               {"count", 2, TWO},
               {"order", 2, TWO},
               {"missing", 2, TWO " HONE_EMU_NCCL_LIMIT=2"},
               {"crosswise", 2, TWO " HONE_EMU_NCCL_LIMIT=2"},
               {"host", 2, TWO},
               {"short", 2, TWO},
               {"streams", 2, TWO},
               {"lost", 2, TWO " HONE_EMU_NCCL_FAIL=0:2"}};
    return cmocka_run_group_tests(tests, start_cases, nullptr);
}
#else
int main() { return 0; }
#endif
