/* What memory holds that is nobody's: words that are NaN as bf16, f16, f32 and f64, one for guards, one for memory that
 * is fresh, one for memory that was freed. */
#ifndef TESTS_CUDA_EMULATOR_FILL_H
#define TESTS_CUDA_EMULATOR_FILL_H

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace emu
{

constexpr size_t GUARD = 256; /* bytes at least */
constexpr uint16_t GUARD_WORD = 0xFFF1, POISON_WORD = 0xFFF7, FREED_WORD = 0xFFF3;

inline void fill(char *p, uint16_t word, size_t bytes)
{
    uint64_t wide = word * 0x0001000100010001u;
    size_t i = 0;
    for (; i + 8 <= bytes; i += 8) memcpy(p + i, &wide, 8);
    memcpy(p + i, &wide, bytes - i);
}

inline size_t first_change(const char *p, uint16_t word, size_t bytes) /* bytes: none */
{
    uint64_t wide = word * 0x0001000100010001u, at;
    size_t i = 0;
    for (; i + 8 <= bytes; i += 8) {
        memcpy(&at, p + i, 8);
        if (at != wide) break;
    }
    for (; i < bytes; i++)
        if (p[i] != (char)(i & 1 ? word >> 8 : word)) return i;
    return bytes;
}

} // namespace emu

#endif
