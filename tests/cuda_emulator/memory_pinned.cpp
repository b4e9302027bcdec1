/* Pinned host memory: ordinary memory that is known, so that copies of it may wait. */
#include <cstdlib>
#include <map>

#include "tests/cuda_emulator/emulator.h"
#include "tests/cuda_emulator/fill.h"

namespace emu
{

static std::map<char *, size_t> pinned;

cudaError_t pinned_allocate(size_t bytes, void **memory)
{
    char *p = static_cast<char *>(aligned_alloc(GUARD, (bytes + GUARD) / GUARD * GUARD));
    *memory = p;
    if (!p) return cudaErrorMemoryAllocation;
    fill(p, POISON_WORD, bytes);
    pinned[p] = bytes ? bytes : 1;
    return cudaSuccess;
}

bool pinned_free(void *memory)
{
    if (!pinned.erase(static_cast<char *>(memory))) return false;
    free(memory);
    return true;
}

bool pinned_register(void *memory, size_t bytes)
{
    return !memory_is_pinned(memory) && pinned.emplace(static_cast<char *>(memory), bytes).second;
}

bool pinned_unregister(void *memory) { return pinned.erase(static_cast<char *>(memory)) != 0; }

bool memory_is_pinned(const void *memory)
{
    char *p = static_cast<char *>(const_cast<void *>(memory));
    auto it = pinned.upper_bound(p);
    return it != pinned.begin() && (--it, p < it->first + it->second);
}

} // namespace emu
