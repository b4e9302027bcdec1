/* Reading a Unigram model (Kudo 2018): tokens with scores, in the order of their ids. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "trainer/tokenizer/component.h"
#include "trainer/tokenizer/unigram.h"

enum { MOST_TOKENS = 1 << 22, MOST_NODES = 1 << 24 };

/* The double that the library makes of the digits of this one. Its reader (serde_json without float_roundtrip) takes
 * the
 * digits as a whole number and divides once, which misses the nearest double by one bit in an eighth of the cases;
 * where
 * two ways to cut a word weigh almost the same, that bit decides. */
static double as_library_reads(double exact)
{
    double size = fabs(exact), read;
    char text[32];
    if (size == 0 || size < 1e-290 || size == floor(size)) return exact;
    int digits = 15;
    do snprintf(text, sizeof text, "%.*e", digits - 1, size);
    while (digits++ < 17 && strtod(text, NULL) != size);
    int exponent = atoi(strchr(text, 'e') + 1);
    uint64_t number = 0;
    int last = 0, places = 0;
    for (int i = 0; text[i] != 'e'; i++)
        if (text[i] >= '1' && text[i] <= '9') last = i;
    for (int i = 0; i <= last; i++) {
        if (text[i] == '.') continue;
        number = number * 10 + (uint64_t)(text[i] - '0');
        places += i > 0;
    }
    exponent -= places;
    if (exponent < -308 || exponent > 0) return exact;
    read = (double)number / strtod((snprintf(text, sizeof text, "1e%d", -exponent), text), NULL);
    return exact < 0 ? -read : read;
}

static Status load_token(const cJSON *item, const char *where, int32_t id, Arena *arena, Unigram *m)
{
    Status st = OK;
    const cJSON *text = cJSON_IsArray(item) ? item->child : NULL, *score = text ? text->next : NULL;
    bool is_new;
    if (!cJSON_IsString(text) || !cJSON_IsNumber(score) || score->next)
        RAISE(FORMAT, "%s.vocab[%d]: should be a token and its score, as [\"the\", -3.5]", where, id);
    if (!isfinite(score->valuedouble)) RAISE(FORMAT, "%s.vocab[%d]: the score is not a number", where, id);
    m->sizes[id] = (uint32_t)strlen(text->valuestring);
    m->tokens[id] = arena_strndup(arena, text->valuestring, m->sizes[id]);
    TRY_MEMORY(m->tokens[id]);
    m->scores[id] = as_library_reads(score->valuedouble);
    *string_map_put(&m->map, m->tokens[id], m->sizes[id], id, &is_new) = id;
done:
    return st;
}

static Status load_vocab(const cJSON *json, const char *where, Arena *arena, Unigram *m, size_t *bytes)
{
    Status st = OK;
    const cJSON *vocab = cJSON_GetObjectItemCaseSensitive(json, "vocab"), *item;
    double least = INFINITY;
    if (!cJSON_IsArray(vocab)) RAISE(FORMAT, "%s.vocab: should be a list of tokens and their scores", where);
    int count = cJSON_GetArraySize(vocab);
    if (count >= MOST_TOKENS) RAISE(UNSUPPORTED, "%s.vocab: %d tokens; hone takes %d", where, count, MOST_TOKENS - 1);
    TRY_NEW(arena, m->tokens, (size_t)count + 1);
    TRY_NEW(arena, m->scores, (size_t)count + 1);
    TRY_NEW(arena, m->sizes, (size_t)count + 1);
    TRY(string_map_new(arena, (size_t)count, &m->map));
    cJSON_ArrayForEach (item, vocab) {
        TRY(load_token(item, where, m->count, arena, m));
        *bytes += m->sizes[m->count];
        if (m->scores[m->count] < least) least = m->scores[m->count];
        m->count++;
    }
    m->unk_score = least - 10; /* SentencePiece's kUnkPenalty */
done:
    return st;
}

static void add_to_trie(Unigram *m, int32_t id)
{
    uint32_t node = 0;
    for (uint32_t i = 0; i < m->sizes[id]; i++) {
        unsigned char byte = (unsigned char)m->tokens[id][i];
        uint32_t child = unigram_child(m, node, byte);
        if (!child) {
            child = m->node_count++;
            m->node_token[child] = -1;
            if (!node) {
                m->first[byte] = child;
            } else {
                uint32_t key = node << 8 | byte;
                uint64_t slot = (key * 0x9E3779B97F4A7C15u) >> 32;
                while (m->edges[slot & m->edge_mask].key) slot++;
                m->edges[slot & m->edge_mask] = (UnigramEdge){key, child};
            }
        }
        node = child;
    }
    if (node) m->node_token[node] = id;
}

static Status build_trie(Unigram *m, const char *where, Arena *arena, size_t bytes)
{
    Status st = OK;
    size_t slots = 16;
    if (bytes >= MOST_NODES)
        RAISE(UNSUPPORTED, "%s.vocab: tokens of %zu bytes together; hone takes less than %d", where, bytes, MOST_NODES);
    while (slots < 2 * bytes) slots *= 2;
    TRY_NEW(arena, m->edges, slots);
    m->edge_mask = slots - 1;
    TRY_NEW(arena, m->node_token, bytes + 1);
    m->node_token[0] = -1;
    m->node_count = 1;
    for (int32_t id = 0; id < m->count; id++) add_to_trie(m, id);
done:
    return st;
}

static Status load_unk(const cJSON *json, const char *where, Unigram *m)
{
    Status st = OK;
    const cJSON *unk = cJSON_GetObjectItemCaseSensitive(json, "unk_id");
    m->unk = -1;
    if (!unk || cJSON_IsNull(unk)) return OK;
    int64_t id;
    TRY(json_int(json, where, "unk_id", &id));
    if (id < 0 || id >= m->count)
        RAISE(FORMAT, "%s: unk_id %lld: there are %d tokens", where, (long long)id, m->count);
    m->unk = (int32_t)id;
done:
    return st;
}

static Status load(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Unigram *m;
    size_t bytes = 0;
    TRY_NEW(arena, m, 1);
    TRY(json_bool_or(json, where, "byte_fallback", false, &m->byte_fallback));
    TRY(load_vocab(json, where, arena, m, &bytes));
    TRY(load_unk(json, where, m));
    TRY(build_trie(m, where, arena, bytes));
    for (unsigned b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", b);
        m->fallback[b] = string_map_find(&m->map, text, 6);
    }
    m->serial = model_serial();
    *data = m;
done:
    return st;
}

static int32_t find(const void *data, const char *token, size_t size)
{
    return string_map_find(&((const Unigram *)data)->map, token, size);
}

static const char *token(const void *data, int32_t id, size_t *size)
{
    const Unigram *m = data;
    if (id < 0 || id >= m->count) return NULL;
    *size = m->sizes[id];
    return m->tokens[id];
}

static int32_t count(const void *data) { return ((const Unigram *)data)->count; }
static int32_t own_text(const void *data) { return ((const Unigram *)data)->unk; }

const ModelType tokenizer_model_unigram = {
    .head = {.name = "Unigram", .load = load},
    .tokenize = unigram_tokenize,
    .find = find,
    .token = token,
    .count = count,
    .id_limit = count,
    .own_text = own_text,
};
