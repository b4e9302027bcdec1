/* Device memory: a range of address space for each device, in 2 MiB pages, which the host may not touch: it is opened
 * (mprotect) while queued work runs and closed after. Each block lies between guards, fresh memory is NaN whatever its
 * type, freed memory is filled with another NaN and kept for a while, so that a late write is seen. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>

#include <signal.h>
#include <sys/mman.h>

#include "tests/cuda_emulator/emulator.h"
#include "tests/cuda_emulator/fill.h"
#include "tests/cuda_emulator/pieces.h"

namespace emu
{

static const size_t PAGE = 2 << 20, QUARANTINE = 32 << 20;

struct Block {
    size_t bytes, room;
    uint64_t number;
}; /* room: with the guard behind */

struct Device {
    char *base, *top; /* top: pages above have never been used */
    size_t limit;
    std::map<char *, Block> blocks, freed;
    std::map<char *, size_t> holes; /* to be used again */
    std::deque<char *> quarantine;  /* oldest first: keys of freed */
    size_t quarantined;
    uint64_t allocations;
    int unlocked; /* depth */
};

static Device devices[MOST_DEVICES];
static int fail_after;
static struct sigaction before;

static size_t up(size_t n, size_t unit) { return (n + unit - 1) / unit * unit; }

int device_count()
{
    static int count = -1;
    if (count >= 0) return count;
    const char *text = getenv("HONE_EMU_DEVICES");
    count = text ? atoi(text) : 1;
    return count = count < 0 ? 0 : count > MOST_DEVICES ? (int)MOST_DEVICES : count;
}

/* ---- faults ------------------------------ */
static void on_fault(int signal_number, siginfo_t *info, void *context)
{
    char *p = static_cast<char *>(info->si_addr);
    for (int d = 0; d < device_count(); d++) {
        Device *v = &devices[d];
        if (!v->base || p < v->base || p >= v->base + v->limit) continue;
        auto it = v->blocks.upper_bound(p);
        if (v->unlocked) report("access outside device memory at %p: beyond all blocks of cuda:%d", info->si_addr, d);
        if (it != v->blocks.begin() && (--it, p < it->first + it->second.bytes))
            report("%s touches device memory: %p is byte %zu of block %llu (%zu bytes) of cuda:%d",
                   running ? "a kernel of another device" : "host code", info->si_addr, (size_t)(p - it->first),
                   (unsigned long long)it->second.number, it->second.bytes, d);
        report("%s touches device memory: %p, in no block of cuda:%d",
               running ? "a kernel of another device" : "host code", info->si_addr, d);
    }
    if (current)
        report("a kernel reads or writes %p, which is no device memory; or its thread has more local memory than a "
               "fiber's stack",
               info->si_addr);
    sigaction(signal_number, &before, nullptr); /* not ours: it will come again */
    (void)context;
}

/* Test frameworks set their own handler before each test, so ours is looked after whenever memory is opened or closed.
 */
static void watch_faults()
{
    static char stack[256 << 10]; /* a fiber's stack may be what is full */
    struct sigaction now, ours = {};
    if (!sigaction(SIGSEGV, nullptr, &now) && now.sa_flags & SA_SIGINFO && now.sa_sigaction == on_fault) return;
    stack_t alternative = {};
    alternative.ss_sp = stack, alternative.ss_size = sizeof stack;
    sigaltstack(&alternative, nullptr);
    ours.sa_sigaction = on_fault;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    before = now;
    sigaction(SIGSEGV, &ours, nullptr);
}

/* ---- opening and closing ------------------------------ */
static Device *device_open(int d)
{
    Device *v = &devices[d];
    if (v->base) return v;
    const char *text = getenv("HONE_EMU_MEMORY_MB");
    v->limit = up((text ? strtoull(text, nullptr, 10) : 4096) << 20, PAGE);
    void *p = mmap(nullptr, v->limit + PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        perror("hone emulator: no address space for device memory");
        abort();
    }
    v->base = v->top = reinterpret_cast<char *>(up(reinterpret_cast<uintptr_t>(p), PAGE));
    madvise(v->base, v->limit, MADV_HUGEPAGE);
    watch_faults();
    return v;
}

