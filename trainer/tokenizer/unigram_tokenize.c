/* The best way to cut a piece into tokens (Viterbi), as SentencePiece and the library have it: of two ways that weigh
 * the
 * same the one found first, which is the one whose last token begins earlier, stays. An unknown character weighs ten
 * less
 * than the least token; neighbouring unknown ones, "<unk>" written out included, are one. */
#include <stdlib.h>

#include "trainer/tokenizer/unigram.h"

enum { BEST, SYMBOLS }; /* buffers of the scratch */

typedef struct Best {
    double score;
    uint32_t start; /* of the token that ends here */
    int32_t id;     /* -1: no way leads here */
} Best;

typedef struct Symbol {
    int32_t id;
    uint32_t start, end; /* bytes of the piece; the bytes of a character have the same */
} Symbol;

static Status missing_unk(void)
{
    return status_raise(STATUS_FORMAT, "unknown characters in the text, and the tokenizer has no unk_id");
}

static inline void offer(Best *best, double score, uint32_t start, int32_t id)
{
    if (best->id < 0 || score > best->score) *best = (Best){score, start, id};
}

static Status search(const Unigram *m, const char *text, size_t size, Best *best)
{
    unsigned length;
    for (size_t i = 1; i <= size; i++) best[i].id = -1;
    best[0] = (Best){.id = -1};
    for (size_t at = 0; at < size; at += length) {
        const double score = best[at].score;
        uint32_t node = 0;
        bool single = false;
        length = utf8_length((unsigned char)text[at]);
        for (size_t end = at; end < size;) {
            node = unigram_child(m, node, (unsigned char)text[end++]);
            if (!node) break;
            int32_t id = m->node_token[node];
            if (id < 0) continue;
            offer(&best[end], m->scores[id] + score, (uint32_t)at, id);
            single |= end == at + length;
        }
        if (single) continue;
        if (m->unk < 0 && (best[at + length].id < 0 || m->unk_score + score > best[at + length].score))
            return missing_unk();
        offer(&best[at + length], m->unk_score + score, (uint32_t)at, m->unk);
    }
    return OK;
}

/* What the library finds for a run of unknown characters: its own text, its bytes, or the unknown token. */
static void unknown_run(const Unigram *m, const char *text, uint32_t start, uint32_t end, Symbol *out, size_t *n)
{
    int32_t whole = string_map_find(&m->map, text + start, end - start);
    bool falls_back = whole < 0 && m->byte_fallback;
    for (uint32_t i = start; i < end && falls_back; i++) falls_back = m->fallback[(unsigned char)text[i]] >= 0;
    if (!falls_back) {
        out[(*n)++] = (Symbol){whole >= 0 ? whole : m->unk, start, end};
        return;
    }
    for (uint32_t i = end; i > start; i--) /* backwards, as everything here */
        out[(*n)++] = (Symbol){m->fallback[(unsigned char)text[i - 1]], start, end};
}

/* From the end to the start, then turned round. */
static size_t follow(const Unigram *m, const char *text, size_t size, const Best *best, Symbol *out)
{
    size_t n = 0;
    for (uint32_t end = (uint32_t)size; end > 0;) {
        uint32_t start = best[end].start;
        if (best[end].id == m->unk) {
            while (start > 0 && best[start].id == m->unk) start = best[start].start;
            unknown_run(m, text, start, end, out, &n);
        } else {
            out[n++] = (Symbol){best[end].id, start, end};
        }
        end = start;
    }
    for (size_t i = 0; i < n / 2; i++) {
        Symbol s = out[i];
        out[i] = out[n - 1 - i];
        out[n - 1 - i] = s;
    }
    return n;
}

static Status encode_piece(const Unigram *m, ModelScratch *s, const char *text, size_t size, const Symbol **out,
                           size_t *count)
{
    Status st = OK;
    uint64_t hash = 0;
    bool keeps = size <= WORD_CACHE_KEY;
    CachedWord *slot = keeps ? word_cache_find(&s->cache, text, size, 0, &hash) : NULL;
    const Symbol *kept = keeps ? word_cache_value(&s->cache, slot, hash, text, size) : NULL;
    *out = kept;
    if (kept) {
        *count = slot->value_bytes / sizeof *kept;
        goto done;
    }
    TRY(buffer_reserve(&s->buffers[BEST], (size + 1) * sizeof(Best)));
    TRY(buffer_reserve(&s->buffers[SYMBOLS], size * sizeof(Symbol)));
    Symbol *symbols = s->buffers[SYMBOLS].data;
    TRY(search(m, text, size, s->buffers[BEST].data));
    *count = follow(m, text, size, s->buffers[BEST].data, symbols);
    if (keeps) word_cache_put(&s->cache, slot, hash, text, size, symbols, *count * sizeof *symbols);
    *out = symbols;
done:
    return st;
}

Status unigram_tokenize(const void *data, Work *w)
{
    Status st = OK;
    const Unigram *m = data;
    ModelScratch *s;
    TRY(work_spell_bytes(w));
    TRY(model_scratch(w, m->serial, &s));
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece p = w->pieces[i];
        const Symbol *symbols;
        size_t count;
        if (p.id >= 0) {
            TRY(work_token(w, p.id, i, p.start, p.end));
            continue;
        }
        TRY(encode_piece(m, s, w->text + p.start, p.end - p.start, &symbols, &count));
        for (size_t k = 0; k < count; k++)
            TRY(work_token(w, symbols[k].id, i, p.start + symbols[k].start, p.start + symbols[k].end));
    }
done:
    return st;
}
