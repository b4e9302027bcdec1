/* Pieces into tokens: the first symbols of a word, the cache of words seen, the merging.
 *
 * At byte level, with all 256 bytes in the vocabulary (every published byte-level model), a piece's bytes are the
 * first symbols and nothing is ever unknown. Otherwise its characters are, with byte fallback and the unknown token
 * as the library has them: an unknown character without either is left out, and does not count in the offsets of what
 * follows. */
#include "trainer/tokenizer/bpe.h"

#include <stdlib.h>

#include "trainer/tokenizer/byte_alphabet.h"

enum { CACHE_SLOTS = 1 << 15, CACHE_POOL = 2 << 20, CACHE_KEY = 256 };

typedef struct CachedWord {
    uint64_t hash;
    uint32_t key, symbols;           /* places in the pool; the key's bytes, then the symbols */
    uint32_t key_size, symbol_count; /* symbol_count 0: empty slot */
} CachedWord;

typedef struct TokenizeScratch {
    uint64_t serial; /* of the model whose words these are */
    BpeScratch merge;
    CachedWord *slots;
    char *pool;
    size_t pool_size;
} TokenizeScratch;

static void scratch_free(void *data)
{
    TokenizeScratch *s = data;
    if (!s) return;
    free(s->merge.symbols.data);
    free(s->merge.links.data);
    free(s->merge.heap.data);
    free(s->merge.text.data);
    free(s->slots);
    free(s->pool);
    free(s);
}

static Status scratch_of(const Bpe *bpe, Work *w, TokenizeScratch **out)
{
    TokenizeScratch *s = w->model;
    if (!s || s->serial != bpe->serial) {
        scratch_free(s);
        w->model = s = calloc(1, sizeof *s);
        w->model_free = scratch_free;
        if (s) {
            s->serial = bpe->serial;
            s->slots = calloc(CACHE_SLOTS, sizeof *s->slots);
            s->pool = malloc(CACHE_POOL);
        }
        if (!s || !s->slots || !s->pool) {
            scratch_free(s);
            w->model = NULL;
            return status_raise(STATUS_MEMORY, "no memory for the tokenizer's cache");
        }
    }
    *out = s;
    return OK;
}

static void cache_put(TokenizeScratch *s, CachedWord *slot, uint64_t hash, const char *word, size_t size,
                      const BpeSymbol *symbols, size_t count)
{
    size_t key = (s->pool_size + 7) & ~(size_t)7, place = (key + size + 7) & ~(size_t)7;
    if (place + count * sizeof *symbols > CACHE_POOL) { /* full: begin again */
        memset(s->slots, 0, CACHE_SLOTS * sizeof *s->slots);
        key = 0;
        place = (size + 7) & ~(size_t)7;
    }
    memcpy(s->pool + key, word, size);
    memcpy(s->pool + place, symbols, count * sizeof *symbols);
    s->pool_size = place + count * sizeof *symbols;
    *slot = (CachedWord){hash, (uint32_t)key, (uint32_t)place, (uint32_t)size, (uint32_t)count};
}

/* The token of a whole piece, for ignore_merges; -1. */
static int32_t find_whole(const Bpe *bpe, BpeScratch *scratch, const char *word, size_t size, bool byte_level)
{
    if (size > bpe->longest) return -1;
    if (!byte_level) return string_map_find(&bpe->vocab, word, size);
    if (buffer_reserve(&scratch->text, 2 * size + 4)) return -1;
    char *text = scratch->text.data;
    size_t n = 0;
    for (size_t i = 0; i < size; i++) n += utf8_encode(byte_alphabet((unsigned char)word[i]), text + n);
    return string_map_find(&bpe->vocab, text, n);
}

/* Tokens for the bytes of an unknown character; false when one of them is not in the vocabulary. */
static bool fall_back(const Bpe *bpe, const char *bytes, unsigned size, BpeSymbol *symbols, size_t *n)
{
    for (unsigned i = 0; i < size; i++)
        if (bpe->fallback[(unsigned char)bytes[i]] < 0) return false;
    for (unsigned i = 0; i < size; i++) symbols[(*n)++] = (BpeSymbol){bpe->fallback[(unsigned char)bytes[i]], 1};
    return true;
}

