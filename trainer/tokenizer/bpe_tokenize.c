/* Pieces into tokens: the first symbols of a word, the cache of words seen, the merging.
 *
 * At byte level, with all 256 bytes in the vocabulary (every published byte-level model), a piece's bytes are the
 * first symbols and nothing is ever unknown. Otherwise its characters are, with byte fallback and the unknown token
 * as the library has them: an unknown character without either is left out, and does not count in the offsets of what
 * follows. */
#include "trainer/tokenizer/bpe.h"

#include "trainer/tokenizer/byte_alphabet.h"

/* The token of a whole piece, for ignore_merges; -1. */
static int32_t find_whole(const Bpe *bpe, ModelScratch *scratch, const char *word, size_t size, bool byte_level)
{
    if (size > bpe->vocab.longest) return -1;
    if (!byte_level) return string_map_find(&bpe->vocab.map, word, size);
    if (buffer_reserve(&scratch->buffers[BPE_TEXT], 2 * size + 4)) return -1;
    char *text = scratch->buffers[BPE_TEXT].data;
    size_t n = 0;
    for (size_t i = 0; i < size; i++) n += utf8_encode(byte_alphabet((unsigned char)word[i]), text + n);
    return string_map_find(&bpe->vocab.map, text, n);
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
        int32_t id = string_map_find(&bpe->vocab.map, word + i, length);
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

static Status encode_word(const Bpe *bpe, ModelScratch *s, const char *word, size_t size, bool byte_level,
                          const BpeSymbol **out, size_t *count)
{
    Status st = OK;
    TRY(buffer_reserve(&s->buffers[BPE_SYMBOLS], size * sizeof(BpeSymbol)));
    BpeSymbol *symbols = s->buffers[BPE_SYMBOLS].data;
    size_t n = size;
    int32_t whole = bpe->ignore_merges ? find_whole(bpe, s, word, size, byte_level) : -1;
    if (whole >= 0) {
        symbols[0] = (BpeSymbol){whole, (uint32_t)size};
        n = 1;
    } else {
        if (byte_level)
            for (size_t i = 0; i < size; i++) symbols[i] = (BpeSymbol){bpe->of_byte[(unsigned char)word[i]], 1};
        else
            TRY(first_symbols(bpe, word, size, symbols, &n));
        TRY(bpe_merge(bpe, s, symbols, &n));
    }
    *out = symbols;
    *count = n;
done:
    return st;
}

static Status encode_cached(const Bpe *bpe, ModelScratch *s, const char *word, size_t size, bool byte_level,
                            const BpeSymbol **out, size_t *count)
{
    if (size > WORD_CACHE_KEY) return encode_word(bpe, s, word, size, byte_level, out, count);
    uint64_t hash;
    CachedWord *slot = word_cache_find(&s->cache, word, size, byte_level, &hash); /* both levels may be in one cache */
    const BpeSymbol *kept = word_cache_value(&s->cache, slot, hash, word, size);
    if (kept) {
        *out = kept;
        *count = slot->value_bytes / sizeof *kept;
        return OK;
    }
    Status st = encode_word(bpe, s, word, size, byte_level, out, count);
    if (!st && *count) word_cache_put(&s->cache, slot, hash, word, size, *out, *count * sizeof **out);
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
static Status tokenize_piece(const Bpe *bpe, ModelScratch *s, Work *w, size_t number, Piece p)
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
    ModelScratch *s = NULL;
    if (!bpe->bytes_complete) TRY(work_spell_bytes(w));
    TRY(model_scratch(w, bpe->serial, &s));
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece p = w->pieces[i];
        TRY(p.id >= 0 ? work_token(w, p.id, i, p.start, p.end) : tokenize_piece(bpe, s, w, i, p));
    }
done:
    return st;
}
