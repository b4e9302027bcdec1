/* A cache of device memory (memory.cuh). Memory is had from the device in blocks, which pieces are cut from; a piece
 * that is given back is joined with its free neighbours and kept, so after the first step nothing is asked of the
 * device any more: cudaMalloc and cudaFree wait for all of its work. As all use is queued on one stream, a piece can
 * be handed out again at once. The smallest free piece that fits is taken. Small requests have blocks of their own,
 * lest one of them holds a large block that is to go back. When the device has no more, what is free goes back to it
 * and it is asked once more. (The scheme is that of PyTorch's CUDACachingAllocator.)
 *
 * Under emulation each piece lies between guards and is poisoned like memory from the device. */
#include <cstdio>
#include <new>
#include <set>
#include <unordered_map>

#include "kernels/cuda/memory.cuh"

static constexpr size_t ALIGNMENT = 256, BLOCK = 2 << 20, SMALL = 1 << 20;

namespace
{

struct Piece {
    char *at;
    size_t bytes;
    bool small; /* its block is one for small requests */
    bool taken;
    Piece *before, *behind; /* in the same block; NULL: its ends */
};

struct BySize {
    bool operator()(const Piece *a, const Piece *b) const
    {
        return a->small != b->small ? a->small : a->bytes != b->bytes ? a->bytes < b->bytes : a->at < b->at;
    }
};

struct Memory {
    std::set<Piece *, BySize> kept;
    std::unordered_map<void *, Piece *> taken;
    StreamMemory counts;
    char failure[200];
};

} // namespace

static Memory *memory_of(Stream *s)
{
    CudaStream *c = cuda_stream(s);
    if (!c->memory) c->memory = new (std::nothrow) Memory();
    return static_cast<Memory *>(c->memory);
}

/* With the guard, under emulation. */
static size_t room_for(size_t bytes)
{
#ifdef HONE_EMULATED
    bytes += ALIGNMENT;
#endif
    return bytes ? (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT : ALIGNMENT;
}

/* ---- blocks ------------------------------ */
static Piece *block_new(Memory *m, size_t room)
{
    bool small = room <= SMALL;
    size_t bytes = (room + BLOCK - 1) / BLOCK * BLOCK;
    void *memory;
    if (cudaMalloc(&memory, bytes) != cudaSuccess) {
        cudaGetLastError(); /* it will be told */
        return nullptr;
    }
    m->counts.requests++;
    m->counts.reserved += bytes;
    Piece *p = new Piece{static_cast<char *>(memory), bytes, small, false, nullptr, nullptr};
    m->kept.insert(p);
    return p;
}

static void block_free(Memory *m, Piece *p)
{
    m->counts.reserved -= p->bytes;
    cudaFree(p->at);
    delete p;
}

static void trim(Memory *m)
{
    for (auto it = m->kept.begin(); it != m->kept.end();) {
        Piece *p = *it;
        if (p->before || p->behind) {
            ++it;
            continue;
        }
        it = m->kept.erase(it);
        block_free(m, p);
    }
}

/* ---- pieces ------------------------------ */
static Piece *find(Memory *m, size_t room)
{
    Piece wish = {nullptr, room, room <= SMALL, false, nullptr, nullptr};
    auto it = m->kept.lower_bound(&wish);
    return it != m->kept.end() && (*it)->small == wish.small ? *it : nullptr;
}

/* A rest is worth a piece of its own where somebody could ask for it. */
static void cut(Memory *m, Piece *p, size_t room)
{
    size_t rest = p->bytes - room;
    m->kept.erase(p);
    if (p->small ? rest >= room_for(1) : rest > SMALL) {
        Piece *q = new Piece{p->at + room, rest, p->small, false, p, p->behind};
        if (q->behind) q->behind->before = q;
        p->behind = q;
        p->bytes = room;
        m->kept.insert(q);
    }
    p->taken = true;
    m->taken[p->at] = p;
}

static void join(Memory *m, Piece *p, Piece *q) /* q lies behind p */
{
    m->kept.erase(q);
    p->bytes += q->bytes;
    p->behind = q->behind;
    if (q->behind) q->behind->before = p;
    delete q;
}

static void tell_failure(Stream *s, Memory *m, size_t bytes)
{
    size_t unused = 0, all = 0;
    const double GB = 1 << 30;
    cudaMemGetInfo(&unused, &all);
    snprintf(m->failure, sizeof m->failure,
             ": cuda:%d: asked for %.1f MB; %.2f GB in use here, %.2f GB kept, %.2f of %.2f GB free",
             cuda_stream(s)->device, (double)bytes / (1 << 20), (double)m->counts.allocated / GB,
             (double)(m->counts.reserved - m->counts.allocated) / GB, (double)unused / GB, (double)all / GB);
}

static Piece *take(Stream *s, Memory *m, size_t bytes)
{
    size_t room = room_for(bytes);
    if (room < bytes || room > SIZE_MAX / 2) return nullptr;
#ifdef HONE_EMULATED
    if (emu::allocation_fails()) return nullptr;
#endif
    Piece *p = find(m, room);
    if (!p) p = block_new(m, room);
    if (!p) {
        cudaStreamSynchronize(cuda_queue(s));
        trim(m);
        p = block_new(m, room);
    }
    if (p) cut(m, p, room);
    return p;
}

void *cuda_take(Stream *s, size_t bytes)
try {
    Memory *m = memory_of(s);
    Piece *p = m ? take(s, m, bytes) : nullptr;
    if (!p) {
        if (m) tell_failure(s, m, bytes);
        return nullptr;
    }
    m->counts.allocated += p->bytes;
    if (m->counts.allocated > m->counts.peak) m->counts.peak = m->counts.allocated;
#ifdef HONE_EMULATED
    emu::piece_take(p->at, bytes, p->bytes, cuda_queue(s));
#endif
    return p->at;
} catch (const std::bad_alloc &) { /* the host's memory */
    return nullptr;
}

void cuda_give(Stream *s, void *memory)
{
    Memory *m = memory_of(s);
    if (!memory || !m) return;
    auto it = m->taken.find(memory);
    if (it == m->taken.end()) {
        stream_set_failed(s, "memory is released that this stream does not have, or twice");
        return;
    }
#ifdef HONE_EMULATED
    emu::piece_give(memory, cuda_queue(s));
#endif
    Piece *p = it->second;
    m->taken.erase(it);
    m->counts.allocated -= p->bytes;
    p->taken = false;
    if (p->behind && !p->behind->taken) join(m, p, p->behind);
    if (p->before && !p->before->taken) {
        m->kept.erase(p->before);
        p = p->before;
        join(m, p, p->behind);
    }
    m->kept.insert(p);
}

void cuda_trim(Stream *s)
{
    if (!cuda_stream(s)->memory) return;
    cuda_ok(s, cudaStreamSynchronize(cuda_queue(s)), "work that was queued");
    trim(memory_of(s));
}

void cuda_memory_free(CudaStream *s)
{
    Memory *m = static_cast<Memory *>(s->memory);
    if (!m) return;
    while (!m->taken.empty()) cuda_give(&s->base, m->taken.begin()->first);
    trim(m);
    delete m;
    s->memory = nullptr;
}

StreamMemory cuda_memory(Stream *s)
{
    Memory *m = static_cast<Memory *>(cuda_stream(s)->memory);
    return m ? m->counts : StreamMemory{};
}

const char *cuda_memory_failure(Stream *s)
{
    Memory *m = static_cast<Memory *>(cuda_stream(s)->memory);
    return m ? m->failure : "";
}
