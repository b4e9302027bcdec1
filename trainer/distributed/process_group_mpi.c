/* The ranks that mpirun or srun started, through Open MPI. Its settings below were measured (4.1.4, one and three
 * hosts). */
#include <errno.h>
#include <inttypes.h>
#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "trainer/base/log.h"
#include "trainer/distributed/group_internal.h"

enum { FINALIZE_S = 10, CHUNK_BYTES = 1 << 30 /* counts are int */ };

typedef struct MpiGroup {
    ProcessGroup base;
    MPI_Comm comm;
    bool is_world;
    Fence fence; /* where ranks share memory */
} MpiGroup;

static const GroupOps MPI_OPS;

static MpiGroup *mpi(ProcessGroup *pg) { return (MpiGroup *)pg; }

MPI_Comm group_mpi_comm(const ProcessGroup *pg)
{
    return pg->ops == &MPI_OPS ? ((const MpiGroup *)pg)->comm : MPI_COMM_NULL;
}

static Status check(int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int size = 0;
    if (code == MPI_SUCCESS) return OK;
    MPI_Error_string(code, text, &size);
    return status_raise(STATUS_COMM, "%s among the ranks failed: %s; look for the first message of another rank", what,
                        text);
}

static Status mpi_barrier(ProcessGroup *pg)
{
    MpiGroup *g = mpi(pg);
    if (!g->fence.memory.of) return check(MPI_Barrier(g->comm), "waiting");
    fence_wait(&g->fence, pg->rank);
    return OK;
}

static Status mpi_broadcast(ProcessGroup *pg, void *data, size_t bytes, int root)
{
    Status st = OK;
    for (size_t at = 0; at < bytes && !st; at += CHUNK_BYTES) {
        size_t piece = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;
        st = check(MPI_Bcast((char *)data + at, (int)piece, MPI_BYTE, root, mpi(pg)->comm), "a broadcast");
    }
    return st;
}

static Status mpi_all_gather(ProcessGroup *pg, const void *mine, void *all, size_t bytes)
{
    char *own = (char *)all + (size_t)pg->rank * bytes;
    Status st = OK;
    if (mine != own) memmove(own, mine, bytes);
    if (bytes <= CHUNK_BYTES)
        return check(MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, all, (int)bytes, MPI_BYTE, mpi(pg)->comm),
                     "a gather");
    for (int r = 0; r < pg->size && !st; r++) st = mpi_broadcast(pg, (char *)all + (size_t)r * bytes, bytes, r);
    return st;
}

/* sizes as MPI's ints, in units of float where all allow it: offsets may then reach 8 GiB. */
static Status narrow(const size_t *sizes, int count, size_t unit, int *out)
{
    for (int i = 0; i < count; i++) {
        if (sizes[i] / unit > INT32_MAX)
            return status_raise(STATUS_BUG, "%zu bytes to one rank in one message", sizes[i]);
        out[i] = (int)(sizes[i] / unit);
    }
    return OK;
}

/* Pair by pair, so that nobody gets from two at once: on three hosts at 1 Gbit all at once took longer (congestion).
 * The displacements of MPI_Alltoallv are ints. */
static Status mpi_exchange(ProcessGroup *pg, const void *send, const size_t *send_bytes, const size_t *send_at,
                           void *receive, const size_t *receive_bytes, const size_t *receive_at)
{
    Status st = OK;
    int n = pg->size, out = 0, in = 0;
    for (int i = 1; i < n; i++) {
        int to = (pg->rank + i) % n, from = (pg->rank + n - i) % n;
        TRY(narrow(&send_bytes[to], 1, 1, &out));
        TRY(narrow(&receive_bytes[from], 1, 1, &in));
        TRY(check(MPI_Sendrecv((const char *)send + send_at[to], out, MPI_BYTE, to, 0,
                               (char *)receive + receive_at[from], in, MPI_BYTE, from, 0, mpi(pg)->comm,
                               MPI_STATUS_IGNORE),
                  "an exchange"));
    }
    if (send_bytes[pg->rank])
        memmove((char *)receive + receive_at[pg->rank], (const char *)send + send_at[pg->rank], send_bytes[pg->rank]);
done:
    return st;
}

static Status mpi_all_gather_parts(ProcessGroup *pg, void *data, const size_t *bytes, const size_t *at)
{
    Status st = OK;
    int n = pg->size, *sizes = malloc(2 * (size_t)n * sizeof *sizes);
    size_t unit = sizeof(float);

    if (!sizes) RAISE(MEMORY, "no memory to gather from %d ranks", n);
    for (int r = 0; r < n; r++)
        if (bytes[r] % sizeof(float) || at[r] % sizeof(float)) unit = 1;
    TRY(narrow(bytes, n, unit, sizes));
    TRY(narrow(at, n, unit, sizes + n));
    TRY(check(MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, data, sizes, sizes + n,
                             unit == 1 ? MPI_BYTE : MPI_FLOAT, mpi(pg)->comm),
              "a gather"));
done:
    free(sizes);
    return st;
}

static bool mpi_can_share(const ProcessGroup *pg) { return ((const MpiGroup *)pg)->fence.memory.of != NULL; }

static void mpi_abort(ProcessGroup *pg, int code)
{
    (void)pg;
    fflush(NULL);
    MPI_Abort(MPI_COMM_WORLD, code);
}

