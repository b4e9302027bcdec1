/* Precompiled: SentencePiece's own normalizer. Its charsmap is a double-array trie (Aoe 1989; as darts-clone lays it
 * out)
 * of the texts it replaces, whose values are places in a pool of NUL-terminated replacements.
 *
 * As the library has it (the crate spm_precompiled), quirks included: a grapheme of less than six bytes is replaced as
 * a
 * whole by what its shortest prefix in the trie stands for; others are replaced character by character. Where what is
 * put
 * in has fewer characters, the last one written before takes the rest's place, so a replacement by nothing at the very
 * start shifts the offsets of what follows. */
#include <string.h>

#include "trainer/tokenizer/component.h"
#include "trainer/tokenizer/graphemes.h"

enum { LONGEST_WHOLE = 5, MOST_CHANGES = 1024 };

typedef struct Charsmap {
    uint32_t *units;
    size_t unit_count;
    char *pool;
    size_t pool_size;
    bool plain[128]; /* ASCII that stays itself, alone or before something */
} Charsmap;

/* A character to write: `change` of 1 stands by the one before (was inserted), 0 takes a character's place, -n that and
 * n more. */
typedef struct Change {
    uint32_t c;
    int32_t change;
} Change;

static int digit(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 : c >= '0' && c <= '9' ? c - '0' + 52
           : c == '+' ? 62 : c == '/' ? 63 : -1;
}

static Status decode_base64(const char *text, const char *where, Arena *arena, unsigned char **out, size_t *size)
{
    Status st = OK;
    size_t length = strlen(text), n = 0, pad = 0;
    while (pad < 2 && pad < length && text[length - 1 - pad] == '=') pad++;
    if (length % 4) RAISE(FORMAT, "%s: precompiled_charsmap is no base64: %zu characters", where, length);
    TRY_NEW(arena, *out, length / 4 * 3 + 1);
    for (size_t i = 0; i < length; i += 4) {
        uint32_t bits = 0;
        for (size_t k = 0; k < 4; k++) {
            int value = i + k < length - pad ? digit(text[i + k]) : 0;
            if (value < 0) RAISE(FORMAT, "%s: precompiled_charsmap is no base64 at character %zu", where, i + k);
            bits = bits << 6 | (uint32_t)value;
        }
        for (int shift = 16; shift >= 0; shift -= 8) (*out)[n++] = (unsigned char)(bits >> shift);
    }
    *size = n - pad;
done:
    return st;
}

static size_t unit_offset(uint32_t unit) { return (size_t)(unit >> 10) << ((unit & 0x200) >> 6); }

/* The value of the shortest prefix of text in the trie, -1. A trie that leads out of itself holds nothing there. */
static int64_t shortest_prefix(const Charsmap *m, const char *text, size_t size)
{
    size_t node = unit_offset(m->units[0]);
    for (size_t i = 0; i < size && text[i]; i++) {
        unsigned char c = (unsigned char)text[i];
        node ^= c;
        if (node >= m->unit_count || (m->units[node] & (1u << 31 | 0xFF)) != c) return -1;
        uint32_t unit = m->units[node];
        node ^= unit_offset(unit);
        if (unit >> 8 & 1) return node < m->unit_count ? (int64_t)(m->units[node] & 0x7FFFFFFF) : -1;
    }
    return -1;
}

static Status load(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Charsmap *m;
    const char *text;
    unsigned char *bytes = NULL;
    size_t size = 0, trie;
    TRY_NEW(arena, m, 1);
    TRY(json_string(json, where, "precompiled_charsmap", &text));
    TRY(decode_base64(text, where, arena, &bytes, &size));
    if (size < 4) RAISE(FORMAT, "%s: precompiled_charsmap has %zu bytes", where, size);
    trie = (size_t)bytes[0] | (size_t)bytes[1] << 8 | (size_t)bytes[2] << 16 | (size_t)bytes[3] << 24;
    m->unit_count = trie / 4;
    if (!m->unit_count || m->unit_count * 4 > size - 4)
        RAISE(FORMAT, "%s: precompiled_charsmap: a trie of %zu bytes in %zu", where, trie, size);
    TRY_NEW(arena, m->units, m->unit_count);
    for (size_t i = 0; i < m->unit_count; i++) {
        const unsigned char *b = bytes + 4 + 4 * i;
        m->units[i] = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    }
    m->pool = (char *)bytes + 4 + 4 * m->unit_count;
    m->pool_size = size - 4 - 4 * m->unit_count;
    if (utf8_valid_bytes(m->pool, m->pool_size) != m->pool_size)
        RAISE(FORMAT, "%s: precompiled_charsmap: the replacements are not UTF-8", where);
    for (unsigned c = 0; c < 128; c++) {
        char one[2] = {(char)c, 0};
        m->plain[c] = c != '\r' && shortest_prefix(m, one, 1) < 0;
    }
    *data = m;
done:
    return st;
}

/* A piece on its way. */
typedef struct Writing {
    const Charsmap *map;
    Work *w;
    const Piece *piece;
    size_t count; /* changes in w->scratch, not written yet; the last may still change */
    size_t from;  /* the byte of the old text that they begin at */
    bool shifted; /* characters went away before the first: what is written lags behind what is read */
} Writing;

static Status push(Writing *n, uint32_t c, int32_t change)
{
    Status st = buffer_reserve(&n->w->scratch, (n->count + 1) * sizeof(Change));
    if (!st) ((Change *)n->w->scratch.data)[n->count++] = (Change){c, change};
    return st;
}

