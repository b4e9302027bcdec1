/* pieces.h. There are two views: the host's, of what it has asked for (`asked`) and given back (`given`), which decides
 * what may be queued; and the stream's, of what it has got to (`live`, `freed`), which decides what memory holds. */
#include <map>

#include "tests/cuda_emulator/fill.h"
#include "tests/cuda_emulator/pieces.h"
#include "tests/cuda_emulator/stream.h"

namespace emu
{

namespace
{
struct Piece {
    size_t bytes, room;
    unsigned long long number;
};
typedef std::map<char *, Piece> Pieces;
} // namespace

static Pieces asked[MOST_DEVICES], given[MOST_DEVICES], live[MOST_DEVICES], freed[MOST_DEVICES];
static unsigned long long pieces;

static int device_of(const void *p)
{
    int device;
    if (!memory_is_device(p, &device)) report("a piece of memory at %p, which is no device memory", p);
    return device;
}

/* The first piece that ends behind p. */
static Pieces::iterator reaching(Pieces &all, const void *p)
{
    char *at = static_cast<char *>(const_cast<void *>(p));
    auto it = all.upper_bound(at);
    return it != all.begin() && at < std::prev(it)->first + std::prev(it)->second.room ? std::prev(it) : it;
}

static void check_guard(char *p, const Piece &piece, const char *culprit)
{
    size_t at = first_change(p + piece.bytes, GUARD_WORD, piece.room - piece.bytes);
    if (at < piece.room - piece.bytes)
        report("write outside device memory by %s: %zu bytes behind the end of piece %llu (%zu bytes)", culprit, at,
               piece.number, piece.bytes);
}

static void check_freed(char *p, const Piece &piece)
{
    size_t at = first_change(p, FREED_WORD, piece.bytes);
    if (at < piece.bytes)
        report("write to freed memory: byte %zu of what was piece %llu (%zu bytes)", at, piece.number, piece.bytes);
}

/* Pieces that were freed in [p, p + bytes) are looked at and forgotten. */
static void take_freed(int device, char *p, size_t bytes)
{
    Pieces &all = freed[device];
    for (auto it = reaching(all, p); it != all.end() && it->first < p + bytes; it = all.erase(it))
        check_freed(it->first, it->second);
}

static void forget(Pieces &all, char *p, size_t bytes)
{
    for (auto it = reaching(all, p); it != all.end() && it->first < p + bytes;) it = all.erase(it);
}

static bool any(Pieces &all, char *p, size_t bytes)
{
    auto it = reaching(all, p);
    return it != all.end() && it->first < p + bytes;
}

static void queue(cudaStream_t stream, std::function<void()> work)
{
    Op op = {};
    op.kind = OpKind::LIBRARY, op.library = std::move(work);
    enqueue(stream_of(stream), std::move(op));
}

void piece_take(void *memory, size_t bytes, size_t room, cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(mutex);
    char *p = static_cast<char *>(memory);
    int device = device_of(p);
    Piece piece = {bytes, room, ++pieces};
    auto next = reaching(asked[device], p);
    if (next != asked[device].end() && next->first < p + room)
        report("the cache gives piece %llu while piece %llu is in use at the same place", piece.number,
               next->second.number);
    if (room < bytes + GUARD) report("the cache leaves no room for a guard");
    forget(given[device], p, room);
    asked[device][p] = piece;
    queue(stream, [=] {
        take_freed(device, p, room);
        fill(p, POISON_WORD, bytes);
        fill(p + bytes, GUARD_WORD, room - bytes);
        live[device][p] = piece;
    });
}

void piece_give(void *memory, cudaStream_t stream)
{
    std::lock_guard<std::recursive_mutex> hold(mutex);
    char *p = static_cast<char *>(memory);
    int device = device_of(p);
    auto it = asked[device].find(p);
    if (it == asked[device].end()) report("the cache takes back %p, which is no piece", memory);
    given[device][p] = it->second;
    asked[device].erase(it);
    queue(stream, [=] {
        Piece piece = live[device][p];
        check_guard(p, piece, "what ran before its release");
        live[device].erase(p);
        fill(p, FREED_WORD, piece.bytes);
        freed[device][p] = piece;
    });
}

void pieces_check(const void *memory, size_t bytes, const void *block, size_t block_bytes, const char *what)
{
    const char *p = static_cast<const char *>(memory);
    char *begin = static_cast<char *>(const_cast<void *>(block));
    int device = device_of(p);
    auto it = reaching(asked[device], p);
    bool found = it != asked[device].end() && it->first <= p;
    if (found && (size_t)(p - it->first) + bytes > it->second.bytes)
        report("%s: %zu bytes, where piece %llu has %zu left", what, bytes, it->second.number,
               (size_t)(p - it->first) < it->second.bytes ? it->second.bytes - (size_t)(p - it->first) : 0);
    if (!found && (any(asked[device], begin, block_bytes) || any(given[device], begin, block_bytes)))
        report("%s: %p lies in no piece of cuda:%d; was it released?", what, memory, device);
}

void pieces_check_guards(int device, const char *culprit)
{
    for (auto &entry : live[device]) check_guard(entry.first, entry.second, culprit);
}

void pieces_forget(int device, const void *block, size_t block_bytes)
{
    char *begin = static_cast<char *>(const_cast<void *>(block));
    take_freed(device, begin, block_bytes);
    forget(given[device], begin, block_bytes);
    auto it = reaching(live[device], begin);
    if (it != live[device].end() && it->first < begin + block_bytes)
        report("cudaFree of a block of which piece %llu (%zu bytes) is in use", it->second.number, it->second.bytes);
}

} // namespace emu
