/* A text on its way through the tokenizer: buffers, splitting, writing anew. See work.h. */
#include "trainer/tokenizer/work.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/tokenizer/byte_alphabet.h"

Status work_new(Work **out)
{
    Status st = OK;
    Work *w = calloc(1, sizeof *w);
    *out = NULL;
    if (!w) RAISE(MEMORY, "no memory for the tokenizer");
    TRY(regex_scratch_new(&w->regex));
    *out = w;
    w = NULL;
done:
    work_free(w);
    return st;
}

void work_free(Work *w)
{
    if (!w) return;
    Buffer *all[] = {&w->piece_memory[0], &w->piece_memory[1], &w->id_memory,        &w->span_memory,
                     &w->text_memory[0],  &w->text_memory[1],  &w->origin_memory[0], &w->origin_memory[1],
                     &w->match_memory,    &w->word_memory,     &w->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]->data);
    if (w->model_free) w->model_free(w->model);
    regex_scratch_free(w->regex);
    free(w);
}

Status buffer_reserve(Buffer *b, size_t need)
{
    if (need <= b->capacity) return OK;
    size_t capacity = b->capacity + b->capacity / 2;
    if (capacity < need) capacity = need + 256;
    void *data = realloc(b->data, capacity);
    if (!data) return status_raise(STATUS_MEMORY, "no memory: the tokenizer needs %zu bytes", capacity);
    b->data = data;
    b->capacity = capacity;
    return OK;
}

Status work_begin(Work *w, const char *text, size_t size, bool wants_spans, bool wants_words)
{
    Status st = OK;
    if (size >= 1u << 31) RAISE(UNSUPPORTED, "a text of %zu bytes: split it, one text must be below 2 GiB", size);
    w->text = text;
    w->size = size;
    w->wants_spans = wants_spans;
    w->wants_words = wants_words;
    w->origin = NULL;
    w->byte_level = false;
    w->piece_count = w->token_count = 0;
    work_split_begin(w);
    TRY(work_cut(w, 0, size, -1));
    work_split_end(w);
done:
    return st;
}

void work_split_begin(Work *w) { w->new_pieces = 0; }

Status work_cut(Work *w, size_t start, size_t end, int32_t id)
{
    Buffer *b = &w->piece_memory[!w->piece_side];
    if (start >= end) return OK;
    if ((w->new_pieces + 1) * sizeof(Piece) > b->capacity) {
        Status st = buffer_reserve(b, (w->new_pieces + 1) * sizeof(Piece));
        if (st) return st;
    }
    ((Piece *)b->data)[w->new_pieces++] = (Piece){(uint32_t)start, (uint32_t)end, id, (uint32_t)start};
    return OK;
}

void work_split_end(Work *w)
{
    w->piece_side = !w->piece_side;
    w->pieces = w->piece_memory[w->piece_side].data;
    w->piece_count = w->new_pieces;
}

struct Matches {
    Work *w;
    SplitBehavior behavior;
    bool invert, previous; /* previous: the last span was a match */
    size_t base, end;      /* of the piece; end of the last match, within it */
    Span last;             /* a span that may still grow */
    bool has_last;
};

static Status matches_flush(Matches *m)
{
    if (!m->has_last) return OK;
    m->has_last = false;
    return work_cut(m->w, m->base + m->last.start, m->base + m->last.end, -1);
}

/* The next span of the piece, a match or what lies between two. */
static Status matches_add(Matches *m, size_t start, size_t end, bool is_match)
{
    bool join = false;
    switch (m->behavior) {
    case SPLIT_REMOVED: return is_match ? OK : work_cut(m->w, m->base + start, m->base + end, -1);
    case SPLIT_ISOLATED: return work_cut(m->w, m->base + start, m->base + end, -1);
    case SPLIT_CONTIGUOUS: join = is_match == m->previous; break;
    case SPLIT_MERGED_WITH_PREVIOUS: join = is_match && !m->previous; break;
    case SPLIT_MERGED_WITH_NEXT:
        join = m->previous && !is_match;
        break; /* a match waits for what follows, unless that is one */
    }
    m->previous = is_match;
    if (join && m->has_last) {
        m->last.end = (uint32_t)end;
        return OK;
    }
    Status st = matches_flush(m);
    m->last = (Span){(uint32_t)start, (uint32_t)end};
    m->has_last = true;
    return st;
}

Status work_match(Matches *m, size_t start, size_t end)
{
    Status st = OK;
    if (m->end < start) TRY(matches_add(m, m->end, start, m->invert));
    TRY(matches_add(m, start, end, !m->invert));
    m->end = end;
done:
    return st;
}

Status work_split(Work *w, Matcher *matcher, const void *context, SplitBehavior behavior, bool invert)
{
    Status st = OK;
    work_split_begin(w);
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece p = w->pieces[i];
        if (p.id >= 0) {
            TRY(work_cut(w, p.start, p.end, p.id));
            continue;
        }
        Matches m = {.w = w, .behavior = behavior, .invert = invert, .base = p.start};
        TRY(matcher(context, w, w->text + p.start, p.end - p.start, &m));
        if (m.end < p.end - p.start) TRY(matches_add(&m, m.end, p.end - p.start, invert));
        TRY(matches_flush(&m));
    }
    work_split_end(w);
