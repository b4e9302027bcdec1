/* WordPiece (Wu et al. 2016), BERT's model: a word is cut, from its start, into the longest tokens there are; those
 * inside a word have a prefix ("##"). A word that cannot be cut, or is too long, is one unknown token. */
#include "trainer/tokenizer/component.h"
#include "trainer/tokenizer/model_scratch.h"
#include "trainer/tokenizer/vocab.h"

enum { SYMBOLS, JOINED }; /* buffers of the scratch */

typedef struct WordPiece {
    Vocab vocab;
    const char *unk_token, *prefix;
    size_t prefix_size;
    int32_t unk; /* -1: not in the vocabulary, an error only when it is needed */
    int64_t most_chars;
    uint64_t serial;
} WordPiece;

typedef struct Symbol {
    int32_t id;
    uint32_t size; /* bytes of the word */
} Symbol;

static Status load(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    WordPiece *m;
    TRY_NEW(arena, m, 1);
    TRY(json_string(json, where, "unk_token", &m->unk_token));
    TRY(json_string(json, where, "continuing_subword_prefix", &m->prefix));
    TRY(json_int(json, where, "max_input_chars_per_word", &m->most_chars));
    if (m->most_chars < 0) RAISE(FORMAT, "%s: max_input_chars_per_word counts characters from 0", where);
    TRY(vocab_load(json, where, arena, &m->vocab));
    m->unk_token = arena_strdup(arena, m->unk_token);
    TRY_MEMORY(m->unk_token);
    m->prefix = arena_strdup(arena, m->prefix);
    TRY_MEMORY(m->prefix);
    m->prefix_size = strlen(m->prefix);
    m->unk = string_map_find(&m->vocab.map, m->unk_token, strlen(m->unk_token));
    m->serial = model_serial();
    *data = m;
done:
    return st;
}

static bool is_too_long(const WordPiece *m, const char *word, size_t size)
{
    int64_t characters = 0;
    if ((int64_t)size <= m->most_chars) return false;
    for (size_t i = 0; i < size; i++) characters += ((unsigned char)word[i] & 0xC0) != 0x80;
    return characters > m->most_chars;
}

/* The longest token at the start of text (prefix and rest of the word, of which `lead` bytes are prefix): its bytes; 0:
 * none. */
static size_t longest_token(const WordPiece *m, const char *text, size_t lead, size_t size, int32_t *id)
{
    if (size > m->vocab.longest) {
        size = m->vocab.longest; /* what is longer is no token; back to a character's end */
        while (size > lead && ((unsigned char)text[size] & 0xC0) == 0x80) size--;
    }
    while (size > lead) {
        *id = string_map_find(&m->vocab.map, text, size);
        if (*id >= 0) return size;
        size = (size_t)(utf8_previous(text + size) - text);
    }
    return 0;
}

/* Cuts a word; *count 0: it cannot be. */
static Status cut_word(const WordPiece *m, ModelScratch *s, const char *word, size_t size, Symbol **out, size_t *count)
{
    Status st = OK;
    size_t lead = m->prefix_size, n = 0;
    TRY(buffer_reserve(&s->buffers[SYMBOLS], (size + 1) * sizeof(Symbol)));
    TRY(buffer_reserve(&s->buffers[JOINED], lead + size + 1));
    Symbol *symbols = *out = s->buffers[SYMBOLS].data;
    char *joined = s->buffers[JOINED].data; /* the word with room before it, where the prefix goes */
    memcpy(joined + lead, word, size);
    *count = 0;
    if (is_too_long(m, word, size)) goto done;
    for (size_t at = 0; at < size;) {
        size_t before = at ? lead : 0;
        char *text = joined + lead + at - before;
        if (before) memcpy(text, m->prefix, lead); /* over what has been cut off already */
        size_t found = longest_token(m, text, before, before + size - at, &symbols[n].id);
        if (!found) goto done;
        symbols[n].size = (uint32_t)(found - before);
        at += symbols[n++].size;
    }
    *count = n;
done:
    return st;
}

static Status encode_word(const WordPiece *m, ModelScratch *s, const char *word, size_t size, const Symbol **out,
                          size_t *count)
{
    Status st = OK;
    uint64_t hash = 0;
    bool keeps = size <= WORD_CACHE_KEY;
    Symbol *symbols;
    CachedWord *slot = keeps ? word_cache_find(&s->cache, word, size, 0, &hash) : NULL;
    const Symbol *kept = keeps ? word_cache_value(&s->cache, slot, hash, word, size) : NULL;
    *out = kept;
    if (kept) {
        *count = slot->value_bytes / sizeof *kept;
        goto done;
    }
    TRY(cut_word(m, s, word, size, &symbols, count));
    if (!*count) {
        if (m->unk < 0)
            RAISE(FORMAT, "an unknown word in the text, and the unknown token \"%.60s\" is not in the tokenizer's"
                  " vocabulary", m->unk_token);
        symbols[0] = (Symbol){m->unk, (uint32_t)size};
        *count = 1;
    }
    if (keeps) word_cache_put(&s->cache, slot, hash, word, size, symbols, *count * sizeof *symbols);
    *out = symbols;
done:
    return st;
}

static Status tokenize(const void *data, Work *w)
{
    Status st = OK;
    const WordPiece *m = data;
    ModelScratch *s;
    TRY(work_spell_bytes(w));
    TRY(model_scratch(w, m->serial, &s));
    for (size_t i = 0; i < w->piece_count; i++) {
        Piece p = w->pieces[i];
        const Symbol *symbols;
        size_t count, place = p.start;
        if (p.id >= 0) {
            TRY(work_token(w, p.id, i, p.start, p.end));
            continue;
        }
        TRY(encode_word(m, s, w->text + p.start, p.end - p.start, &symbols, &count));
        for (size_t k = 0; k < count; place += symbols[k++].size)
            TRY(work_token(w, symbols[k].id, i, place, place + symbols[k].size));
    }
done:
    return st;
}

static int32_t find(const void *data, const char *token, size_t size)
{
    return string_map_find(&((const WordPiece *)data)->vocab.map, token, size);
}

static const char *token(const void *data, int32_t id, size_t *size)
{
    return vocab_token(&((const WordPiece *)data)->vocab, id, size);
}

static int32_t count(const void *data) { return (int32_t)((const WordPiece *)data)->vocab.map.count; }
static int32_t id_limit(const void *data) { return ((const WordPiece *)data)->vocab.id_limit; }

const ModelType tokenizer_model_wordpiece = {
    .head = {.name = "WordPiece", .load = load},
    .tokenize = tokenize,
    .find = find,
    .token = token,
    .count = count,
    .id_limit = id_limit,
};
