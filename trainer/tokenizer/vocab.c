/* Reading a vocabulary. */
#include "trainer/tokenizer/vocab.h"

#include <math.h>

static Status check_ids(const cJSON *vocab, const char *where, Vocab *out, size_t *count)
{
    Status st = OK;
    const cJSON *item;
    cJSON_ArrayForEach (item, vocab) {
        if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0) || item->valuedouble != floor(item->valuedouble))
            RAISE(FORMAT, "%s.vocab: the id of \"%.60s\" is not a whole number", where, item->string);
        if (item->valuedouble >= VOCAB_MOST_IDS)
            RAISE(UNSUPPORTED, "%s.vocab: \"%.60s\" has id %.16g; hone takes ids below %d", where, item->string,
                  item->valuedouble, VOCAB_MOST_IDS);
        if ((int32_t)item->valuedouble >= out->id_limit) out->id_limit = (int32_t)item->valuedouble + 1;
        ++*count;
    }
done:
    return st;
}

Status vocab_load(const cJSON *json, const char *where, Arena *arena, Vocab *out)
{
    Status st = OK;
    const cJSON *vocab = cJSON_GetObjectItemCaseSensitive(json, "vocab"), *item;
    size_t count = 0;
    if (!cJSON_IsObject(vocab)) RAISE(FORMAT, "%s.vocab: should be an object of token: id", where);
    TRY(check_ids(vocab, where, out, &count));
    TRY(string_map_new(arena, count, &out->map));
    TRY_NEW(arena, out->entry_of, out->id_limit + 1);
    for (int32_t id = 0; id < out->id_limit; id++) out->entry_of[id] = -1;
    cJSON_ArrayForEach (item, vocab) {
        bool is_new;
        int32_t id = (int32_t)item->valuedouble;
        size_t size = strlen(item->string);
        const char *text = arena_strndup(arena, item->string, size);
        TRY_MEMORY(text);
        string_map_put(&out->map, text, size, id, &is_new);
        if (!is_new) RAISE(FORMAT, "%s.vocab: token \"%.60s\" is there twice", where, text);
        if (out->entry_of[id] >= 0)
            RAISE(FORMAT, "%s.vocab: \"%.60s\" and \"%.60s\" both have id %d", where,
                  out->map.entries[out->entry_of[id]].text, text, id);
        out->entry_of[id] = (int32_t)out->map.count - 1;
        if (size > out->longest) out->longest = size;
    }
done:
    return st;
}

const char *vocab_token(const Vocab *vocab, int32_t id, size_t *size)
{
    if (id < 0 || id >= vocab->id_limit || vocab->entry_of[id] < 0) return NULL;
    const StringEntry *e = &vocab->map.entries[vocab->entry_of[id]];
    *size = e->size;
    return e->text;
}