static void protect(Device *v, int protection)
{
    if (v->top > v->base && mprotect(v->base, (size_t)(v->top - v->base), protection)) {
        perror("hone emulator: mprotect");
        abort();
    }
}

void memory_unlock(int d)
{
    Device *v = device_open(d);
    if (v->unlocked++) return;
    watch_faults();
    protect(v, PROT_READ | PROT_WRITE);
}

void memory_lock(int d)
{
    Device *v = device_open(d);
    if (--v->unlocked) return;
    protect(v, PROT_NONE);
    watch_faults();
}

/* ---- blocks ------------------------------ */
/* A hole of at least `room` bytes, or new pages; NULL: full. The byte before the first block is guarded too: by the
 * first GUARD bytes. */
static char *find_room(Device *v, size_t room)
{
    for (auto it = v->holes.begin(); it != v->holes.end(); ++it)
        if (it->second >= room) {
            char *p = it->first;
            size_t left = it->second - room;
            v->holes.erase(it);
            if (left) v->holes[p + room] = left;
            return p;
        }
    bool first = v->top == v->base;
    size_t more = up(room + (first ? GUARD : 0), PAGE);
    if (more > v->limit - (size_t)(v->top - v->base)) return nullptr;
    char *p = v->top;
    v->top += more;
    protect(v, PROT_READ | PROT_WRITE); /* the caller has it unlocked */
    if (first) fill(p, GUARD_WORD, GUARD), p += GUARD, more -= GUARD;
    if (more > room) v->holes[p + room] = more - room;
    return p;
}

static void check_freed(Device *v, char *p, const Block &b)
{
    size_t at = first_change(p, FREED_WORD, b.bytes);
    if (at < b.bytes)
        report("write to freed memory: byte %zu of what was block %llu (%zu bytes)", at, (unsigned long long)b.number,
               b.bytes);
    (void)v;
}

static void hole_add(Device *v, char *p, size_t room)
{
    auto next = v->holes.lower_bound(p);
    if (next != v->holes.end() && p + room == next->first) room += next->second, next = v->holes.erase(next);
    if (next != v->holes.begin()) {
        auto last = std::prev(next);
        if (last->first + last->second == p) {
            last->second += room;
            return;
        }
    }
    v->holes[p] = room;
}

/* Until at most that many bytes are quarantined. */
static void drain(Device *v, size_t most)
{
    while (v->quarantined > most) {
        char *oldest = v->quarantine.front();
        Block old = v->freed[oldest];
        check_freed(v, oldest, old);
        v->quarantine.pop_front();
        v->quarantined -= old.room;
        v->freed.erase(oldest);
        hole_add(v, oldest, old.room);
    }
}

cudaError_t memory_allocate(int d, size_t bytes, void **memory)
{
    if (allocation_fails()) return cudaErrorMemoryAllocation;
    Device *v = device_open(d);
    if (bytes > v->limit) return cudaErrorMemoryAllocation;
    size_t room = up(bytes + GUARD, GUARD); /* at least GUARD bytes from the very byte behind the block */
    memory_unlock(d);
    char *p = find_room(v, room);
    if (!p) drain(v, 0), p = find_room(v, room);
    if (p) {
        fill(p, POISON_WORD, bytes);
        fill(p + bytes, GUARD_WORD, room - bytes);
        v->blocks[p] = {bytes, room, ++v->allocations};
    }
    memory_lock(d);
    *memory = p;
    return p ? cudaSuccess : cudaErrorMemoryAllocation;
}

void memory_free(int d, void *memory)
{
    Device *v = device_open(d);
    char *p = static_cast<char *>(memory);
    auto it = v->blocks.find(p);
    if (it == v->blocks.end())
        report("cudaFree(%p): no block begins there%s", memory, v->freed.count(p) ? "; it was freed before" : "");
    memory_unlock(d);
    memory_check_guards(d, "what ran before cudaFree");
    Block b = it->second;
    pieces_forget(d, p, b.bytes);
    v->blocks.erase(it);
    fill(p, FREED_WORD, b.bytes);
    v->freed[p] = b;
    v->quarantine.push_back(p);
    v->quarantined += b.room;
    drain(v, QUARANTINE);
    memory_lock(d);
}

