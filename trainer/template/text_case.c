/* Lower, upper, capitalized and title case as Python's str has them, the final sigma included. */
#include "trainer/template/letters.h"
#include "trainer/template/text.h"

/* Is the sigma at `at` the last letter of a word? */
static bool final_sigma(Value s, size_t at, size_t bytes)
{
    size_t n, i = at;
    bool before = false;
    while (i > 0) {
        do i--;
        while (((unsigned char)s.text[i] & 0xC0) == 0x80);
        unsigned flags = letter_flags(letter_decode(s.text + i, &n));
        if (flags & LETTER_IGNORABLE) continue;
        before = flags & LETTER_CASED;
        break;
    }
    if (!before) return false;
    for (i = at + bytes; i < s.size; i += n) {
        unsigned flags = letter_flags(letter_decode(s.text + i, &n));
        if (!(flags & LETTER_IGNORABLE)) return !(flags & LETTER_CASED);
    }
    return true;
}

Status text_to_case(Render *r, Value s, TextCase which, Value *out)
{
    Status st = OK;
    Text t = {0};
    bool cased = false; /* the letter before is one of a word: for titles */
    TRY(render_spend(r, s.size / 4));
    for (size_t i = 0, n; i < s.size; i += n) {
        uint32_t to[3], c = letter_decode(s.text + i, &n);
        LetterCase letter = CASE_LOWER;
        if (which == TEXT_UPPER) letter = CASE_UPPER;
        else if ((which == TEXT_CAPITALIZE && i == 0) || (which == TEXT_TITLE && !cased)) letter = CASE_TITLE;
        unsigned count = letter_to_case(c, letter, to);
        if (c == 0x3A3 && letter == CASE_LOWER) to[0] = final_sigma(s, i, n) ? 0x3C2 : 0x3C3;
        for (unsigned k = 0; k < count; k++) {
            char bytes[4];
            TRY(render_add(r, &t, bytes, letter_encode(to[k], bytes)));
        }
        cased = letter_flags(c) & LETTER_CASED;
    }
    TRY(render_keep(r, &t, out));
done:
    text_free(&t);
    return st;
}
