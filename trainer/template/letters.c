/* Look-ups in the generated table, and UTF-8. */
#include "trainer/template/letters.h"

unsigned letter_flags(uint32_t c)
{
    size_t low = 0, high = letter_range_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (letter_ranges[middle][0] <= c) low = middle;
        else high = middle;
    }
    return letter_ranges[low][1];
}

unsigned letter_to_case(uint32_t c, LetterCase which, uint32_t out[3])
{
    const LetterSpecial *special = letter_specials[which];
    for (size_t i = 0; c >= 0x80 && i < letter_special_counts[which]; i++)
        if (special[i].from == c) {
            unsigned n = 0;
            while (n < 3 && special[i].to[n]) out[n] = special[i].to[n], n++;
            return n;
        }
    const LetterShift *shifts = letter_shifts[which];
    for (size_t i = 0; i < letter_shift_counts[which] && shifts[i].first <= c; i++)
        if (c <= shifts[i].last && (c - shifts[i].first) % shifts[i].step == 0) {
            out[0] = (uint32_t)((int32_t)c + shifts[i].add);
            return 1;
        }
    out[0] = c;
    return 1;
}

size_t letter_bytes(const char *text, size_t size)
{
    const unsigned char *u = (const unsigned char *)text;
    if (!size) return 0;
    if (u[0] < 0x80) return 1;
    size_t n = u[0] >= 0xF0 ? 4 : u[0] >= 0xE0 ? 3 : 2;
    if (u[0] < 0xC2 || u[0] > 0xF4 || size < n) return 0;
    for (size_t i = 1; i < n; i++)
        if ((u[i] & 0xC0) != 0x80) return 0;
    if ((u[0] == 0xE0 && u[1] < 0xA0) || (u[0] == 0xED && u[1] > 0x9F)) return 0;
    return (u[0] == 0xF0 && u[1] < 0x90) || (u[0] == 0xF4 && u[1] > 0x8F) ? 0 : n;
}

uint32_t letter_decode(const char *text, size_t *bytes)
{
    const unsigned char *u = (const unsigned char *)text;
    if (u[0] < 0x80) return *bytes = 1, u[0];
    if (u[0] < 0xE0) return *bytes = 2, (u[0] & 0x1Fu) << 6 | (u[1] & 0x3Fu);
    if (u[0] < 0xF0) return *bytes = 3, (u[0] & 0x0Fu) << 12 | (u[1] & 0x3Fu) << 6 | (u[2] & 0x3Fu);
    return *bytes = 4, (u[0] & 0x07u) << 18 | (u[1] & 0x3Fu) << 12 | (u[2] & 0x3Fu) << 6 | (u[3] & 0x3Fu);
}

size_t letter_encode(uint32_t c, char out[4])
{
    if (c < 0x80) return out[0] = (char)c, 1;
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3F));
    out[0] = (char)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | c);
    return n;
}

size_t letter_count(const char *text, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < size; i++) n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

size_t letter_valid(const char *text, size_t size)
{
    for (size_t i = 0, n; i < size; i += n)
        if (!(n = letter_bytes(text + i, size - i))) return i;
    return size;
}
