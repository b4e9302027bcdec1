/* The rules of UAX 29, as a machine that goes forward. */
#include "trainer/tokenizer/graphemes.h"

static unsigned class_of(uint32_t c)
{
    size_t low = 0, high = grapheme_range_count;
    if (c >= 0x20 && c < 0x7F) return GRAPHEME_OTHER;
    if (c >= 0xAC00 && c <= 0xD7A3) return (c - 0xAC00) % 28 ? GRAPHEME_LVT : GRAPHEME_LV;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (grapheme_ranges[middle][0] <= c)
            low = middle;
        else
            high = middle;
    }
    return c <= grapheme_ranges[low][1] ? grapheme_ranges[low][2] : GRAPHEME_OTHER;
}

static bool breaks_always(GraphemeClass c)
{
    return c == GRAPHEME_CONTROL || c == GRAPHEME_CR || c == GRAPHEME_LF;
}

static bool breaks(const GraphemeState *s, GraphemeClass b)
{
    GraphemeClass a = s->before;
    if (a == GRAPHEME_CR && b == GRAPHEME_LF) return false;                                               /* GB3 */
    if (breaks_always(a) || breaks_always(b)) return true;                                                /* GB4, 5 */
    if (a == GRAPHEME_L && (b == GRAPHEME_L || b == GRAPHEME_V || b == GRAPHEME_LV || b == GRAPHEME_LVT)) /* GB6 */
        return false;
    if ((a == GRAPHEME_LV || a == GRAPHEME_V) && (b == GRAPHEME_V || b == GRAPHEME_T)) return false;      /* GB7 */
    if ((a == GRAPHEME_LVT || a == GRAPHEME_T) && b == GRAPHEME_T) return false;                          /* GB8 */
    if (b == GRAPHEME_EXTEND || b == GRAPHEME_ZWJ || b == GRAPHEME_SPACING_MARK) return false;            /* GB9, 9a */
    if (a == GRAPHEME_PREPEND) return false;                                                              /* GB9b */
    if (b == GRAPHEME_CONSONANT) return !(s->after_consonant && s->linked);                               /* GB9c */
    if (a == GRAPHEME_ZWJ && b == GRAPHEME_PICTOGRAPH) return !s->joined_pictograph;                      /* GB11 */
    if (a == GRAPHEME_REGIONAL && b == GRAPHEME_REGIONAL) return !s->odd_regional;                        /* GB12, 13 */
    return true;
}

bool grapheme_begins(GraphemeState *s, uint32_t code)
{
    unsigned kind = class_of(code);
    GraphemeClass c = kind & 31;
    bool begins = !s->any || breaks(s, c);
    s->any = true;
    s->joined_pictograph = c == GRAPHEME_ZWJ && s->after_pictograph;
    s->after_pictograph = c == GRAPHEME_PICTOGRAPH || (c == GRAPHEME_EXTEND && s->after_pictograph);
    if (c == GRAPHEME_CONSONANT)
        s->after_consonant = true, s->linked = false;
    else if (kind & GRAPHEME_LINKER)
        s->linked = s->after_consonant;
    else if (!(kind & GRAPHEME_JOINS))
        s->after_consonant = s->linked = false;
    s->odd_regional = c == GRAPHEME_REGIONAL && !(s->before == GRAPHEME_REGIONAL && s->odd_regional);
    s->before = c;
    return begins;
}
