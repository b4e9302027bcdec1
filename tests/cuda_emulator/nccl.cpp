/* NCCL as hone calls it, among the ranks of MPI: calls are queued on the stream like kernels, begin when they are first
 * in it and all they wait for there is done, and are done when all ranks' messages are here; nobody waits for them but
 * who synchronises. What the real one leaves to hang or to garbage is reported: ranks whose calls do not match, a wait
 * without end. Sums begin behind the owner and end with it, as a ring's do: who counts on the order of the ranks is
 * found out. Errors of arguments have the codes of the real one.
 *
 *   HONE_EMU_NCCL_LIMIT=S       report a wait of so many seconds (100)
 *   HONE_EMU_NCCL_FAIL=R:N      call N (from 1) of rank R's communicator is lost: an asynchronous error
 *   HONE_EMU_NCCL_HANG=R:N      call N of rank R never ends, and nothing says so */
#ifdef HONE_NCCL
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

#include "tests/cuda_emulator/nccl_work.h"

using namespace emu;
using namespace nccl;

namespace
{

/* ---- calls ------------------------------ */
thread_local int group_depth;
thread_local std::vector<std::pair<ncclComm *, Part>> group;
thread_local std::string last_text;

ncclResult_t fails(ncclResult_t code, const std::string &text)
{
    last_text = text;
    return code;
}

void queue(ncclComm *c, std::vector<Part> parts)
{
    std::lock_guard<std::recursive_mutex> hold(emu::mutex);
    auto w = std::make_shared<Work>();
    w->comm = c, w->parts = std::move(parts), w->looked = std::chrono::steady_clock::now();
    w->first = c->calls + 1;
    c->calls += w->parts.size();
    Op op = {};
    op.kind = OpKind::COLLECTIVE;
    op.gets_on = [w] { return gets_on(w.get()); };
    for (Part &p : w->parts) {
        if (is_collective(p)) p.header.number = ++c->collectives;
        op.name += (op.name.empty() ? "" : "; ") + text_of(p.header);
    }
    enqueue(c->stream, std::move(op));
}

size_t size_of(ncclDataType_t type)
{
    static const size_t sizes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2, 1, 1};
    return (unsigned)type < sizeof sizes / sizeof *sizes ? sizes[type] : 0;
}

/* sends, receives: elements, of which a range must be device memory; 0: the pointer is not looked at. */
ncclResult_t call(Kind kind, const void *send, size_t sends, void *receive, size_t receives, size_t count,
                  ncclDataType_t type, ncclRedOp_t op, int root, ncclComm *c, cudaStream_t stream)
{
    size_t size = size_of(type);
    const char *name = names[(int)kind];
    if (!c) return fails(ncclInvalidArgument, std::string(name) + ": the communicator is NULL");
    if (!size) return fails(ncclInvalidArgument, std::string(name) + ": no such type");
    if (root < 0 || root >= c->size) return fails(ncclInvalidArgument, std::string(name) + ": no such rank");
    if (c->error) return fails((ncclResult_t)c->error.load(), std::string(name) + ": the communicator has failed");
    if (!count) return ncclSuccess;
    cudaStream_t s = stream_of(stream);
    if (s->device != c->device)
        return fails(ncclInvalidArgument, std::string(name) + ": a stream of another device than the communicator's");
    if (c->stream && c->stream != s) report("%s: calls of one communicator on two streams: their order is open", name);
    if (kind <= Kind::REDUCE && ((type != ncclFloat32 && type != ncclFloat64) || op != ncclSum))
        report("%s: the emulated NCCL adds f32 and f64 alone", name);
    {
        std::lock_guard<std::recursive_mutex> hold(emu::mutex);
        int device = c->device;
        if (sends) memory_check_range(send, sends * size, name);
        if (receives) memory_check_range(receive, receives * size, name);
        if ((sends && memory_is_device(send, &device) && device != c->device) ||
            (receives && memory_is_device(receive, &device) && device != c->device))
            report("%s: memory of cuda:%d, a communicator of cuda:%d", name, device, c->device);
    }
    c->stream = s;
    Part p = {{kind, root, count, size, 0}, static_cast<const char *>(send), static_cast<char *>(receive), {}};
    if (group_depth) group.emplace_back(c, std::move(p));
    else {
        std::vector<Part> alone;
        alone.push_back(std::move(p));
        queue(c, std::move(alone));
    }
    return ncclSuccess;
}

struct Member {
    ncclUniqueId id;
    char host[64];
    int rank, device;
};

ncclResult_t meet(ncclComm *c, const ncclUniqueId &id)
{
    int initialized = 0, world = 0;
    MPI_Initialized(&initialized);
    if (!initialized) report("the emulated NCCL needs MPI among ranks, which was not started");
    MPI_Comm_size(MPI_COMM_WORLD, &world);
    if (world != c->size) report("the emulated NCCL has all %d ranks in a communicator, not %d", world, c->size);
    MPI_Comm_dup(MPI_COMM_WORLD, &c->mpi);
    std::vector<Member> all((size_t)c->size);
    Member mine = {id, "", c->rank, c->device};
    gethostname(mine.host, sizeof mine.host - 1);
    MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all.data(), sizeof mine, MPI_BYTE, c->mpi);
    for (int a = 0; a < c->size; a++) {
        if (memcmp(&all[(size_t)a].id, &id, sizeof id)) report("ncclCommInitRank: rank %d has another id", a);
        if (all[(size_t)a].rank != a) report("ncclCommInitRank: rank %d calls itself %d", a, all[(size_t)a].rank);
        for (int b = 0; b < a; b++)
            if (all[(size_t)a].device == all[(size_t)b].device && !strcmp(all[(size_t)a].host, all[(size_t)b].host))
                return fails(ncclInvalidUsage, "Duplicate GPU detected : rank " + std::to_string(b) + " and rank " +
                                                   std::to_string(a) + " both on CUDA device " +
                                                   std::to_string(all[(size_t)a].device));
    }
    return ncclSuccess;
}

} // namespace

