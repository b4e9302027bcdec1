/* NFC, NFD, NFKC, NFKD (Unicode 3.11) with the data of the library's normalizer, and with its idea of where each
 * character comes from: a decomposition's first character takes the place of what it decomposes, the others stand by
 * it; a composed character takes the place of all it is composed of. Characters that reordering has moved keep the
 * places of the sequence, not their own. */
#include "trainer/tokenizer/normalizer_unicode.h"

#include "trainer/tokenizer/component.h"

enum { COMPATIBLE = 1, COMPOSE = 2, LONG_SEGMENT = 1024 };

/* A character on its way, and how many old characters it takes: 0 stands by the one before (was inserted). The
 * library counts one less. */
typedef struct Char {
    uint32_t c;
    int32_t takes;
    uint8_t class;
} Char;

typedef struct Normalizing {
    Work *w;
    unsigned form;
    const char *limit; /* of the piece */
    size_t from;       /* byte of the old text that is taken next */
    size_t count;      /* in the segment, which is in w->scratch */
} Normalizing;

static Status push(Normalizing *n, uint32_t c, int32_t takes)
{
    Status st = buffer_reserve(&n->w->scratch, (n->count + 1) * sizeof(Char));
    if (!st) ((Char *)n->w->scratch.data)[n->count++] = (Char){c, takes, (uint8_t)unicode_combining_class(c)};
    return st;
}

static Status push_decomposed(Normalizing *n, uint32_t c)
{
    Status st = OK;
    const uint32_t *parts;
    uint32_t s = c - 0xAC00;
    if (s < 11172) { /* Hangul */
        TRY(push(n, 0x1100 + s / 588, 1));
        TRY(push(n, 0x1161 + s % 588 / 28, 0));
        if (s % 28) TRY(push(n, 0x11A7 + s % 28, 0));
        return OK;
    }
    unsigned count = unicode_decompose(c, n->form & COMPATIBLE, &parts);
    if (!count) return push(n, c, 1);
    for (unsigned i = 0; i < count; i++) TRY(push(n, parts[i], i == 0));
done:
    return st;
}

/* Stable, by class, within each run of classes other than 0; merge sort, so that a long run is no attack. */
static Status sort_marks(Normalizing *n, size_t from, size_t to)
{
    Status st = OK;
    size_t count = to - from;
    bool sorted = true;
    for (size_t i = from + 1; i < to; i++)
        sorted &= ((Char *)n->w->scratch.data)[i - 1].class <= ((Char *)n->w->scratch.data)[i].class;
    if (sorted) return OK;
    TRY(buffer_reserve(&n->w->scratch, (n->count + count) * sizeof(Char)));
    Char *a = (Char *)n->w->scratch.data + from, *b = (Char *)n->w->scratch.data + n->count;
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t low = 0; low < count; low += 2 * width) {
            size_t middle = low + width < count ? low + width : count,
                   high = low + 2 * width < count ? low + 2 * width : count;
            for (size_t i = low, j = middle, k = low; k < high; k++)
                b[k] = j == high || (i < middle && a[i].class <= a[j].class) ? a[i++] : a[j++];
        }
        for (size_t i = 0; i < count; i++) a[i] = b[i];
    }
done:
    return st;
}

/* Canonical composition of a segment in place: s[0] composes with every mark that nothing blocks. */
static void compose(Normalizing *n)
{
    Char *s = n->w->scratch.data;
    size_t kept = 0;
    ptrdiff_t starter = -1;
    int last = -1; /* class of the last character kept after the starter */
    for (size_t i = 0; i < n->count; i++) {
        uint32_t whole = 0;
        if (starter >= 0 && (last < 0 || last < s[i].class)) whole = unicode_compose(s[starter].c, s[i].c);
        if (whole) {
            s[starter].c = whole;
            s[starter].takes += s[i].takes;
            continue;
        }
        if (s[i].class == 0) {
            starter = (ptrdiff_t)kept;
            last = -1;
        } else {
            last = s[i].class;
        }
        s[kept++] = s[i];
    }
    n->count = kept;
}

/* Writes the segment out. */
static Status flush(Normalizing *n)
{
    Status st = OK;
    if (n->form & COMPOSE) compose(n);
    for (size_t i = 0; i < n->count; i++) {
        Char c = ((Char *)n->w->scratch.data)[i];
        char out[4];
        size_t place = c.takes > 0 || !n->from ? n->from : n->from - 1;
        TRY(work_write(n->w, out, utf8_encode(c.c, out), place));
        for (int32_t k = 0; k < c.takes && n->w->text + n->from < n->limit; k++)
            n->from += utf8_length((unsigned char)n->w->text[n->from]);
    }
    n->count = 0;
done:
    return st;
}

