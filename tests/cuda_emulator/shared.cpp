/* A block's shared memory: dynamic memory, then its arrays as they are first asked for, with guards behind each. All of
 * it is poison at the beginning of a block, as if a block could never count on what another left. */
#include <cstring>

#include "tests/cuda_emulator/emulator.h"

namespace emu
{

static const size_t ARENA = 512 << 10, GUARD = 64, MOST_ARRAYS = 64;
static const uint16_t GUARD_WORD = 0xFFF1, POISON_WORD = 0xFFF7; /* NaN as f64, f32, f16, bf16 */

struct Array {
    const char *name;
    size_t offset, bytes;
};

uint64_t block_epoch;
alignas(256) static char arena[ARENA];
static Array arrays[MOST_ARRAYS];
static size_t array_count, used, asked;

static void fill(char *p, uint16_t word, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) p[i] = (char)(i & 1 ? word >> 8 : word);
}

/* The guard begins at the very byte behind the array, so at an odd one too. */
static size_t place(const char *name, size_t bytes)
{
    size_t offset = used;
    asked += (bytes + 15) / 16 * 16;
    used += (bytes + GUARD + 15) / 16 * 16;
    if (array_count == MOST_ARRAYS || used > ARENA || asked > running->shared_limit)
        report("shared memory: %zu bytes with `%s`, more than the %zu that the launch may have", asked, name,
               running->shared_limit);
    fill(arena + offset, POISON_WORD, bytes);
    fill(arena + offset + bytes, GUARD_WORD, used - offset - bytes);
    arrays[array_count++] = {name, offset, bytes};
    return offset;
}

void shared_begin(const Launch *launch)
{
    block_epoch++;
    array_count = used = asked = 0;
    if (launch->shared_bytes) place("dynamic shared memory", launch->shared_bytes);
}

void *shared_array(SharedSite *site, size_t bytes, const char *name)
{
    if (site->epoch != block_epoch) {
        site->offset = place(name, bytes);
        site->epoch = block_epoch;
    }
    return arena + site->offset;
}

void *dynamic_shared_memory()
{
    if (!running->shared_bytes) report("dynamic_shared() in a kernel that was launched without dynamic shared memory");
    return arena;
}

bool shared_has(const void *p) { return p >= arena && p < arena + ARENA; }

std::string shared_describe(const void *p)
{
    size_t offset = (size_t)(static_cast<const char *>(p) - arena), i = array_count;
    while (i > 0 && arrays[i - 1].offset > offset) i--;
    if (!i) return "shared memory";
    return "byte " + std::to_string(offset - arrays[i - 1].offset) + " of `" + arrays[i - 1].name + "` (shared memory)";
}

void shared_end()
{
    for (size_t i = 0; i < array_count; i++) {
        size_t end = i + 1 < array_count ? arrays[i + 1].offset : used;
        const char *guard = arena + arrays[i].offset + arrays[i].bytes;
        for (size_t j = 0; guard + j < arena + end; j++)
            if (guard[j] != (char)(j & 1 ? GUARD_WORD >> 8 : GUARD_WORD))
                report("write outside shared memory: `%s` has %zu bytes, byte %zu was written", arrays[i].name,
                       arrays[i].bytes, arrays[i].bytes + j);
    }
}

} // namespace emu
