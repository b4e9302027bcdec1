/* calls.h, from_c.h. */
#include "tests/cuda_emulator/calls.h"

#include <cstdio>
#include <cstdlib>

#include "tests/cuda_emulator/from_c.h"
#include "tests/cuda_emulator/stream.h"

namespace emu
{

static uint64_t counts[(int)Call::KINDS];

void count_call(Call call)
{
    static const char *const path = getenv("HONE_EMU_LOG");
    static const char *const names[] = {"allocates", "allocates host memory", "synchronizes", "waits for an event",
                                        "copies pageable memory"};
    counts[(int)call]++;
    if (!path) return;
    FILE *f = fopen(path, "a");
    if (!f) report("HONE_EMU_LOG: cannot write %s", path);
    fprintf(f, "cuda:%d host %s\n", current_device, names[(int)call]);
    fclose(f);
}

uint64_t calls(Call call) { return counts[(int)call]; }

} // namespace emu

void emulator_seed(uint64_t seed) { emu::set_seed(seed); }
uint64_t emulator_allocations(void) { return emu::calls(emu::Call::ALLOCATE) + emu::calls(emu::Call::ALLOCATE_HOST); }

uint64_t emulator_stops(void)
{
    return emu::calls(emu::Call::SYNCHRONIZE) + emu::calls(emu::Call::WAIT) + emu::calls(emu::Call::PAGEABLE);
}