static Status first_symbols(const Bpe *bpe, const char *word, size_t size, BpeSymbol *symbols, size_t *count)
{
    size_t n = 0;
    uint32_t unknown = 0; /* bytes waiting to become one unknown token */
    unsigned length;
    for (size_t i = 0; i < size; i += length) {
        length = utf8_length((unsigned char)word[i]);
        int32_t id = string_map_find(&bpe->vocab, word + i, length);
        if (id >= 0) {
            if (unknown) symbols[n++] = (BpeSymbol){bpe->unk, unknown};
            unknown = 0;
            symbols[n++] = (BpeSymbol){id, length};
            continue;
        }
        if (bpe->byte_fallback && fall_back(bpe, word + i, length, symbols, &n)) continue;
        if (bpe->unk == BPE_NO_UNK) continue;
        if (bpe->unk == BPE_UNK_MISSING)
            return status_raise(STATUS_FORMAT,
                                "unknown characters in the text, and the unknown token \"%.60s\" is not in the"
                                " tokenizer's vocabulary",
                                bpe->unk_token);
        if (unknown && !bpe->fuse_unk) {
            symbols[n++] = (BpeSymbol){bpe->unk, unknown};
            unknown = 0;
        }
        unknown += length;
    }
    if (unknown) symbols[n++] = (BpeSymbol){bpe->unk, unknown};
    *count = n;
    return OK;
}

static Status encode_word(const Bpe *bpe, TokenizeScratch *s, const char *word, size_t size, bool byte_level,
                          const BpeSymbol **out, size_t *count)
{
    Status st = OK;
    TRY(buffer_reserve(&s->merge.symbols, size * sizeof(BpeSymbol)));
    BpeSymbol *symbols = s->merge.symbols.data;
    size_t n = size;
    int32_t whole = bpe->ignore_merges ? find_whole(bpe, &s->merge, word, size, byte_level) : -1;
    if (whole >= 0) {
        symbols[0] = (BpeSymbol){whole, (uint32_t)size};
        n = 1;
    } else {
        if (byte_level)
            for (size_t i = 0; i < size; i++) symbols[i] = (BpeSymbol){bpe->of_byte[(unsigned char)word[i]], 1};
        else
            TRY(first_symbols(bpe, word, size, symbols, &n));
        TRY(bpe_merge(bpe, &s->merge, symbols, &n));
    }
    *out = symbols;
    *count = n;
done:
    return st;
}

static Status encode_cached(const Bpe *bpe, TokenizeScratch *s, const char *word, size_t size, bool byte_level,
                            const BpeSymbol **out, size_t *count)
{
    if (size > CACHE_KEY) return encode_word(bpe, s, word, size, byte_level, out, count);
    uint64_t hash = hash_bytes(word, size) ^ byte_level; /* the two levels may alternate in one Work's life */
    CachedWord *slot = &s->slots[hash & (CACHE_SLOTS - 1)];
    if (slot->symbol_count && slot->hash == hash && slot->key_size == size &&
        !memcmp(s->pool + slot->key, word, size)) {
        *out = (const BpeSymbol *)(const void *)(s->pool + slot->symbols);
        *count = slot->symbol_count;
        return OK;
    }
    Status st = encode_word(bpe, s, word, size, byte_level, out, count);
    if (!st && *count) cache_put(s, slot, hash, word, size, *out, *count);
    return st;
}

/* The end of the word that begins at `at`: where U+2581 follows something else. */
static size_t word_end(const char *text, size_t at, size_t end)
{
    for (size_t from = at + 1; from < end; from++) {
        const char *lead = memchr(text + from, 0xE2, end - from);
        if (!lead) return end;
        from = (size_t)(lead - text);
        if (bpe_begins_with_space(lead, end - from) && !bpe_ends_with_space(text + at, from - at)) return from;
    }
    return end;
}

/* A piece that is whole sentences (SentencePiece's models have no pre-tokenizer) is encoded word by word where that is
 * the same: words repeat and are in the cache, sentences do not. Offsets run on from what the words before had. */
static Status tokenize_piece(const Bpe *bpe, TokenizeScratch *s, Work *w, size_t number, Piece p)
{
    Status st = OK;
    bool by_words = bpe->words_at_space && !w->byte_level;
    size_t place = p.start;
    for (size_t at = p.start, end; at < p.end; at = end) {
        const BpeSymbol *symbols;
        size_t count;
        end = by_words ? word_end(w->text, at, p.end) : p.end;
        TRY(encode_cached(bpe, s, w->text + at, end - at, w->byte_level, &symbols, &count));
        for (size_t k = 0; k < count; place += symbols[k++].size)
            TRY(work_token(w, symbols[k].id, number, place, place + symbols[k].size));
    }
done:
    return st;
}

Status bpe_tokenize(const void *data, Work *w)
{
    Status st = OK;
    const Bpe *bpe = data;
    TokenizeScratch *s = NULL;
    if (!bpe->bytes_complete) TRY(work_spell_bytes(w));
    TRY(scratch_of(bpe, w, &s));
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece p = w->pieces[i];
        TRY(p.id >= 0 ? work_token(w, p.id, i, p.start, p.end) : tokenize_piece(bpe, s, w, i, p));
    }
done:
    return st;
}