/* The device is unlocked. */
void memory_check_guards(int d, const char *culprit)
{
    Device *v = device_open(d);
    if (v->top == v->base) return;
    if (first_change(v->base, GUARD_WORD, GUARD) < GUARD)
        report("write outside device memory by %s: before the first block", culprit);
    for (auto &entry : v->blocks) {
        const Block &b = entry.second;
        size_t at = first_change(entry.first + b.bytes, GUARD_WORD, b.room - b.bytes);
        if (at < b.room - b.bytes)
            report("write outside device memory by %s: %zu bytes behind the end of block %llu (%zu bytes)", culprit, at,
                   (unsigned long long)b.number, b.bytes);
    }
    pieces_check_guards(d, culprit);
}

bool memory_is_device(const void *memory, int *device)
{
    const char *p = static_cast<const char *>(memory);
    for (int d = 0; d < device_count(); d++)
        if (devices[d].base && p >= devices[d].base && p < devices[d].base + devices[d].limit) {
            if (device) *device = d;
            return true;
        }
    return false;
}

void memory_check_range(const void *memory, size_t bytes, const char *what)
{
    int d;
    if (!bytes) return;
    if (!memory_is_device(memory, &d)) report("%s: %p is no device memory", what, memory);
    char *p = static_cast<char *>(const_cast<void *>(memory));
    auto it = devices[d].blocks.upper_bound(p);
    if (it == devices[d].blocks.begin() || (--it, p >= it->first + it->second.bytes))
        report("%s: %p lies in no block of cuda:%d%s", what, memory, d,
               devices[d].freed.count(p) ? "; it has been freed" : "");
    size_t left = it->second.bytes - (size_t)(p - it->first);
    if (bytes > left)
        report("%s: %zu bytes, where block %llu has %zu left", what, bytes, (unsigned long long)it->second.number,
               left);
    if (!devices[d].unlocked) /* it is being queued */
        pieces_check(p, bytes, it->first, it->second.bytes, what);
}

std::string memory_describe(const void *memory)
{
    int d;
    if (!memory_is_device(memory, &d)) return "host memory";
    char *p = static_cast<char *>(const_cast<void *>(memory));
    std::string name = "cuda:" + std::to_string(d);
    auto it = devices[d].blocks.upper_bound(p);
    if (it == devices[d].blocks.begin() || (--it, p >= it->first + it->second.bytes)) return "no block of " + name;
    return "byte " + std::to_string(p - it->first) + " of block " + std::to_string(it->second.number) + " (" +
           std::to_string(it->second.bytes) + " bytes) of " + name;
}

void memory_info(int d, size_t *free_bytes, size_t *total_bytes)
{
    Device *v = device_open(d);
    size_t used = 0;
    for (auto &entry : v->blocks) used += entry.second.room;
    *total_bytes = v->limit, *free_bytes = v->limit - used;
}

size_t memory_blocks(int d) { return devices[d].blocks.size(); }

void fail_allocation_after(int n) { fail_after = n; }

bool allocation_fails() { return fail_after && !--fail_after; }

void check_argument(const void *p, int number, const void *function)
{
    int d, device;
    if (!p || memory_is_pinned(p)) return;
    if (!memory_is_device(p, &d))
        report("launch of %s: argument %d, %p, is host memory", symbol_name(function).c_str(), number, p);
    cudaGetDevice(&device);
    if (d != device)
        report("launch of %s on cuda:%d: argument %d, %p, is memory of cuda:%d", symbol_name(function).c_str(), device,
               number, p, d);
    auto it = devices[d].blocks.upper_bound(static_cast<char *>(const_cast<void *>(p)));
    if (it == devices[d].blocks.begin()) return;
    --it;
    if (p < it->first + it->second.bytes) pieces_check(p, 0, it->first, it->second.bytes, "a kernel's argument");
}

} // namespace emu
