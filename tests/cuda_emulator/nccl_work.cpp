/* nccl_work.h: messages of MPI between each two ranks, begun when the call is first in its stream, and results when all
 * are here. */
#ifdef HONE_NCCL
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/cuda_emulator/nccl_work.h"

using namespace emu;

namespace nccl
{

const char *const names[] = {"ncclAllReduce", "ncclReduceScatter", "ncclReduce", "ncclAllGather",
                             "ncclBroadcast", "ncclSend",          "ncclRecv"};
enum { TAG_COLLECTIVE, TAG_PAIR };

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

static double seconds_of(const char *name, double otherwise)
{
    const char *text = getenv(name);
    return text ? atof(text) : otherwise;
}

/* "R:N" names this call. */
static bool is_named(const char *variable, const Work &w)
{
    int rank;
    unsigned long long number;
    const char *text = getenv(variable);
    return text && sscanf(text, "%d:%llu", &rank, &number) == 2 && rank == w.comm->rank && number >= w.first &&
           number < w.first + w.parts.size();
}

/* ---- messages ------------------------------ */
/* What `peer` gets of this call: where, and how many elements. */
static const char *outgoing(const ncclComm *c, const Part &p, int peer, size_t *count)
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

static void post(Work *w, const Part &p, int peer, int tag)
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

static bool expects(const ncclComm *c, const Part &p, int peer)
{
    return is_collective(p) ? peer != c->rank : p.header.kind == Kind::RECV && peer == p.header.root && peer != c->rank;
}

static void begin(Work *w)
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

static void check(const ncclComm *c, const Part &p, int peer, const Message &m)
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
static bool receive(Work *w)
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
static void add_up(const ncclComm *c, const Part &p, int owner, char *to, size_t begin, size_t end, size_t skip)
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

static const char *bytes_of(const ncclComm *c, const Part &p, int rank)
{
    return rank == c->rank ? p.send : p.from[(size_t)rank].data.data() + sizeof p.header;
}

static void finish_part(const Work &w, const Part &p)
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
static void finish_own(Work *w)
{
    std::vector<Part *> sends, receives;
    for (Part &p : w->parts)
        if (!is_collective(p) && p.header.root == w->comm->rank)
            (p.header.kind == Kind::SEND ? sends : receives).push_back(&p);
    if (sends.size() != receives.size()) report("ncclSend to the own rank without ncclRecv in the same group");
    for (size_t i = 0; i < sends.size(); i++)
        memmove(receives[i]->receive, sends[i]->send, sends[i]->header.count * sends[i]->header.size);
}

static void check_wait(Work *w)
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

} // namespace nccl
#endif
