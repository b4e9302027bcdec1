/* The byte-level alphabet (Radford et al. 2019): each byte as a visible character. Bytes 33-126, 161-172, 174-255 are
 * their own code points; the other 68 are U+0100, U+0101, … in order (space: U+0120). */
#ifndef HONE_TOKENIZER_BYTE_ALPHABET_H
#define HONE_TOKENIZER_BYTE_ALPHABET_H

#include <stdint.h>

static inline uint32_t byte_alphabet(unsigned byte)
{
    if (byte <= 32) return 256 + byte;
    if (byte < 127) return byte;
    if (byte <= 160) return 256 + 33 + byte - 127;
    return byte == 173 ? 256 + 67 : byte;
}

/* The byte that a code point stands for, -1 when it is not of the alphabet. */
static inline int byte_alphabet_inverse(uint32_t c)
{
    if (c < 256) return (c > 32 && c < 127) || (c > 160 && c != 173) ? (int)c : -1;
    if (c <= 256 + 32) return (int)c - 256;
    if (c < 256 + 67) return (int)c - 256 - 33 + 127;
    return c == 256 + 67 ? 173 : -1;
}

#endif
