/* Look-ups in the generated Unicode tables, and UTF-8 (RFC 3629: no surrogates, nothing overlong, at most U+10FFFF). */
#include "trainer/tokenizer/unicode.h"

#include <string.h>

const UnicodeRecord *unicode_find(uint32_t c)
{
    size_t low = 0, high = unicode_range_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (unicode_ranges[middle] >> 11 <= c)
            low = middle;
        else
            high = middle;
    }
    return &unicode_records[unicode_ranges[low] & 0x7FF];
}

unsigned unicode_combining_class(uint32_t c)
{
    if (c < unicode_combining[0][0]) return 0;
    size_t low = 0, high = unicode_combining_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (unicode_combining[middle][0] <= c)
            low = middle;
        else
            high = middle;
    }
    return c <= unicode_combining[low][1] ? unicode_combining[low][2] : 0;
}

static unsigned find_decomposition(const uint32_t (*table)[2], size_t count, uint32_t c, const uint32_t **out)
{
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table[middle][0] < c)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == count || table[low][0] != c) return 0;
    *out = unicode_pool + (table[low][1] >> 5);
    return table[low][1] & 31;
}

unsigned unicode_decompose(uint32_t c, bool compatible, const uint32_t **out)
{
    unsigned n = 0;
    if (c < 0xA0) return 0;
    if (compatible) n = find_decomposition(unicode_compatible, unicode_compatible_count, c, out);
    return n ? n : find_decomposition(unicode_canonical, unicode_canonical_count, c, out);
}

uint32_t unicode_compose(uint32_t first, uint32_t second)
{
    if (first - 0x1100u < 19 && second - 0x1161u < 21) return 0xAC00 + ((first - 0x1100) * 21 + second - 0x1161) * 28;
    if (first - 0xAC00u < 11172 && (first - 0xAC00) % 28 == 0 && second - 0x11A8u < 27) return first + second - 0x11A7;
    size_t low = 0, high = unicode_pair_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const uint32_t *pair = unicode_pairs[middle];
        if (pair[0] == first && pair[1] == second) return pair[2];
        if (pair[0] < first || (pair[0] == first && pair[1] < second))
            low = middle + 1;
        else
            high = middle;
    }
    return 0;
}

unsigned unicode_lower(uint32_t c, uint32_t out[2])
{
    out[0] = c;
    if (c == unicode_lower_long[0]) return out[0] = unicode_lower_long[1], out[1] = unicode_lower_long[2], 2;
    size_t low = 0, high = unicode_lower_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (unicode_lowers[middle][0] <= (int32_t)c)
            low = middle;
        else
            high = middle;
    }
    const int32_t *run = unicode_lowers[low];
    if ((int32_t)c >= run[0] && (int32_t)c <= run[1] && ((int32_t)c - run[0]) % run[2] == 0)
        out[0] = (uint32_t)((int32_t)c + run[3]);
    return 1;
}

bool unicode_is_mark(uint32_t c)
{
    if (c < unicode_marks[0][0]) return false;
    size_t low = 0, high = unicode_mark_count;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (unicode_marks[middle][0] <= c)
            low = middle;
        else
            high = middle;
    }
    return c <= unicode_marks[low][1];
}

bool utf8_is_ascii(const char *text, size_t size)
{
    size_t i = 0;
    uint64_t all = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, text + i, 8);
        all |= word;
    }
    for (; i < size; i++) all |= (uint64_t)(unsigned char)text[i];
    return !(all & 0x8080808080808080u);
}

/* Length of the valid sequence at s with `left` bytes, 0 when there is none. */
static unsigned sequence_length(const unsigned char *s, size_t left)
{
    unsigned lead = s[0], n = lead < 0x80   ? 1
                              : lead < 0xC2 ? 0
                              : lead < 0xE0 ? 2
                              : lead < 0xF0 ? 3
                              : lead < 0xF5 ? 4
                                            : 0;
    if (!n || n > left) return 0;
    for (unsigned i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80) return 0;
    if ((lead == 0xE0 && s[1] < 0xA0) || (lead == 0xED && s[1] > 0x9F)) return 0; /* overlong, surrogate */
    if ((lead == 0xF0 && s[1] < 0x90) || (lead == 0xF4 && s[1] > 0x8F)) return 0; /* overlong, too large */
    return n;
}

size_t utf8_valid_bytes(const char *text, size_t size)
{
    size_t i = 0;
    while (i < size) {
        uint64_t word;
        if (i + 8 <= size && (memcpy(&word, text + i, 8), !(word & 0x8080808080808080u))) {
            i += 8;
            continue;
        }
        unsigned n = sequence_length((const unsigned char *)text + i, size - i);
        if (!n) return i;
        i += n;
    }
    return size;
}

size_t utf8_encode(uint32_t c, char out[4])
{
    if (c < 0x80) return out[0] = (char)c, 1;
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}
