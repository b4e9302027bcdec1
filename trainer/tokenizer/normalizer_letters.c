/* Normalizers that look at one character at a time: Lowercase, Strip, StripAccents. Letters and marks are those of the
 * library (letter_table.c). */
#include "trainer/tokenizer/component.h"

static Status load_nothing(const cJSON *json, const char *where, Arena *arena, void **data)
{
    (void)json, (void)where, (void)arena;
    *data = NULL;
    return OK;
}

/* Rewrites every piece without an id by `piece`. */
static Status rewrite(Work *w, const void *data, Status (*piece)(const void *data, Work *w, Piece p))
{
    Status st = OK;
    TRY(work_rewrite_begin(w, w->size));
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece p = w->pieces[i];
        TRY(p.id >= 0 ? work_copy(w, p.start, p.end) : piece(data, w, p));
        TRY(work_piece_done(w, &p));
    }
    work_rewrite_end(w);
done:
    return st;
}

/* Copies ASCII in lower case; what it becomes is written over the copy. */
static Status copy_lowered(Work *w, size_t start, size_t end)
{
    size_t at = w->new_size;
    Status st = work_copy(w, start, end);
    for (; !st && at < w->new_size; at++)
        if ((unsigned char)(w->new_text[at] - 'A') < 26) w->new_text[at] = (char)(w->new_text[at] | 32);
    return st;
}

static Status lower_piece(const void *data, Work *w, Piece p)
{
    Status st = OK;
    (void)data;
    for (size_t i = p.start, ascii = i; i < p.end; ascii = i) {
        while (i < p.end && (unsigned char)w->text[i] < 0x80) i++;
        TRY(copy_lowered(w, ascii, i));
        if (i == p.end) break;
        char out[8];
        unsigned length;
        uint32_t lower[2];
        unsigned n = unicode_lower(utf8_decode(w->text + i, &length), lower);
        size_t size = utf8_encode(lower[0], out);
        if (n > 1) size += utf8_encode(lower[1], out + size);
        TRY(work_write(w, out, size, i));
        i += length;
    }
done:
    return st;
}

static Status run_lowercase(const void *data, Work *w) { return rewrite(w, data, lower_piece); }

typedef struct Strip {
    bool left, right;
} Strip;

static Status load_strip(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Strip *s;
    TRY_NEW(arena, s, 1);
    TRY(json_bool_or(json, where, "strip_left", true, &s->left));
    TRY(json_bool_or(json, where, "strip_right", true, &s->right));
    *data = s;
done:
    return st;
}

static bool is_space(const char *at)
{
    unsigned length;
    uint32_t c = utf8_decode(at, &length);
    if (c > 32 && c < 127) return false;
    return unicode_find(c)->flags & UNICODE_RUST_SPACE;
}

static Status strip_piece(const void *data, Work *w, Piece p)
{
    const Strip *s = data;
    const char *start = w->text + p.start, *end = w->text + p.end;
    while (s->left && start < end && is_space(start)) start += utf8_length((unsigned char)*start);
    while (s->right && start < end && is_space(utf8_previous(end))) end = utf8_previous(end);
    return work_copy(w, (size_t)(start - w->text), (size_t)(end - w->text));
}

static Status run_strip(const void *data, Work *w) { return rewrite(w, data, strip_piece); }

static Status strip_accents_of(const void *data, Work *w, Piece p)
{
    Status st = OK;
    size_t kept = p.start;
    unsigned length = 1;
    (void)data;
    for (size_t i = p.start; i < p.end; i += length) {
        length = 1;
        if ((unsigned char)w->text[i] < 0x80 || !unicode_is_mark(utf8_decode(w->text + i, &length))) continue;
        TRY(work_copy(w, kept, i));
        kept = i + length;
    }
    TRY(work_copy(w, kept, p.end));
done:
    return st;
}

static Status run_strip_accents(const void *data, Work *w)
{
    return utf8_is_ascii(w->text, w->size) ? OK : rewrite(w, data, strip_accents_of);
}

const NormalizerType normalizer_lowercase = {.head = {"Lowercase", load_nothing, NULL}, .run = run_lowercase};
const NormalizerType normalizer_strip = {.head = {"Strip", load_strip, NULL}, .run = run_strip};
const NormalizerType normalizer_strip_accents = {.head = {"StripAccents", load_nothing, NULL},
                                                 .run = run_strip_accents};
