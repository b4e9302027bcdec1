/* NCCL's part of DeviceRanks (kernels/device.h).
 *
 * NCCL is opened when the first communicator is asked for, not linked: a program on one GPU then starts without it, and
 * runs where it is not installed. The emulator's is linked.
 *
 * A communicator is made in a thread that is given up after a time limit, and is a blocking one: NCCL's own way out, a
 * communicator that does not block, starts a thread for each later call, which costs more than the call. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>

#include "kernels/cuda/comm.cuh"

#ifdef HONE_NCCL
#include <nccl.h>

#define CALLS(CALL)                                                                                                    \
    CALL(AllGather) CALL(AllReduce) CALL(Broadcast) CALL(CommAbort) CALL(CommDestroy) CALL(CommGetAsyncError)          \
    CALL(CommInitRank) CALL(GetErrorString) CALL(GetLastError) CALL(GetUniqueId) CALL(GetVersion) CALL(GroupEnd)       \
    CALL(GroupStart) CALL(Recv) CALL(Reduce) CALL(ReduceScatter) CALL(Send)

struct Nccl {
#define DECLARED(name) decltype(&::nccl##name) name;
    CALLS(DECLARED)
#undef DECLARED
};

static bool open_nccl(Nccl *n, char why[DEVICE_WHY_BYTES])
{
#ifdef HONE_EMULATED
#define LINKED(name) n->name = ::nccl##name;
    CALLS(LINKED)
#undef LINKED
    (void)why;
    return true;
#else
    void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        snprintf(why, DEVICE_WHY_BYTES, "NCCL cannot be opened (%s)", dlerror());
        return false;
    }
    const char *missing = nullptr;
#define FOUND(name)                                                                                                    \
    n->name = reinterpret_cast<decltype(n->name)>(dlsym(library, "nccl" #name));                                       \
    if (!n->name) missing = #name;
    CALLS(FOUND)
#undef FOUND
    if (missing) snprintf(why, DEVICE_WHY_BYTES, "libnccl.so.2 has no nccl%s: it is too old", missing);
    return !missing;
#endif
}

static const Nccl *nccl(char why[DEVICE_WHY_BYTES])
{
    static Nccl opened;
    static bool is_open;
    Nccl found;
    if (!is_open && (is_open = open_nccl(&found, why))) opened = found;
    return is_open ? &opened : nullptr;
}

static int nccl_version(char why[DEVICE_WHY_BYTES])
{
    int version = 0;
    const Nccl *n = nccl(why);
    if (n && n->GetVersion(&version) != ncclSuccess) snprintf(why, DEVICE_WHY_BYTES, "NCCL does not say its version");
    return version;
}

struct DeviceComm {
    const Nccl *n;
    ncclComm_t comm;
    Stream *queue;
    int rank, size;
    bool aborted; /* atomic */
};

/* "NCCL: what: error (details)" */
static void explain(const Nccl *n, ncclComm_t comm, ncclResult_t result, const char *what, char *text, size_t bytes)
{
    const char *details = n->GetLastError(comm);
    bool has_details = details && *details;
    snprintf(text, bytes, "NCCL: %s%s%s%s%s", what, n->GetErrorString(result), has_details ? " (" : "",
             has_details ? details : "", has_details ? ")" : "");
}

/* Keeps a failure in the queue; nothing follows it there. */
static void told(DeviceComm *c, ncclResult_t result, const char *what)
{
    char text[sizeof c->queue->message];
    if (result == ncclSuccess || result == ncclInProgress) return;
    explain(c->n, c->comm, result, what, text, sizeof text);
    stream_set_failed(c->queue, text);
}

static bool can_go_on(const DeviceComm *c)
{
    return !stream_has_failed(c->queue) && !__atomic_load_n(&c->aborted, __ATOMIC_SEQ_CST);
}

#define COMM_CALL(c, what, call)                                                                                       \
    do {                                                                                                               \
        if (can_go_on(c)) told(c, (c)->n->call, what ": ");                                                            \
    } while (0)

static bool comm_key(unsigned char key[DEVICE_COMM_KEY_BYTES], char why[DEVICE_WHY_BYTES])
{
    ncclUniqueId id;
    static_assert(sizeof id == DEVICE_COMM_KEY_BYTES, "a key is NCCL's id");
    const Nccl *n = nccl(why);
    if (!n) return false;
    ncclResult_t result = n->GetUniqueId(&id);
    if (result == ncclSuccess) memcpy(key, &id, sizeof id);
    else explain(n, nullptr, result, "a key: ", why, DEVICE_WHY_BYTES);
    return result == ncclSuccess;
}

/* What the thread that opens has: the last of the two who need it frees it. */
struct Opening {
    DeviceComm *c;
    ncclUniqueId id;
    int device;
    ncclResult_t result;
};

static void *open_main(void *argument)
{
    Opening *o = static_cast<Opening *>(argument);
    cudaSetDevice(o->device);
    o->result = o->c->n->CommInitRank(&o->c->comm, o->c->size, o->id, o->c->rank);
    return nullptr;
}

/* False: the thread hangs, and keeps what it was given. */
static bool open_in_time(Opening *o, double limit_s)
{
    pthread_t thread;
    sigset_t all, old;
    struct timespec until;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int failed = pthread_create(&thread, nullptr, open_main, o);
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
    if (failed) {
        open_main(o);
        return true;
    }
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += limit_s < 1 ? 1 : (time_t)limit_s;
    if (!pthread_timedjoin_np(thread, nullptr, &until)) return true;
    pthread_detach(thread);
    return false;
}

/* NCCL chooses by a model of the machine, so a choice may change with its version or a link's mood; a ring with whole
 * messages is what it takes for large arrays between few ranks. A choice of the user's own stands. */