static void *finalize(void *unused)
{
    (void)unused;
    MPI_Finalize();
    return NULL;
}

/* MPI_Finalize waits for all ranks, for ever where mpirun is killing them: it gets a thread and a time limit. */
static void finalize_in_time(void)
{
    pthread_t thread;
    struct timespec until;
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&thread, NULL, finalize, NULL);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (failed) {
        MPI_Finalize();
        return;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FINALIZE_S;
    if (!pthread_timedjoin_np(thread, NULL, &until)) return;
    pthread_detach(thread);
    log_warning("the other ranks did not end within %d s", FINALIZE_S);
}

static void mpi_close(ProcessGroup *pg)
{
    MpiGroup *g = mpi(pg);
    if (g->fence.memory.of) fence_close(&g->fence);
    if (g->is_world)
        finalize_in_time();
    else
        MPI_Comm_free(&g->comm);
    free(g);
}

static Status mpi_duplicate(ProcessGroup *pg, ProcessGroup **out);
static Status mpi_share(ProcessGroup *pg, size_t bytes, SharedMemory *out) { return memory_share(pg, bytes, out); }

static const GroupOps MPI_OPS = {
    .name = "mpi",
    .duplicate = mpi_duplicate,
    .barrier = mpi_barrier,
    .broadcast = mpi_broadcast,
    .all_gather = mpi_all_gather,
    .exchange = mpi_exchange,
    .all_gather_parts = mpi_all_gather_parts,
    .can_share = mpi_can_share,
    .share = mpi_share,
    .abort = mpi_abort,
    .close = mpi_close,
};

static Status mpi_duplicate(ProcessGroup *pg, ProcessGroup **out)
{
    Status st = OK;
    MpiGroup *g = calloc(1, sizeof *g);
    *out = NULL;
    if (!g) RAISE(MEMORY, "no memory for a process group");
    g->base = *pg;
    TRY(check(MPI_Comm_dup(mpi(pg)->comm, &g->comm), "making a channel"));
    if (mpi_can_share(pg)) TRY(fence_open(&g->base, &g->fence));
    *out = &g->base;
    g = NULL;
done:
    free(g);
    return st;
}

/* mtl: the search for PSM and libfabric hardware is most of MPI_Init (230 ms, 20-45 without): left out where no such
 * device is there. yield: an idle MPI call then yields its core; the communication thread always shares cores with
 * computing threads, and oversubscribed ranks are 2000 times slower without. */
static void set_environment(void)
{
    static const char *const fabrics[] = {"/dev/hfi1_0", "/dev/ipath", "/dev/infiniband", "/dev/cxi0"};
    bool found = false;
    for (size_t i = 0; i < sizeof fabrics / sizeof *fabrics; i++) found |= !access(fabrics[i], F_OK);
    if (!found) setenv("OMPI_MCA_mtl", "^psm,psm2,ofi", 0);
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
}

static Status describe(MpiGroup *g)
{
    Status st = OK;
    MPI_Comm local = MPI_COMM_NULL;
    ProcessGroup *pg = &g->base;

    TRY(check(MPI_Comm_rank(g->comm, &pg->rank), "counting"));
    TRY(check(MPI_Comm_size(g->comm, &pg->size), "counting"));
    TRY(check(MPI_Comm_split_type(g->comm, MPI_COMM_TYPE_SHARED, pg->rank, MPI_INFO_NULL, &local), "counting"));
    TRY(check(MPI_Comm_rank(local, &pg->local_rank), "counting"));
    TRY(check(MPI_Comm_size(local, &pg->local_size), "counting"));
    if (gethostname(pg->host, sizeof pg->host - 1)) snprintf(pg->host, sizeof pg->host, "unknown host");
done:
    if (local != MPI_COMM_NULL) MPI_Comm_free(&local);
    return st;
}

/* All ranks on one host, HONE_SHM not 0 on any, and a first small segment works. */
static Status try_sharing(MpiGroup *g)
{
    const char *wish = getenv("HONE_SHM");
    int64_t no = g->base.local_size < g->base.size || (wish && !strcmp(wish, "0"));
    Status st = group_max_i64(&g->base, &no, 1);
    if (st || no || g->base.size == 1) return st;
    st = fence_open(&g->base, &g->fence);
    if (st == STATUS_MEMORY) log_debug("%s", status_message());
    return st == STATUS_MEMORY ? OK : st;
}

Status group_open_mpi(ProcessGroup **out)
{
    Status st = OK;
    int provided = 0, initialized = 0;
    MpiGroup *g = calloc(1, sizeof *g);

    if (!g) RAISE(MEMORY, "no memory for a process group");
    *g = (MpiGroup){.base.ops = &MPI_OPS, .comm = MPI_COMM_WORLD, .is_world = true};
    set_environment();
    MPI_Initialized(&initialized);
    if (!initialized) TRY(check(MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided), "starting MPI"));
    if (!initialized && provided < MPI_THREAD_MULTIPLE)
        RAISE(UNSUPPORTED, "this MPI has no MPI_THREAD_MULTIPLE; hone needs an Open MPI built with it");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    TRY(describe(g));
    TRY(try_sharing(g));
    *out = &g->base;
    g = NULL;
done:
    free(g);
    return st;
}
