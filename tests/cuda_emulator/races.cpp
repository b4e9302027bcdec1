/* Finds races. Kernels are compiled with -fsanitize=thread, but the functions that it calls at each access are these:
 * they note who touched each byte of global and shared memory, and report two accesses of which one is a write and that
 * nothing orders. What orders two accesses, as the CUDA programming guide has it:
 *   - two launches: this emulator looks at each alone (streams and events: stream.cpp);
 *   - two blocks of a launch: nothing;
 *   - two threads of a block: __syncthreads and its like; within a warp also __syncwarp, for the lanes of its mask.
 *     Shuffles and votes exchange values and order no memory.
 * Atomics do not race with each other, but with all else.
 *
 * Each cell of memory (4 bytes; single bytes in pages where something smaller is touched) keeps its last write and two
 * reads, chosen so that a later write that races with any read races with one of the two; all but partial masks within
 * one warp are covered (Flanagan and Freund 2009, FastTrack, on the two levels of a grid). Registers and local memory
 * are on the host's stacks: pages that are no device's are passed over.
 *
 * HONE_EMU_RACES_MOST: accesses of a kernel after which further launches of it with the same grid and block are not
 * looked at (default 2 million), so that tests with thousands of launches end. */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include <dlfcn.h>
#include <unistd.h>

#include "tests/cuda_emulator/emulator.h"