done:
    return st;
}

Status work_rewrite_begin(Work *w, size_t expected)
{
    Status st = OK;
    TRY(buffer_reserve(&w->text_memory[!w->text_side], expected + 1));
    w->new_text = w->text_memory[!w->text_side].data;
    w->new_size = 0;
    work_split_begin(w);
done:
    return st;
}

static Status rewrite_reserve(Work *w, size_t more)
{
    Status st = OK;
    size_t need = w->new_size + more;
    if (need >= 1u << 31) RAISE(UNSUPPORTED, "a text that grows beyond 2 GiB while it is normalized: split it");
    TRY(buffer_reserve(&w->text_memory[!w->text_side], need));
    w->new_text = w->text_memory[!w->text_side].data;
    if (w->wants_spans) {
        TRY(buffer_reserve(&w->origin_memory[!w->text_side], need * sizeof(Span)));
        w->new_origin = w->origin_memory[!w->text_side].data;
    }
done:
    return st;
}

Span work_origin(const Work *w, size_t byte)
{
    if (w->origin) return w->origin[byte];
    size_t start = byte;
    while (start && ((unsigned char)w->text[start] & 0xC0) == 0x80) start--;
    return (Span){(uint32_t)start, (uint32_t)(start + utf8_length((unsigned char)w->text[start]))};
}

Status work_copy(Work *w, size_t start, size_t end)
{
    Status st = rewrite_reserve(w, end - start);
    if (st) return st;
    if (end > start) memcpy(w->new_text + w->new_size, w->text + start, end - start);
    if (w->wants_spans)
        for (size_t i = start; i < end; i++) w->new_origin[w->new_size + i - start] = work_origin(w, i);
    w->new_size += end - start;
    return OK;
}

Status work_write(Work *w, const char *bytes, size_t size, size_t from)
{
    Status st = rewrite_reserve(w, size);
    if (st) return st;
    memcpy(w->new_text + w->new_size, bytes, size);
    if (w->wants_spans) {
        Span origin = work_origin(w, from);
        for (size_t i = 0; i < size; i++) w->new_origin[w->new_size + i] = origin;
    }
    w->new_size += size;
    return OK;
}

Status work_insert(Work *w, const char *bytes, size_t size, const Piece *old)
{
    Status st = rewrite_reserve(w, size);
    if (st) return st;
    memcpy(w->new_text + w->new_size, bytes, size);
    for (size_t i = 0; i < size && w->wants_spans; i++)
        w->new_origin[w->new_size + i] = (Span){old->base, old->base};
    w->new_size += size;
    return OK;
}

Status work_piece_done(Work *w, const Piece *old)
{
    size_t n = w->new_pieces, start = n ? ((Piece *)w->piece_memory[!w->piece_side].data)[n - 1].end : 0;
    Status st = work_cut(w, start, w->new_size, old->id);
    if (w->new_pieces > n) ((Piece *)w->piece_memory[!w->piece_side].data)[n].base = old->base;
    return st;
}

void work_rewrite_end(Work *w)
{
    w->text_side = !w->text_side;
    w->text = w->new_text;
    w->size = w->new_size;
    w->origin = w->wants_spans ? w->new_origin : NULL;
    work_split_end(w);
}

Status work_spell_bytes(Work *w)
{
    Status st = OK;
    if (!w->byte_level) return OK;
    TRY(work_rewrite_begin(w, w->size * 2));
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece p = w->pieces[i];
        if (p.id >= 0) TRY(work_copy(w, p.start, p.end));
        for (size_t k = p.start; p.id < 0 && k < p.end; k++) {
            char out[4];
            TRY(work_write(w, out, utf8_encode(byte_alphabet((unsigned char)w->text[k]), out), k));
        }
        TRY(work_piece_done(w, &p));
    }
    work_rewrite_end(w);
    w->byte_level = false;
done:
    return st;
}

Status work_token(Work *w, int32_t id, size_t piece, size_t start, size_t end)
{
    Status st = OK;
    size_t n = w->token_count;
    if ((n + 1) * sizeof *w->ids > w->id_memory.capacity) TRY(buffer_reserve(&w->id_memory, (n + 1) * sizeof *w->ids));
    w->ids = w->id_memory.data;
    w->ids[n] = id;
    if (w->wants_spans) {
        if ((n + 1) * sizeof *w->spans > w->span_memory.capacity)
            TRY(buffer_reserve(&w->span_memory, (n + 1) * sizeof *w->spans));
        w->spans = w->span_memory.data;
        w->spans[n] = (Span){(uint32_t)start, (uint32_t)end};
    }
    if (w->wants_words) {
        TRY(buffer_reserve(&w->word_memory, (n + 1) * sizeof *w->words));
        w->words = w->word_memory.data;
        w->words[n] = (int32_t)piece;
    }
    w->token_count = n + 1;
done:
    return st;
}
