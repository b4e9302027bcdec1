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
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

#define OMPI_SKIP_MPICXX
#include <mpi.h>
#include <nccl.h>
#include <unistd.h>

#include "tests/cuda_emulator/stream.h"

using namespace emu;

struct ncclComm {
    int rank, size, device;
    MPI_Comm mpi;
    uint64_t calls, collectives; /* queued so far */
    cudaStream_t stream;         /* of its calls: always the same */
    std::atomic<bool> aborted;
    std::atomic<int> error;
};

namespace
{

enum class Kind { ALL_REDUCE, REDUCE_SCATTER, REDUCE, ALL_GATHER, BROADCAST, SEND, RECV };
const char *const names[] = {"ncclAllReduce", "ncclReduceScatter", "ncclReduce", "ncclAllGather",
                             "ncclBroadcast", "ncclSend",          "ncclRecv"};
enum { TAG_COLLECTIVE, TAG_PAIR };

/* What each message begins with. */
struct Header {
    Kind kind;
    int root;
    size_t count, size; /* elements, bytes of one */
    uint64_t number;    /* of a collective */
};

struct Message {
    std::vector<char> data;
    MPI_Message matched;
    MPI_Request request;
    enum { WAITED_FOR, ARRIVING, HERE } state;
};

struct Part { /* one call */
    Header header;
    const char *send;
    char *receive;
    std::vector<Message> from; /* [size] */
};

/* The calls of a group on one communicator, or one alone. */
struct Work {
    ncclComm *comm;
    std::vector<Part> parts;
    uint64_t first; /* number of its first call */
    bool begun, done;
    std::vector<std::vector<char>> out;
    std::vector<MPI_Request> requests;
    double waited;
    std::chrono::steady_clock::time_point looked;
};

bool is_collective(const Part &p) { return p.header.kind != Kind::SEND && p.header.kind != Kind::RECV; }

std::string text_of(const Header &h)
{
    char text[120];
    int length = snprintf(text, sizeof text, "%s of %zu * %zu bytes", names[(int)h.kind], h.count, h.size);
    if (h.kind >= Kind::SEND || h.kind == Kind::REDUCE || h.kind == Kind::BROADCAST)
        snprintf(text + length, sizeof text - (size_t)length, "%s %d",
                 h.kind == Kind::SEND   ? " to"
                 : h.kind == Kind::RECV ? " from"
                                        : ", root",
                 h.root);
    return text;
}

double seconds_of(const char *name, double otherwise)
{
    const char *text = getenv(name);
    return text ? atof(text) : otherwise;
}

/* "R:N" names this call. */
bool is_named(const char *variable, const Work &w)
{
    int rank;
    unsigned long long number;
    const char *text = getenv(variable);
    return text && sscanf(text, "%d:%llu", &rank, &number) == 2 && rank == w.comm->rank && number >= w.first &&
           number < w.first + w.parts.size();
}

/* ---- messages ------------------------------ */
/* What `peer` gets of this call: where, and how many elements. */
const char *outgoing(const ncclComm *c, const Part &p, int peer, size_t *count)
{
    const Header &h = p.header;
    *count = h.count;
    switch (h.kind) {
    case Kind::REDUCE_SCATTER:
        return p.send + (size_t)peer * h.count * h.size;
    case Kind::REDUCE:
        if (peer != h.root) *count = 0;
        return p.send;
    case Kind::BROADCAST:
        if (c->rank != h.root) *count = 0;
        return p.send;
    default:
        return p.send;
    }
}

void post(Work *w, const Part &p, int peer, int tag)
{
    size_t count;
    const char *data = outgoing(w->comm, p, peer, &count);
    w->out.emplace_back(sizeof p.header + count * p.header.size);
    std::vector<char> &m = w->out.back();
    memcpy(m.data(), &p.header, sizeof p.header);
    if (count) memcpy(m.data() + sizeof p.header, data, count * p.header.size);
    w->requests.emplace_back();
    /* synchronous: done when it is taken, so calls that wait for each other crosswise do so here too */
    MPI_Issend(m.data(), (int)m.size(), MPI_BYTE, peer, tag, w->comm->mpi, &w->requests.back());
}

bool expects(const ncclComm *c, const Part &p, int peer)
{
    return is_collective(p) ? peer != c->rank : p.header.kind == Kind::RECV && peer == p.header.root && peer != c->rank;
}

void begin(Work *w)
{
    w->begun = true;
    for (Part &p : w->parts) {
        p.from.resize((size_t)w->comm->size);
        for (Message &m : p.from) m.state = Message::WAITED_FOR;
        for (int peer = 0; peer < w->comm->size; peer++)
            if (peer != w->comm->rank && (is_collective(p) || (p.header.kind == Kind::SEND && peer == p.header.root)))
                post(w, p, peer, is_collective(p) ? TAG_COLLECTIVE : TAG_PAIR);
    }
}

void check(const ncclComm *c, const Part &p, int peer, const Message &m)
{
    Header theirs;
    memcpy(&theirs, m.data.data(), sizeof theirs);
    const Header &mine = p.header;
    bool fits = theirs.count == mine.count && theirs.size == mine.size;
    if (is_collective(p)) fits = fits && theirs.kind == mine.kind && theirs.root == mine.root;
    if (!fits)
        report("NCCL would hang or give garbage: rank %d's call is %s, rank %d's is %s (collective %llu here, %llu "
               "there)",
               c->rank, text_of(mine).c_str(), peer, text_of(theirs).c_str(), (unsigned long long)mine.number,
               (unsigned long long)theirs.number);
}

/* Messages of one pair come in the order of its calls. True: all are here. */
bool receive(Work *w)
{
    bool complete = true;
    for (int peer = 0; peer < w->comm->size; peer++)
        for (int tag : {TAG_COLLECTIVE, TAG_PAIR})
            for (Part &p : w->parts) {
                if (!expects(w->comm, p, peer) || is_collective(p) != (tag == TAG_COLLECTIVE)) continue;
                Message &m = p.from[(size_t)peer];
                int flag = 0, bytes;
                MPI_Status status;
                if (m.state == Message::WAITED_FOR) {
                    MPI_Improbe(peer, tag, w->comm->mpi, &flag, &m.matched, &status);
                    if (!flag) {
                        complete = false;
                        break;
                    }
                    MPI_Get_count(&status, MPI_BYTE, &bytes);
                    m.data.resize((size_t)bytes);
                    MPI_Imrecv(m.data.data(), bytes, MPI_BYTE, &m.matched, &m.request);
                    m.state = Message::ARRIVING;
                }
                if (m.state == Message::ARRIVING) {
                    MPI_Test(&m.request, &flag, MPI_STATUS_IGNORE);
                    if (flag) m.state = Message::HERE, check(w->comm, p, peer, m);
                    else complete = false;
                }
            }
    return complete;
}

/* ---- results ------------------------------ */
/* to[begin, end): behind the owner first, the owner last. skip: elements of the own array. */
template <typename T>
void add_up(const ncclComm *c, const Part &p, int owner, char *to, size_t begin, size_t end, size_t skip)
{
    for (size_t i = begin; i < end; i++) {
        T sum = 0, x;
        for (int k = 1; k <= c->size; k++) {
            int rank = (owner + k) % c->size;
            const char *source =
                rank == c->rank ? p.send + skip * sizeof x : p.from[(size_t)rank].data.data() + sizeof p.header;
            memcpy(&x, source + i * sizeof x, sizeof x);
            sum = k == 1 ? x : sum + x;
        }
        memcpy(to + i * sizeof sum, &sum, sizeof sum);
    }
}

const char *bytes_of(const ncclComm *c, const Part &p, int rank)
{
    return rank == c->rank ? p.send : p.from[(size_t)rank].data.data() + sizeof p.header;
}

void finish_part(const Work &w, const Part &p)
{
    const ncclComm *c = w.comm;
    const Header &h = p.header;
    size_t n = h.count, ranks = (size_t)c->size, bytes = n * h.size;
    std::vector<char> sums(h.kind <= Kind::REDUCE ? bytes : 0); /* sources and results may be one array */
    auto *adds = h.size == sizeof(double) ? add_up<double> : add_up<float>;
    switch (h.kind) {
    case Kind::ALL_REDUCE:
        for (size_t r = 0; r < ranks; r++) adds(c, p, (int)r, sums.data(), n * r / ranks, n * (r + 1) / ranks, 0);
        break;
    case Kind::REDUCE_SCATTER:
        adds(c, p, c->rank, sums.data(), 0, n, (size_t)c->rank * n);
        break;
    case Kind::REDUCE:
        if (c->rank == h.root) adds(c, p, h.root, sums.data(), 0, n, 0);
        break;
    case Kind::ALL_GATHER:
        for (size_t r = 0; r < ranks; r++) memmove(p.receive + r * bytes, bytes_of(c, p, (int)r), bytes);
        break;
    case Kind::BROADCAST:
    case Kind::RECV:
        if (h.root != c->rank || h.kind == Kind::BROADCAST) memmove(p.receive, bytes_of(c, p, h.root), bytes);
        break;
    case Kind::SEND:
        break;
    }
    if (h.kind < Kind::REDUCE || (h.kind == Kind::REDUCE && c->rank == h.root)) memcpy(p.receive, sums.data(), bytes);
}

/* Sends to oneself find their receives in the same group. */
void finish_own(Work *w)
{
    std::vector<Part *> sends, receives;
    for (Part &p : w->parts)
        if (!is_collective(p) && p.header.root == w->comm->rank)
            (p.header.kind == Kind::SEND ? sends : receives).push_back(&p);
    if (sends.size() != receives.size()) report("ncclSend to the own rank without ncclRecv in the same group");
    for (size_t i = 0; i < sends.size(); i++)
        memmove(receives[i]->receive, sends[i]->send, sends[i]->header.count * sends[i]->header.size);
}

void check_wait(Work *w)
{
    auto now = std::chrono::steady_clock::now();
    double passed = std::chrono::duration<double>(now - w->looked).count();
    static const double limit = seconds_of("HONE_EMU_NCCL_LIMIT", 100);
    w->waited += passed < 0.1 ? passed : 0.1; /* while somebody looks */
    w->looked = now;
    if (w->waited < limit) return;
    std::string missing;
    for (int peer = 0; peer < w->comm->size; peer++)
        for (const Part &p : w->parts)
            if (p.from.size() && expects(w->comm, p, peer) && p.from[(size_t)peer].state == Message::WAITED_FOR) {
                missing += " " + std::to_string(peer);
                break;
            }
    report("a deadlock: rank %d has waited %g s in call %llu, %s%s%s", w->comm->rank, limit,
           (unsigned long long)w->first, text_of(w->parts[0].header).c_str(),
           missing.empty() ? ", which another rank does not take" : "; no call that fits of rank", missing.c_str());
}

/* True: done. */
bool gets_on(Work *w)
{
    if (w->done || w->comm->aborted) return w->done = true;
    if (is_named("HONE_EMU_NCCL_HANG", *w)) return false;
    if (is_named("HONE_EMU_NCCL_FAIL", *w)) {
        w->comm->error = ncclRemoteError;
        return false;
    }
    memory_unlock(w->comm->device);
    if (!w->begun) begin(w);
    int sent = 1;
    if (!w->requests.empty())
        MPI_Testall((int)w->requests.size(), w->requests.data(), &sent, MPI_STATUSES_IGNORE);
    if (receive(w) && sent) {
        for (const Part &p : w->parts)
            if (is_collective(p) || p.header.root != w->comm->rank) finish_part(*w, p);
        finish_own(w);
        memory_check_guards(w->comm->device, "NCCL");
        w->done = true;
    }
    memory_lock(w->comm->device);
    if (!w->done) check_wait(w);
    return w->done;
}

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
