/* BertNormalizer: control characters out and white space to spaces, spaces around Chinese characters, accents off,
 * lower
 * case; each on request, in this order. A text of ASCII is done in one pass; otherwise accents need the decomposed text
 * (NFD) in between, whose marks are in canonical order. */
#include <string.h>

#include "trainer/tokenizer/component.h"
#include "trainer/tokenizer/normalizer_unicode.h"

typedef struct Bert {
    bool clean_text, handle_chinese_chars, strip_accents, lowercase;
    unsigned char ascii[128]; /* what becomes of each; 0: it is taken away */
    bool changes[128];
} Bert;

static bool in_ranges(const uint32_t (*ranges)[2], size_t count, uint32_t c)
{
    size_t low = 0, high = count;
    if (c < ranges[0][0]) return false;
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        if (ranges[middle][0] <= c)
            low = middle;
        else
            high = middle;
    }
    return c <= ranges[low][1];
}

static bool is_control(uint32_t c) { return in_ranges(unicode_bert_controls, unicode_bert_controls_count, c); }
static bool is_accent(uint32_t c) { return in_ranges(unicode_bert_accents, unicode_bert_accents_count, c); }

static bool is_chinese(uint32_t c)
{
    return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0x20000 && c <= 0x2A6DF) ||
           (c >= 0x2A700 && c <= 0x2B73F) || (c >= 0x2B740 && c <= 0x2B81F) || (c >= 0x2B920 && c <= 0x2CEAF) ||
           (c >= 0xF900 && c <= 0xFAFF) || (c >= 0x2F800 && c <= 0x2FA1F);
}

static bool is_space(uint32_t c) { return unicode_find(c)->flags & UNICODE_RUST_SPACE; }

static Status load(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Bert *b;
    TRY_NEW(arena, b, 1);
    TRY(json_bool_or(json, where, "clean_text", true, &b->clean_text));
    TRY(json_bool_or(json, where, "handle_chinese_chars", true, &b->handle_chinese_chars));
    TRY(json_bool_or(json, where, "lowercase", true, &b->lowercase));
    TRY(json_bool_or(json, where, "strip_accents", b->lowercase, &b->strip_accents)); /* null: as lowercase */
    for (unsigned c = 0; c < 128; c++) {
        unsigned char to = (unsigned char)c;
        if (b->clean_text) to = is_control(c) ? 0 : is_space(c) ? ' ' : to;
        if (b->lowercase && to >= 'A' && to <= 'Z') to |= 32;
        b->ascii[c] = to;
        b->changes[c] = to != c || (!c && b->clean_text);
    }
    *data = b;
done:
    return st;
}

/* The end of the ASCII that begins at `at`. */
static size_t ascii_end(const Work *w, size_t at, size_t end)
{
    while (at < end && (unsigned char)w->text[at] < 0x80) at++;
    return at;
}

/* Copies ASCII, then changes the copy in place; characters that go away end a run. */
static Status write_ascii(const Bert *b, Work *w, size_t at, size_t end)
{
    Status st = OK;
    while (at < end) {
        size_t from = at, to = w->new_size;
        while (at < end && (b->ascii[(unsigned char)w->text[at]] || !b->clean_text)) at++;
        TRY(work_copy(w, from, at));
        for (; to < w->new_size; to++) w->new_text[to] = (char)b->ascii[(unsigned char)w->new_text[to]];
        at += at < end;
    }
done:
    return st;
}

/* Cleaning and Chinese characters. */
static Status clean_character(const Bert *b, Work *w, size_t at, uint32_t c, unsigned length)
{
    char out[6] = " ";
    if (b->clean_text && is_control(c)) return OK;
    if (b->clean_text && is_space(c)) return work_write(w, " ", 1, at);
    if (!b->handle_chinese_chars || !is_chinese(c)) return work_copy(w, at, at + length);
    memcpy(out + 1, w->text + at, length);
    out[1 + length] = ' ';
    return work_write(w, out, length + 2, at);
}

/* Accents and lower case. */
static Status lower_character(const Bert *b, Work *w, size_t at, uint32_t c, unsigned length)
{
    char out[8];
    uint32_t lower[2];
    if (b->strip_accents && is_accent(c)) return OK;
    if (!b->lowercase) return work_copy(w, at, at + length);
    unsigned n = unicode_lower(c, lower);
    if (n == 1 && lower[0] == c) return work_copy(w, at, at + length);
    size_t size = utf8_encode(lower[0], out);
    if (n > 1) size += utf8_encode(lower[1], out + size);
    return work_write(w, out, size, at);
}

typedef Status Character(const Bert *b, Work *w, size_t at, uint32_t c, unsigned length);

/* Rewrites every piece without an id; ASCII as a whole, other characters by `character`. */
static Status rewrite(const Bert *b, Work *w, Character *character)
{
    Status st = OK;
    TRY(work_rewrite_begin(w, w->size + w->size / 4));
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece p = w->pieces[i];
        unsigned length;
        if (p.id >= 0) TRY(work_copy(w, p.start, p.end));
        for (size_t at = p.start, end; p.id < 0 && at < p.end;) {
            end = ascii_end(w, at, p.end);
            TRY(write_ascii(b, w, at, end));
            at = end;
            if (at == p.end) break;
            uint32_t c = utf8_decode(w->text + at, &length);
            TRY(character(b, w, at, c, length));
            at += length;
        }
        TRY(work_piece_done(w, &p));
    }
    work_rewrite_end(w);
done:
    return st;
}

static bool changes_anything(const Bert *b, const Work *w)
{
    for (size_t i = 0; i < w->piece_count; i++)
        for (size_t at = w->pieces[i].start; w->pieces[i].id < 0 && at < w->pieces[i].end; at++)
            if ((unsigned char)w->text[at] >= 0x80 || b->changes[(unsigned char)w->text[at]]) return true;
    return false;
}

static Status run(const void *data, Work *w)
{
    Status st = OK;
    const Bert *b = data;
    if (!changes_anything(b, w)) goto done;
    bool ascii = utf8_is_ascii(w->text, w->size);
    TRY(rewrite(b, w, clean_character)); /* ASCII is done with here */
    if (ascii) goto done;
    if (b->strip_accents) TRY(normalize_nfd(w));
    if (b->strip_accents || b->lowercase) TRY(rewrite(b, w, lower_character));
done:
    return st;
}

const NormalizerType normalizer_bert = {.head = {"BertNormalizer", load, NULL}, .run = run};
