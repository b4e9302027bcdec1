/* The BPE model of a tokenizer.json: vocabulary, merges in both spellings ("a b", ["a", "b"]) and its switches.
 * Dropout, which makes tokenization random, and sub-word prefixes and suffixes are refused. */
#include <stdio.h>

#include "trainer/tokenizer/bpe.h"
#include "trainer/tokenizer/byte_alphabet.h"
#include "trainer/tokenizer/component.h"

/* The two sides of a merge, whichever way it is written. */
static Status merge_sides(const cJSON *item, const char *where, size_t rank, const char *side[2], size_t size[2])
{
    Status st = OK;
    if (cJSON_IsString(item)) {
        const char *space = strchr(item->valuestring, ' ');
        if (!space || strchr(space + 1, ' '))
            RAISE(FORMAT, "%s.merges[%zu]: \"%.60s\" should be two tokens with a space between", where, rank,
                  item->valuestring);
        side[0] = item->valuestring;
        size[0] = (size_t)(space - item->valuestring);
        side[1] = space + 1;
        size[1] = strlen(side[1]);
        goto done;
    }
    const cJSON *left = cJSON_IsArray(item) ? item->child : NULL, *right = left ? left->next : NULL;
    if (!cJSON_IsString(left) || !cJSON_IsString(right) || right->next)
        RAISE(FORMAT, "%s.merges[%zu]: should be a pair of tokens", where, rank);
    side[0] = left->valuestring;
    size[0] = strlen(side[0]);
    side[1] = right->valuestring;
    size[1] = strlen(side[1]);
done:
    return st;
}

static Status need_token(const Bpe *bpe, const char *where, size_t rank, const char *text, size_t size, int32_t *id)
{
    *id = string_map_find(&bpe->vocab.map, text, size);
    if (*id >= 0) return OK;
    return status_raise(STATUS_FORMAT, "%s.merges[%zu]: token \"%.*s\" is not in the vocabulary", where, rank,
                        (int)(size < 60 ? size : 60), text);
}

static void put_merge(Bpe *bpe, int32_t left, int32_t right, uint32_t rank, uint32_t id)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    uint64_t slot = (pair * 0x9E3779B97F4A7C15u) >> 20;
    while (bpe->merges[slot & bpe->merge_mask].pair != UINT64_MAX && bpe->merges[slot & bpe->merge_mask].pair != pair)
        slot++;
    bpe->merges[slot & bpe->merge_mask] =
        (BpeMerge){pair, rank, id}; /* the last of equal ones counts, as in the library */
}

static Status load_merges(const cJSON *json, const char *where, Arena *arena, Bpe *bpe)
{
    Status st = OK;
    const cJSON *merges = cJSON_GetObjectItemCaseSensitive(json, "merges"), *item;
    size_t slots = 16, count = (size_t)cJSON_GetArraySize(merges), rank = 0;
    char *joined;
    if (!cJSON_IsArray(merges)) RAISE(FORMAT, "%s.merges: should be a list", where);
    while (slots < 2 * count) slots *= 2;
    TRY_NEW(arena, bpe->merges, slots);
    for (size_t i = 0; i < slots; i++) bpe->merges[i].pair = UINT64_MAX;
    bpe->merge_mask = slots - 1;
    TRY_NEW(arena, joined, 2 * bpe->vocab.longest + 1);
    bpe->words_at_space = !bpe->ignore_merges && string_map_find(&bpe->vocab.map, "\xE2\x96\x81", 3) >= 0 &&
                          !(bpe->unk_token && bpe_ends_with_space(bpe->unk_token, strlen(bpe->unk_token)));
    cJSON_ArrayForEach (item, merges) {
        const char *side[2] = {NULL, NULL};
        size_t size[2] = {0, 0};
        int32_t left, right, id;
        if (cJSON_IsString(item) && !strncmp(item->valuestring, "#version", 8)) continue; /* merges.txt's first line */
        TRY(merge_sides(item, where, rank, side, size));
        TRY(need_token(bpe, where, rank, side[0], size[0], &left));
        TRY(need_token(bpe, where, rank, side[1], size[1], &right));
        memcpy(joined, side[0], size[0]);
        memcpy(joined + size[0], side[1], size[1]);
        TRY(need_token(bpe, where, rank, joined, size[0] + size[1], &id));
        put_merge(bpe, left, right, (uint32_t)rank++, (uint32_t)id);
        if (!bpe_ends_with_space(side[0], size[0]) && bpe_begins_with_space(side[1], size[1]))
            bpe->words_at_space = false;
    }
done:
    return st;
}

