/* Prepend and Replace: what SentencePiece's models do to spaces. Inserted characters come from where the character
 * before them comes from, as the library has it; at the very start of a piece, from nowhere. */
#include <string.h>

#include "trainer/tokenizer/component.h"
#include "trainer/tokenizer/pattern.h"

typedef struct Inserted {
    const char *text;
    size_t size;
} Inserted;

static Status load_inserted(const cJSON *json, const char *where, const char *key, Arena *arena, Inserted *out)
{
    Status st = OK;
    TRY(json_string(json, where, key, &out->text));
    out->size = strlen(out->text);
    out->text = arena_strndup(arena, out->text, out->size);
    TRY_MEMORY(out->text);
done:
    return st;
}

static Status load_prepend(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Inserted *p;
    TRY_NEW(arena, p, 1);
    TRY(load_inserted(json, where, "prepend", arena, p));
    *data = p;
done:
    return st;
}

static Status run_prepend(const void *data, Work *w)
{
    Status st = OK;
    const Inserted *p = data;
    if (!w->piece_count) return OK;
    TRY(work_rewrite_begin(w, w->size + w->piece_count * p->size));
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece piece = w->pieces[i];
        size_t first = 0;
        if (piece.id < 0 && p->size) {
            TRY(work_write(w, p->text, p->size, piece.start));
        } else if (piece.id < 0) { /* nothing to insert, but the library moves the first character all the same */
            first = utf8_length((unsigned char)w->text[piece.start]);
            TRY(work_insert(w, w->text + piece.start, first, &piece));
        }
        TRY(work_copy(w, piece.start + first, piece.end));
        TRY(work_piece_done(w, &piece));
    }
    work_rewrite_end(w);
done:
    return st;
}

typedef struct Replace {
    Pattern pattern;
    Inserted content;
} Replace;

static Status load_replace(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Replace *r;
    TRY_NEW(arena, r, 1);
    TRY(load_inserted(json, where, "content", arena, &r->content));
    TRY(pattern_load(json, where, arena, &r->pattern));
    *data = r;
done:
    return st;
}

static void unload_replace(void *data) { pattern_free(&((Replace *)data)->pattern); }

static Status replace_piece(const Replace *r, Work *w, const Piece *p)
{
    Status st = OK;
    PatternScan scan;
    size_t start, end, done = 0;
    bool found;
    TRY(pattern_scan(&scan, &r->pattern, w->regex, w->text + p->start, p->end - p->start));
    for (;;) {
        TRY(pattern_next(&scan, &found, &start, &end));
        if (!found) break;
        TRY(work_copy(w, p->start + done, p->start + start));
        if (end)
            TRY(work_write(w, r->content.text, r->content.size, p->start + end - 1));
        else
            TRY(work_insert(w, r->content.text, r->content.size, p));
        done = end;
    }
    TRY(work_copy(w, p->start + done, p->end));
done:
    return st;
}

static Status matches_anywhere(const Replace *r, Work *w, bool *found)
{
    Status st = OK;
    PatternScan scan;
    size_t start, end;
    *found = false;
    for (size_t i = 0; i < w->piece_count && !*found; i++) {
        Piece p = w->pieces[i];
        if (p.id >= 0) continue;
        TRY(pattern_scan(&scan, &r->pattern, w->regex, w->text + p.start, p.end - p.start));
        TRY(pattern_next(&scan, found, &start, &end));
    }
done:
    return st;
}

static Status run_replace(const void *data, Work *w)
{
    Status st = OK;
    const Replace *r = data;
    bool found;
    TRY(matches_anywhere(r, w, &found));
    if (!found) return OK;
    TRY(work_rewrite_begin(w, w->size + w->size / 4));
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece p = w->pieces[i];
        TRY(p.id >= 0 ? work_copy(w, p.start, p.end) : replace_piece(r, w, &p));
        TRY(work_piece_done(w, &p));
    }
    work_rewrite_end(w);
done:
    return st;
}

const NormalizerType normalizer_prepend = {.head = {"Prepend", load_prepend, NULL}, .run = run_prepend};
const NormalizerType normalizer_replace = {.head = {"Replace", load_replace, unload_replace}, .run = run_replace};