extern "C" {

ncclResult_t ncclGetVersion(int *version)
{
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *id)
{
    static int made;
    memset(id, 0, sizeof *id);
    snprintf(id->internal, sizeof id->internal, "emulated %d %d", (int)getpid(), ++made);
    return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int size, ncclUniqueId id, int rank)
{
    static std::vector<ncclComm *> &all = *new std::vector<ncclComm *>; /* queued work may be of an aborted one */
    *comm = nullptr;
    if (size < 1 || rank < 0 || rank >= size) return fails(ncclInvalidArgument, "Invalid rank requested");
    ncclComm *c = new ncclComm{rank, size, current_device, MPI_COMM_NULL, 0, 0, nullptr, {false}, {ncclSuccess}};
    all.push_back(c);
    ncclResult_t result = size > 1 ? meet(c, id) : ncclSuccess;
    if (result == ncclSuccess) *comm = c;
    return result;
}

ncclResult_t ncclCommDestroy(ncclComm_t c)
{
    if (!c) return ncclInvalidArgument;
    std::lock_guard<std::recursive_mutex> hold(emu::mutex);
    if (c->stream) run_stream(c->stream);
    if (c->mpi != MPI_COMM_NULL) MPI_Comm_free(&c->mpi);
    return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t c) /* takes no mutex: who waits holds it */
{
    if (!c) return ncclInvalidArgument;
    c->aborted = true;
    return ncclSuccess;
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t c, ncclResult_t *error)
{
    *error = (ncclResult_t)c->error.load();
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t code)
{
    switch (code) {
    case ncclSuccess:
        return "no error";
    case ncclInvalidArgument:
        return "invalid argument (run with NCCL_DEBUG=WARN for details)";
    case ncclInvalidUsage:
        return "invalid usage (run with NCCL_DEBUG=WARN for details)";
    case ncclRemoteError:
        return "remote process exited or there was a network error";
    default:
        return "unhandled system error (run with NCCL_DEBUG=INFO for details)";
    }
}

const char *ncclGetLastError(ncclComm_t) { return last_text.c_str(); }

ncclResult_t ncclGroupStart(void)
{
    group_depth++;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
    if (!group_depth) return fails(ncclInvalidUsage, "ncclGroupEnd: not in a group call.");
    if (--group_depth) return ncclSuccess;
    std::vector<std::pair<ncclComm *, Part>> calls = std::move(group);
    group.clear();
    while (!calls.empty()) { /* a communicator at a time */
        ncclComm *c = calls[0].first;
        std::vector<Part> parts;
        std::vector<std::pair<ncclComm *, Part>> others;
        for (auto &entry : calls)
            if (entry.first == c) parts.push_back(std::move(entry.second));
            else others.push_back(std::move(entry));
        queue(c, std::move(parts));
        calls = std::move(others);
    }
    return ncclSuccess;
}

ncclResult_t ncclAllReduce(const void *send, void *receive, size_t count, ncclDataType_t type, ncclRedOp_t op,
                           ncclComm_t c, cudaStream_t s)
{
    return call(Kind::ALL_REDUCE, send, count, receive, count, count, type, op, 0, c, s);
}

ncclResult_t ncclReduceScatter(const void *send, void *receive, size_t count, ncclDataType_t type, ncclRedOp_t op,
                               ncclComm_t c, cudaStream_t s)
{
    return call(Kind::REDUCE_SCATTER, send, c ? count * (size_t)c->size : 0, receive, count, count, type, op, 0, c, s);
}

ncclResult_t ncclReduce(const void *send, void *receive, size_t count, ncclDataType_t type, ncclRedOp_t op, int root,
                        ncclComm_t c, cudaStream_t s)
{
    return call(Kind::REDUCE, send, count, receive, c && c->rank == root ? count : 0, count, type, op, root, c, s);
}

ncclResult_t ncclAllGather(const void *send, void *receive, size_t count, ncclDataType_t type, ncclComm_t c,
                           cudaStream_t s)
{
    return call(Kind::ALL_GATHER, send, count, receive, c ? count * (size_t)c->size : 0, count, type, ncclSum, 0, c, s);
}

ncclResult_t ncclBroadcast(const void *send, void *receive, size_t count, ncclDataType_t type, int root, ncclComm_t c,
                           cudaStream_t s)
{
    return call(Kind::BROADCAST, send, c && c->rank == root ? count : 0, receive, count, count, type, ncclSum, root, c,
                s);
}

ncclResult_t ncclSend(const void *send, size_t count, ncclDataType_t type, int peer, ncclComm_t c, cudaStream_t s)
{
    return call(Kind::SEND, send, count, nullptr, 0, count, type, ncclSum, peer, c, s);
}

ncclResult_t ncclRecv(void *receive, size_t count, ncclDataType_t type, int peer, ncclComm_t c, cudaStream_t s)
{
    return call(Kind::RECV, nullptr, 0, receive, count, count, type, ncclSum, peer, c, s);
}

} // extern "C"
#endif