/* Writes the changes but the last `keep`. */
static Status write_changes(Writing *n, size_t keep)
{
    Status st = OK;
    Work *w = n->w;
    const Piece *p = n->piece;
    Change *changes = w->scratch.data;
    size_t i = 0;
    for (; i + keep < n->count; i++) {
        char out[4];
        size_t size = utf8_encode(changes[i].c, out);
        if (changes[i].change <= 0 && n->from < p->end)
            TRY(work_write(w, out, size, n->from));
        else if (n->from > p->start)
            TRY(work_write(w, out, size, n->from - 1));
        else
            TRY(work_insert(w, out, size, p));
        for (int32_t k = changes[i].change; k <= 0 && n->from < p->end; k++)
            n->from += utf8_length((unsigned char)w->text[n->from]);
    }
    if (i && i < n->count) changes[0] = changes[i];
    n->count -= i;
done:
    return st;
}

/* `old` characters of the text become what is at `place` of the pool. */
static Status push_replacement(Writing *n, int64_t place, int32_t old)
{
    Status st = OK;
    const Charsmap *m = n->map;
    int32_t written = 0;
    if ((size_t)place > m->pool_size ||
        ((size_t)place < m->pool_size && ((unsigned char)m->pool[place] & 0xC0) == 0x80))
        RAISE(FORMAT, "the tokenizer's precompiled_charsmap points to no replacement (%lld)", (long long)place);
    for (size_t at = (size_t)place; at < m->pool_size && m->pool[at]; written++) {
        unsigned length;
        uint32_t c = utf8_decode(m->pool + at, &length);
        TRY(push(n, c, written >= old));
        at += length;
    }
    if (written < old && n->count)
        ((Change *)n->w->scratch.data)[n->count - 1].change -= old - written;
    else if (written < old)
        n->shifted = true;
done:
    return st;
}

/* One grapheme, which is bytes [at, end) of text. */
static Status push_grapheme(Writing *n, size_t at, size_t end)
{
    Status st = OK;
    unsigned length;
    const char *text = n->w->text;
    int64_t place = end - at <= LONGEST_WHOLE ? shortest_prefix(n->map, text + at, end - at) : -1;
    if (place >= 0) {
        int32_t old = 0;
        for (size_t i = at; i < end; i++) old += ((unsigned char)text[i] & 0xC0) != 0x80;
        return push_replacement(n, place, old);
    }
    for (; at < end; at += length) {
        uint32_t c = utf8_decode(text + at, &length);
        place = shortest_prefix(n->map, text + at, length);
        TRY(place < 0 ? push(n, c, 0) : push_replacement(n, place, 1));
        if (n->count > MOST_CHANGES) TRY(write_changes(n, 1));
    }
done:
    return st;
}

/* The end of a run of ASCII that stays itself; the last one may belong to what follows. */
static size_t plain_end(const Charsmap *m, const Work *w, size_t at, size_t end)
{
    size_t start = at;
    while (at < end && (unsigned char)w->text[at] < 0x80 && m->plain[(unsigned char)w->text[at]]) at++;
    return at == end || at == start || (unsigned char)w->text[at] < 0x80 ? at : at - 1;
}

/* Copies [at, end), plain ASCII; the last of it is a change, since what follows may be taken away. */
static Status copy_plain(Writing *n, size_t at, size_t end)
{
    Status st = OK;
    TRY(write_changes(n, 0));
    TRY(work_copy(n->w, at, end - 1));
    n->from = end - 1;
    TRY(push(n, (unsigned char)n->w->text[end - 1], 0));
done:
    return st;
}

static Status normalize_piece(const Charsmap *m, Work *w, const Piece *p)
{
    Status st = OK;
    GraphemeState state = {0};
    Writing n = {.map = m, .w = w, .piece = p, .from = p->start};
    for (size_t at = p->start, end; at < p->end; at = end) {
        unsigned length;
        end = n.shifted ? at : plain_end(m, w, at, p->end);
        if (end > at) {
            TRY(copy_plain(&n, at, end));
            state = (GraphemeState){.any = true};
            continue;
        }
        grapheme_begins(&state, utf8_decode(w->text + at, &length));
        for (end = at + length; end < p->end; end += length) {
            GraphemeState before = state;
            if (!grapheme_begins(&state, utf8_decode(w->text + end, &length))) continue;
            state = before;
            break;
        }
        TRY(push_grapheme(&n, at, end));
        if (n.count > MOST_CHANGES) TRY(write_changes(&n, 1));
    }
    TRY(write_changes(&n, 0));
done:
    return st;
}

static bool is_plain(const Charsmap *m, const Work *w)
{
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece p = w->pieces[i];
        if (p.id < 0 && plain_end(m, w, p.start, p.end) < p.end) return false;
    }
    return true;
}

static Status run(const void *data, Work *w)
{
    Status st = OK;
    const Charsmap *m = data;
    if (is_plain(m, w)) goto done;
    TRY(work_rewrite_begin(w, w->size + w->size / 4));
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece p = w->pieces[i];
        TRY(p.id >= 0 ? work_copy(w, p.start, p.end) : normalize_piece(m, w, &p));
        TRY(work_piece_done(w, &p));
    }
    work_rewrite_end(w);
done:
    return st;
}

const NormalizerType normalizer_precompiled = {.head = {"Precompiled", load, NULL}, .run = run};