/* Code points below this are themselves in every text of this form, and neither compose with what is before them nor
 * move. */
static uint32_t inert_below(unsigned form) { return form == COMPOSE ? 0x300 : form & COMPATIBLE ? 0xA0 : 0xC0; }

/* The end of the inert characters at `at`, less the last one when something that is not inert follows: it may take
 * part. */
static const char *skip_inert(const char *at, const char *limit, uint32_t inert)
{
    const char *last = at;
    unsigned length;
    while (at < limit && utf8_decode(at, &length) < inert) last = at, at += length;
    return at < limit ? last : at;
}

/* Whether nothing before c can compose with it or move behind it. Slow for COMPOSE: it reads all pairs. */
static bool begins_anew(unsigned form, uint32_t c)
{
    const uint32_t *parts = &c;
    if (c - 0xAC00u < 11172) return true; /* a Hangul syllable begins with a leading consonant */
    unicode_decompose(c, form & COMPATIBLE, &parts);
    if (unicode_combining_class(parts[0])) return false;
    if (parts[0] - 0x1160u < 0xA0) return false; /* Hangul vowels and trailing consonants */
    for (size_t i = 0; i < unicode_pair_count && form & COMPOSE; i++)
        if (unicode_pairs[i][1] == parts[0]) return false;
    return true;
}

/* Appends a character's decomposition; *marks is where the unsorted run of marks at the segment's end begins. */
static Status add_char(Normalizing *n, uint32_t c, size_t *marks)
{
    Status st = OK;
    size_t before = n->count;
    TRY(push_decomposed(n, c));
    for (size_t i = before; i < n->count; i++) {
        if (((Char *)n->w->scratch.data)[i].class != 0) continue;
        TRY(sort_marks(n, *marks, i));
        *marks = i + 1;
    }
done:
    return st;
}

/* A text is normalized segment by segment; what is inert is copied. */
static Status normalize_piece(Normalizing *n, Piece p)
{
    Status st = OK;
    const char *at = n->w->text + p.start;
    uint32_t inert = inert_below(n->form);
    n->limit = n->w->text + p.end;
    for (size_t marks = 0; at < n->limit; marks = 0) {
        const char *end = skip_inert(at, n->limit, inert);
        TRY(work_copy(n->w, (size_t)(at - n->w->text), (size_t)(end - n->w->text)));
        n->from = (size_t)(end - n->w->text);
        at = end;
        while (at < n->limit) {
            unsigned length;
            uint32_t c = utf8_decode(at, &length);
            if (n->count && (c < inert || (n->count >= LONG_SEGMENT && begins_anew(n->form, c)))) break;
            TRY(add_char(n, c, &marks));
            at += length;
        }
        TRY(sort_marks(n, marks, n->count));
        TRY(flush(n));
    }
done:
    return st;
}

static Status normalize(Work *w, unsigned form)
{
    Status st = OK;
    bool changes = false;
    for (size_t i = 0; i < w->piece_count && !changes; i++) {
        Piece p = w->pieces[i];
        const char *limit = w->text + p.end;
        changes = p.id < 0 && skip_inert(w->text + p.start, limit, inert_below(form)) < limit;
    }
    if (!changes) return OK;
    TRY(work_rewrite_begin(w, w->size));
    for (size_t i = 0; i < w->piece_count; i++) {
        Normalizing n = {.w = w, .form = form};
        Piece p = w->pieces[i];
        TRY(p.id >= 0 ? work_copy(w, p.start, p.end) : normalize_piece(&n, p));
        TRY(work_piece_done(w, &p));
    }
    work_rewrite_end(w);
done:
    return st;
}

static Status load(const cJSON *json, const char *where, Arena *arena, void **data)
{
    (void)json, (void)where, (void)arena;
    *data = NULL;
    return OK;
}

Status normalize_nfd(Work *w) { return normalize(w, 0); }

static Status run_nfc(const void *data, Work *w) { return (void)data, normalize(w, COMPOSE); }
static Status run_nfd(const void *data, Work *w) { return (void)data, normalize(w, 0); }
static Status run_nfkc(const void *data, Work *w) { return (void)data, normalize(w, COMPATIBLE | COMPOSE); }
static Status run_nfkd(const void *data, Work *w) { return (void)data, normalize(w, COMPATIBLE); }

const NormalizerType normalizer_nfc = {.head = {"NFC", load, NULL}, .run = run_nfc};
const NormalizerType normalizer_nfd = {.head = {"NFD", load, NULL}, .run = run_nfd};
const NormalizerType normalizer_nfkc = {.head = {"NFKC", load, NULL}, .run = run_nfkc};
const NormalizerType normalizer_nfkd = {.head = {"NFKD", load, NULL}, .run = run_nfkd};
