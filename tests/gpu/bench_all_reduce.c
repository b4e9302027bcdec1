/* How fast NCCL sums gradients over the devices of a job: mpirun -np N bench_all_reduce [full|toy], a rank each device.
 * Bus bandwidth is 2 (N - 1) / N of the bytes over the time: what each device's link carries at least. The sums are
 * compared with what they must be. */
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device.h"

typedef struct Job {
    int rank, size, local;
    const Kernels *k;
    Stream *s;
    const DeviceRanks *ranks;
    DeviceComm *comm;
} Job;

static void fail(const Job *job, const char *what)
{
    fprintf(stderr, "bench_all_reduce: rank %d: %s\n", job->rank, what);
    MPI_Abort(MPI_COMM_WORLD, 1);
}

static void open_job(Job *job)
{
    unsigned char key[DEVICE_COMM_KEY_BYTES];
    char why[DEVICE_WHY_BYTES] = "";
    MPI_Comm host;
    MPI_Comm_rank(MPI_COMM_WORLD, &job->rank), MPI_Comm_size(MPI_COMM_WORLD, &job->size);
    MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
    MPI_Comm_rank(host, &job->local);
    MPI_Comm_free(&host);
    if (!device_open(job->local, &job->k, &job->s, why)) fail(job, why);
    job->ranks = device_ranks(why);
    if (!job->ranks || !job->ranks->nccl_version(why)) fail(job, why);
    if (job->rank == 0 && !job->ranks->comm_key(key, why)) fail(job, why);
    MPI_Bcast(key, sizeof key, MPI_BYTE, 0, MPI_COMM_WORLD);
    job->comm = job->ranks->comm_open(job->s, key, job->rank, job->size, 60, why);
    if (!job->comm) fail(job, why);
}

/* Seconds of one all-reduce of n floats, `times` in a row; the slowest rank's. */
static double timed(const Job *job, float *data, int64_t n, int times)
{
    MPI_Barrier(MPI_COMM_WORLD);
    double t = MPI_Wtime();
    for (int i = 0; i < times; i++) job->ranks->all_reduce(job->comm, data, n);
    stream_sync(job->s);
    t = (MPI_Wtime() - t) / times;
    MPI_Allreduce(MPI_IN_PLACE, &t, 1, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    if (stream_failed(job->s)) fail(job, stream_message(job->s));
    return t;
}

/* Every rank gives rank + 1 everywhere. */
static void check_sums(const Job *job, float *data, int64_t n)
{
    float *host = malloc((size_t)n * sizeof *host);
    if (!host) fail(job, "no memory");
    for (int64_t i = 0; i < n; i++) host[i] = (float)(job->rank + 1);
    job->k->copy(job->s, data, host, (size_t)n * sizeof *host);
    timed(job, data, n, 1);
    job->k->copy(job->s, host, data, (size_t)n * sizeof *host);
    stream_sync(job->s);
    for (int64_t i = 0; i < n; i++)
        if (host[i] != (float)(job->size * (job->size + 1) / 2)) fail(job, "a sum is wrong");
    free(host);
}

int main(int argc, char **argv)
{
    bool toy = argc > 1 && !strcmp(argv[1], "toy");
    int64_t most = toy ? 1 << 10 : 1 << 27;
    Job job = {0};
    char why[DEVICE_WHY_BYTES] = "";
    MPI_Init(&argc, &argv);
    open_job(&job);
    float *data = stream_allocate(job.s, (size_t)most * sizeof *data);
    if (!data) fail(&job, "no memory on the device");
    check_sums(&job, data, toy ? most : 1 << 20);
    job.k->fill_zero(job.s, data, (size_t)most * sizeof *data);
    if (job.rank == 0) printf("%-23s %-14s %10s %9s\n", "all_reduce", "bytes a rank", "ms", "bus GB/s");
    for (int64_t n = toy ? most : 1 << 18; n <= most; n *= 8) {
        timed(&job, data, n, 2);
        double t = timed(&job, data, n, toy ? 1 : 20), bytes = 4.0 * (double)n;
        if (job.rank == 0)
            printf("%-23s %-14.0f %10.4f %9.2f\n", "all_reduce", bytes, t * 1e3,
                   2.0 * (job.size - 1) / job.size * bytes / t * 1e-9);
    }
    int version = job.ranks->nccl_version(why);
    if (job.rank == 0) printf("NCCL %d, %d ranks\n", version, job.size);
    job.ranks->comm_close(job.comm);
    stream_release(job.s, data);
    stream_free(job.s);
    MPI_Finalize();
    return 0;
}