static void pin_algorithm()
{
    setenv("NCCL_ALGO", "Ring", 0);
    setenv("NCCL_PROTO", "Simple", 0);
}

static DeviceComm *comm_open(Stream *queue, const unsigned char key[DEVICE_COMM_KEY_BYTES], int rank, int size,
                             double limit_s, char why[DEVICE_WHY_BYTES])
{
    pin_algorithm();
    const Nccl *n = nccl(why);
    if (!n) return nullptr;
    DeviceComm *c = static_cast<DeviceComm *>(calloc(1, sizeof *c));
    Opening *o = static_cast<Opening *>(calloc(1, sizeof *o));
    if (!c || !o) {
        snprintf(why, DEVICE_WHY_BYTES, "no host memory");
        free(c), free(o);
        return nullptr;
    }
    c->n = n, c->queue = queue, c->rank = rank, c->size = size;
    o->c = c, o->device = cuda_stream(queue)->device;
    memcpy(&o->id, key, sizeof o->id);
    if (!open_in_time(o, limit_s)) {
        snprintf(why, DEVICE_WHY_BYTES, "NCCL: the ranks did not meet within %.0f s", limit_s);
        return nullptr;
    }
    ncclResult_t result = o->result;
    free(o);
    if (result == ncclSuccess) return c;
    explain(n, nullptr, result, "meeting the other ranks: ", why, DEVICE_WHY_BYTES);
    free(c);
    return nullptr;
}

static void comm_group(DeviceComm *c) { COMM_CALL(c, "a group", GroupStart()); }
static void comm_group_end(DeviceComm *c) { COMM_CALL(c, "the end of a group", GroupEnd()); }

static void all_reduce(DeviceComm *c, float *data, int64_t n)
{
    COMM_CALL(c, "all-reduce",
              AllReduce(data, data, (size_t)n, ncclFloat32, ncclSum, c->comm, cuda_queue(c->queue)));
}

static void all_reduce_f64(DeviceComm *c, double *data, int64_t n)
{
    COMM_CALL(c, "all-reduce",
              AllReduce(data, data, (size_t)n, ncclFloat64, ncclSum, c->comm, cuda_queue(c->queue)));
}

static void reduce_scatter(DeviceComm *c, float *data, int64_t each)
{
    COMM_CALL(c, "reduce-scatter", ReduceScatter(data, data + c->rank * each, (size_t)each, ncclFloat32, ncclSum,
                                                 c->comm, cuda_queue(c->queue)));
}

static void reduce(DeviceComm *c, float *data, int64_t n, int root)
{
    COMM_CALL(c, "reduce",
              Reduce(data, data, (size_t)n, ncclFloat32, ncclSum, root, c->comm, cuda_queue(c->queue)));
}

static void all_gather(DeviceComm *c, float *data, int64_t each)
{
    COMM_CALL(c, "all-gather",
              AllGather(data + c->rank * each, data, (size_t)each, ncclFloat32, c->comm, cuda_queue(c->queue)));
}

static void broadcast(DeviceComm *c, float *data, int64_t n, int root)
{
    COMM_CALL(c, "broadcast",
              Broadcast(data, data, (size_t)n, ncclFloat32, root, c->comm, cuda_queue(c->queue)));
}

static void send(DeviceComm *c, const float *data, int64_t n, int to)
{
    COMM_CALL(c, "send", Send(data, (size_t)n, ncclFloat32, to, c->comm, cuda_queue(c->queue)));
}

static void receive(DeviceComm *c, float *data, int64_t n, int from)
{
    COMM_CALL(c, "receive", Recv(data, (size_t)n, ncclFloat32, from, c->comm, cuda_queue(c->queue)));
}

static bool comm_poll(DeviceComm *c, char why[DEVICE_WHY_BYTES])
{
    ncclResult_t error = ncclSuccess;
    if (__atomic_load_n(&c->aborted, __ATOMIC_SEQ_CST)) return true;
    ncclResult_t result = c->n->CommGetAsyncError(c->comm, &error);
    if (result == ncclSuccess) result = error;
    if (result == ncclSuccess || result == ncclInProgress) return true;
    explain(c->n, c->comm, result, "", why, DEVICE_WHY_BYTES);
    return false;
}

static void comm_abort(DeviceComm *c)
{
    if (!__atomic_exchange_n(&c->aborted, true, __ATOMIC_SEQ_CST)) c->n->CommAbort(c->comm);
}

static void comm_close(DeviceComm *c)
{
    if (c && !__atomic_load_n(&c->aborted, __ATOMIC_SEQ_CST)) c->n->CommDestroy(c->comm);
    free(c);
}

void cuda_comm_nccl_install(DeviceRanks *t)
{
    t->nccl_version = nccl_version, t->comm_key = comm_key;
    t->comm_open = comm_open, t->comm_group = comm_group, t->comm_group_end = comm_group_end;
    t->all_reduce = all_reduce, t->all_reduce_f64 = all_reduce_f64;
    t->reduce_scatter = reduce_scatter, t->reduce = reduce;
    t->all_gather = all_gather, t->broadcast = broadcast, t->send = send, t->receive = receive;
    t->comm_poll = comm_poll, t->comm_abort = comm_abort, t->comm_close = comm_close;
}

#else
static int nccl_version(char why[DEVICE_WHY_BYTES])
{
    snprintf(why, DEVICE_WHY_BYTES, "this program was built without NCCL's header");
    return 0;
}
static bool comm_key(unsigned char *, char *why) { return nccl_version(why) > 0; }

void cuda_comm_nccl_install(DeviceRanks *t) { t->nccl_version = nccl_version, t->comm_key = comm_key; }
#endif