static Status load_switches(const cJSON *json, const char *where, Bpe *bpe)
{
    Status st = OK;
    double dropout;
    const char *prefix, *suffix;
    TRY(json_real_or(json, where, "dropout", 0, &dropout));
    if (dropout != 0) RAISE(UNSUPPORTED, "%s: dropout %g is not supported; set it to null", where, dropout);
    TRY(json_string_or(json, where, "continuing_subword_prefix", "", &prefix));
    TRY(json_string_or(json, where, "end_of_word_suffix", "", &suffix));
    if (*prefix) RAISE(UNSUPPORTED, "%s: continuing_subword_prefix \"%.20s\" is not supported", where, prefix);
    if (*suffix) RAISE(UNSUPPORTED, "%s: end_of_word_suffix \"%.20s\" is not supported", where, suffix);
    TRY(json_bool_or(json, where, "fuse_unk", false, &bpe->fuse_unk));
    TRY(json_bool_or(json, where, "byte_fallback", false, &bpe->byte_fallback));
    TRY(json_bool_or(json, where, "ignore_merges", false, &bpe->ignore_merges));
    TRY(json_string_or(json, where, "unk_token", NULL, &bpe->unk_token));
done:
    return st;
}

/* Tokens that are looked up often. */
static void find_special(Bpe *bpe)
{
    bool falls_back = bpe->byte_fallback;
    bpe->bytes_complete = true;
    for (unsigned b = 0; b < 256; b++) {
        char text[8];
        bpe->of_byte[b] = string_map_find(&bpe->vocab.map, text, utf8_encode(byte_alphabet(b), text));
        bpe->bytes_complete &= bpe->of_byte[b] >= 0;
        snprintf(text, sizeof text, "<0x%02X>", b);
        bpe->fallback[b] = string_map_find(&bpe->vocab.map, text, 6);
        falls_back &= bpe->fallback[b] >= 0;
    }
    bpe->words_at_space &= falls_back || bpe->unk_token; /* else a character left out would join what is around it */
    bpe->unk = BPE_NO_UNK;
    if (!bpe->unk_token) return;
    int32_t id = string_map_find(&bpe->vocab.map, bpe->unk_token, strlen(bpe->unk_token));
    bpe->unk =
        id >= 0 ? id : BPE_UNK_MISSING; /* an error only when it is needed: some files name one that is not there */
}

static Status load(const cJSON *json, const char *where, Arena *arena, void **data)
{
    Status st = OK;
    Bpe *bpe;
    TRY_NEW(arena, bpe, 1);
    TRY(load_switches(json, where, bpe));
    TRY(vocab_load(json, where, arena, &bpe->vocab));
    TRY(load_merges(json, where, arena, bpe));
    find_special(bpe);
    bpe->serial = model_serial();
    if (bpe->unk_token) {
        bpe->unk_token = arena_strdup(arena, bpe->unk_token);
        TRY_MEMORY(bpe->unk_token);
    }
    *data = bpe;
done:
    return st;
}

static int32_t find(const void *data, const char *token, size_t size)
{
    return string_map_find(&((const Bpe *)data)->vocab.map, token, size);
}

static const char *token(const void *data, int32_t id, size_t *size)
{
    return vocab_token(&((const Bpe *)data)->vocab, id, size);
}

static int32_t count(const void *data) { return (int32_t)((const Bpe *)data)->vocab.map.count; }
static int32_t id_limit(const void *data) { return ((const Bpe *)data)->vocab.id_limit; }

const ModelType tokenizer_model_bpe = {
    .head = {.name = "BPE", .load = load},
    .tokenize = bpe_tokenize,
    .find = find,
    .token = token,
    .count = count,
    .id_limit = id_limit,
};