namespace emu
{

namespace
{

typedef AccessKind Kind;

struct Record {
    uint32_t block; /* number of the block among all that have run; 0: no access */
    uint32_t epoch; /* barriers of the block before it */
    uint32_t clock; /* of its lane, see clocks */
    uint16_t thread;
    Kind kind;
    const void *pc;
};

struct Cell {
    Record write, read[2];
};

enum { PAGE = 4096, COARSE = 4, CACHE = 4096 };

struct Page {
    uintptr_t number;
    Cell *cells; /* NULL: not a device's */
    bool fine, shared;
};

std::unordered_map<uintptr_t, Page> &pages = *new std::unordered_map<uintptr_t, Page>;
Page *cache[CACHE];
bool inside; /* inside: this file's own accesses, through templates that kernels share with it */

/* The launch */
uint32_t blocks_run, first_block, oldest; /* oldest: what is older than this block is over for the memory at hand */
std::vector<uint3> &block_indices = *new std::vector<uint3>;
uint64_t *spent; /* accesses of this kernel so far */
uint64_t most;

/* The block. clocks[t][l]: up to which of its own moments lane l of t's warp comes before t's next access. */
uint32_t epoch, clocks[MOST_THREADS][WARP];

/* ---- pages ------------------------------ */
Page *page_of(uintptr_t address)
{
    uintptr_t number = address / PAGE;
    Page **cached = &cache[number % CACHE];
    if (*cached && (*cached)->number == number) return *cached;
    auto found = pages.find(number);
    if (found == pages.end()) {
        const void *p = reinterpret_cast<const void *>(address);
        bool shared = shared_has(p), known = shared || memory_is_device(p, nullptr);
        Cell *cells = known ? static_cast<Cell *>(calloc(PAGE / COARSE, sizeof(Cell))) : nullptr;
        if (known && !cells) report("no memory to look for races");
        found = pages.emplace(number, Page{number, cells, false, shared}).first;
    }
    return *cached = &found->second;
}

void split(Page *page)
{
    Cell *cells = static_cast<Cell *>(malloc(PAGE * sizeof *cells));
    if (!cells) report("no memory to look for races");
    for (int i = 0; i < PAGE; i++) cells[i] = page->cells[i / COARSE];
    free(page->cells);
    page->cells = cells, page->fine = true;
}

/* ---- order ------------------------------ */
bool is_old(const Record *r) { return r->block < oldest; } /* of another launch or block, or no access */

bool comes_before(const Record *r, const Record *now)
{
    if (is_old(r)) return true;
    if (r->block != now->block) return false;
    if (r->epoch != now->epoch || r->thread == now->thread) return true;
    return r->thread / WARP == now->thread / WARP && clocks[now->thread][r->thread % WARP] >= r->clock;
}

/* ---- reports ------------------------------ */
std::string first_line(const std::string &command)
{
    char line[1024];
    std::string text;
    FILE *f = popen(command.c_str(), "r");
    while (f && fgets(line, sizeof line, f)) {
        std::string at(line, strcspn(line, " \n"));
        if (at.find("cuda_emulator/") != std::string::npos && at.find(".h:") != std::string::npos) continue;
        if (at.find("??") == 0) continue;
        size_t slash = at.rfind('/');
        text = slash == std::string::npos ? at : at.substr(slash + 1);
        break;
    }
    if (f) pclose(f);
    return text;
}

/* file:line, the innermost that is not the emulator's own; where binutils are missing: function and address. */
std::string place_of(const void *pc)
{
    Dl_info info;
    char text[300];
    if (!dladdr(pc, &info) || !info.dli_fname) return "an unknown place";
    uintptr_t offset = reinterpret_cast<uintptr_t>(pc) - reinterpret_cast<uintptr_t>(info.dli_fbase) - 1;
    char self[1024];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    std::string file(self, n > 0 ? (size_t)n : 0);
    snprintf(text, sizeof text, "0x%zx", (size_t)offset);
    std::string line = first_line("addr2line -ie '" + file + "' " + text + " 2>/dev/null");
    return line.empty() ? std::string("address ") + text + " of " + file : line;
}

std::string describe(const Record *r)
{
    char text[200];
    static const char *const kinds[] = {"read", "write", "atomic"};
    uint3 b = block_indices[r->block - first_block];
    unsigned x = block_dim.x, y = block_dim.y;
    snprintf(text, sizeof text, "%s by thread (%u,%u,%u) of block (%u,%u,%u) at ", kinds[(int)r->kind], r->thread % x,
             r->thread / x % y, r->thread / (x * y), b.x, b.y, b.z);
    return text + place_of(r->pc);
}

const char *missing(const Record *r, const Record *now)
{
    if (r->block != now->block) return "nothing orders two blocks of one launch";
    return r->thread / WARP == now->thread / WARP ? "no __syncthreads or __syncwarp between them"
                                                  : "no __syncthreads between them";
}

[[noreturn]] void report_race(const Record *before, const Record *now, uintptr_t address)
{
    const void *p = reinterpret_cast<const void *>(address);
    inside = true;
    report("race on %s:\n    %s\n    %s\n    %s", (shared_has(p) ? shared_describe(p) : memory_describe(p)).c_str(),
           describe(before).c_str(), describe(now).c_str(), missing(before, now));
}

/* ---- accesses ------------------------------ */
void check(const Record *before, const Record *now, uintptr_t address)
{
    if (!(before->kind == Kind::ATOMIC && now->kind == Kind::ATOMIC) && !comes_before(before, now))
        report_race(before, now, address);
}

bool same_thread(const Record *a, const Record *b) { return a->block == b->block && a->thread == b->thread; }

/* Which of the two reads that are kept gives way; NULL: neither, any write that races with now races with one of
 * them. */
Record *gives_way(Cell *cell, const Record *now)
{
    Record *a = &cell->read[0], *b = &cell->read[1];
    if (is_old(a) || same_thread(a, now)) return a;
    if (is_old(b) || same_thread(b, now)) return b;
    if (a->block != b->block) return nullptr;
    if (a->block != now->block) return b;
    if (a->epoch != now->epoch) return a;
    if (b->epoch != now->epoch) return b;
    if (a->thread / WARP != b->thread / WARP) return nullptr;
    return b;
}

void note_cell(Cell *cell, const Record *now, uintptr_t address)
{
    check(&cell->write, now, address);
    if (now->kind == Kind::READ) {
        if (Record *r = gives_way(cell, now)) *r = *now;
        return;
    }
    check(&cell->read[0], now, address), check(&cell->read[1], now, address);
    cell->write = *now;
}

void note(const void *p, size_t bytes, Kind kind, const void *pc)
{
    if (inside || !current) return;
    inside = true;
    uintptr_t address = reinterpret_cast<uintptr_t>(p), end = address + bytes;
    Record now = {blocks_run, epoch, clocks[current->linear][current->linear % WARP], (uint16_t)current->linear,
                  kind,       pc};
    while (address < end) {
        Page *page = page_of(address);
        if (!page->cells) break;
        oldest = page->shared ? blocks_run : first_block; /* shared memory is each block's own */
        if (!page->fine && (address % COARSE || (end - address) % COARSE)) split(page);
        uintptr_t unit = page->fine ? 1 : (uintptr_t)COARSE, limit = (address / PAGE + 1) * PAGE;
        ++*spent;
        for (; address < end && address < limit; address += unit)
            note_cell(&page->cells[address % PAGE / unit], &now, address);
    }
    inside = false;
}

/* ---- what the emulator tells ------------------------------ */
void launch_begins()
{
    static std::map<std::tuple<const void *, unsigned, unsigned, unsigned>, uint64_t> &all =
        *new std::map<std::tuple<const void *, unsigned, unsigned, unsigned>, uint64_t>;
    if (!most) {
        const char *text = getenv("HONE_EMU_RACES_MOST");
        most = text ? strtoull(text, nullptr, 10) : 2000000;
    }
    spent =
        &all[std::make_tuple(running->function, running->grid.x * running->grid.y * running->grid.z,
                             running->block.x * running->block.y * running->block.z, (unsigned)running->shared_bytes)];
    race_recording = *spent < most;
    first_block = blocks_run + 1;
    block_indices.clear();
}

void block_begins(unsigned threads)
{
    static uint64_t launch; /* their numbers begin at 1 */
    if (running->number != launch) launch_begins();
    launch = running->number;
    blocks_run++;
    epoch = 0;
    if (!race_recording) return;
    block_indices.push_back(block_index);
    memset(clocks, 0, threads * sizeof *clocks);
    for (unsigned t = 0; t < threads; t++) clocks[t][t % WARP] = 1;
}

void all_met() { epoch++; }

void lanes_met(unsigned warp, unsigned lanes)
{
    uint32_t joined[WARP] = {0};
    if (!race_recording) return;
    for (unsigned l = 0; l < WARP; l++)
        for (unsigned i = 0; lanes >> l & 1 && i < WARP; i++)
            if (clocks[warp * WARP + l][i] > joined[i]) joined[i] = clocks[warp * WARP + l][i];
    for (unsigned l = 0; l < WARP; l++)
        if (lanes >> l & 1) {
            memcpy(clocks[warp * WARP + l], joined, sizeof joined);
            clocks[warp * WARP + l][l]++;
        }
}

const RaceHooks hooks = {block_begins, all_met, lanes_met, note};
struct Installed {
    Installed() { race_hooks = &hooks; }
} installed;

} // namespace
} // namespace emu
