/* tokenizer_config.json and generation_config.json of a GGUF file's keys. The class is the one that takes
 * tokenizer.json as it is: transformers 5 (5.23) builds the classes that are called after models anew from the
 * vocabulary, and forgets how a model splits its text. */
#include "trainer/gguf/tokenizer_files.h"

#include <stdio.h>
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/gguf/config.h"

Status tokenizer_ids_read(const Gguf *g, bool byte_level, bool adds_bos, TokenizerIds *out)
{
    Status st = OK;
    *out = (TokenizerIds){0};
    TRY(gguf_int_or(g, "tokenizer.ggml.bos_token_id", byte_level ? -1 : 1, &out->bos));
    TRY(gguf_int_or(g, "tokenizer.ggml.eos_token_id", byte_level ? -1 : 2, &out->eos));
    TRY(gguf_int_or(g, "tokenizer.ggml.unknown_token_id", byte_level ? -1 : 0, &out->unknown));
    TRY(gguf_int_or(g, "tokenizer.ggml.padding_token_id", -1, &out->padding));
    TRY(gguf_int_or(g, "tokenizer.ggml.seperator_token_id", -1, &out->separator)); /* spelled so */
    TRY(gguf_int_or(g, "tokenizer.ggml.mask_token_id", -1, &out->mask));
    TRY(gguf_int_or(g, "tokenizer.ggml.eot_token_id", -1, &out->eot));
    TRY(gguf_int_or(g, "tokenizer.ggml.eom_token_id", -1, &out->eom));
    TRY(gguf_bool_or(g, "tokenizer.ggml.add_bos_token", byte_level ? adds_bos : true, &out->adds_bos));
    TRY(gguf_bool_or(g, "tokenizer.ggml.add_eos_token", false, &out->adds_eos));
done:
    return st;
}

Status tokenizer_ids_check(const Gguf *g, TokenizerIds *ids)
{
    int64_t *const all[] = {&ids->bos, &ids->eos,  &ids->unknown, &ids->padding, &ids->separator,
                            &ids->mask, &ids->eot, &ids->eom};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (*all[i] < 0 || (uint64_t)*all[i] >= ids->count || !ids->texts[*all[i]]) *all[i] = -1;
    if ((ids->adds_bos && ids->bos < 0) || (ids->adds_eos && ids->eos < 0))
        return status_raise(STATUS_FORMAT, "%s: a token is to be added to every text, and its id is not one of the %zu "
                            "tokens", gguf_path(g), ids->count);
    return OK;
}

/* "tokenizer.chat_template", and others of a name as a list with it. */
static Status put_template(const Gguf *g, cJSON *config)
{
    static const char prefix[] = "tokenizer.chat_template.";
    Status st = OK;
    const char *text, *named;
    cJSON *list = NULL;
    TRY(gguf_text_or(g, "tokenizer.chat_template", NULL, &text));
    for (size_t i = 0; i < gguf_value_count(g); i++) {
        const char *key = gguf_value_at(g, i)->key;
        if (strncmp(key, prefix, sizeof prefix - 1)) continue;
        TRY(gguf_text(g, key, &named));
        for (int first = !list; first >= 0; first--) { /* the unnamed one goes first */
            const char *name = first ? "default" : key + sizeof prefix - 1, *body = first ? text : named;
            if (!list) TRY(json_put(config, "chat_template", list = cJSON_CreateArray()));
            if (!body) continue;
            cJSON *item = cJSON_CreateObject();
            if (!item || !cJSON_AddItemToArray(list, item)) RAISE(MEMORY, "out of memory");
            TRY(json_put(item, "name", cJSON_CreateString(name)));
            TRY(json_put(item, "template", cJSON_CreateString(body)));
        }
    }
    if (!list && text) TRY(json_put(config, "chat_template", cJSON_CreateString(text)));
done:
    return st;
}

static Status put_token(cJSON *config, const char *name, const TokenizerIds *ids, int64_t id)
{
    return id < 0 ? OK : json_put(config, name, cJSON_CreateString(ids->texts[id]));
}

static Status write_tokenizer_config(const Gguf *g, const TokenizerIds *ids, const char *path)
{
    Status st = OK;
    const char *architecture;
    char key[192];
    int64_t length;
    cJSON *config = cJSON_CreateObject();
    if (!config) RAISE(MEMORY, "out of memory");
    TRY(gguf_text(g, "general.architecture", &architecture));
    snprintf(key, sizeof key, "%.100s.context_length", architecture);
    TRY(gguf_int_or(g, key, 0, &length));
    TRY(put_token(config, "bos_token", ids, ids->bos));
    TRY(put_token(config, "eos_token", ids, ids->eos));
    TRY(put_token(config, "unk_token", ids, ids->unknown));
    TRY(put_token(config, "pad_token", ids, ids->padding));
    TRY(put_token(config, "sep_token", ids, ids->separator));
    TRY(put_token(config, "mask_token", ids, ids->mask));
    TRY(put_template(g, config));
    TRY(json_put(config, "clean_up_tokenization_spaces", cJSON_CreateFalse()));
    if (length > 0) TRY(json_put(config, "model_max_length", json_new_int(length)));
    TRY(json_put(config, "tokenizer_class", cJSON_CreateString("PreTrainedTokenizerFast")));
    TRY(json_write_file(path, config, 2, true));
done:
    cJSON_Delete(config);
    return st;
}

/* Generation ends at any of them. */
static Status put_ends(cJSON *config, const TokenizerIds *ids)
{
    Status st = OK;
    int64_t ends[3];
    int count = 0;
    for (int i = 0; i < 3; i++) {
        int64_t id = i == 0 ? ids->eos : i == 1 ? ids->eot : ids->eom;
        bool there = id < 0;
        for (int k = 0; k < count; k++) there |= ends[k] == id;
        if (!there) ends[count++] = id;
    }
    if (count == 1) return json_put(config, "eos_token_id", json_new_int(ends[0]));
    if (!count) return OK;
    cJSON *list = cJSON_CreateArray();
    TRY(json_put(config, "eos_token_id", list));
    for (int i = 0; i < count; i++) {
        cJSON *item = json_new_int(ends[i]);
        if (!item || !cJSON_AddItemToArray(list, item)) RAISE(MEMORY, "out of memory");
    }
done:
    return st;
}

static Status write_generation_config(const TokenizerIds *ids, const char *path)
{
    Status st = OK;
    cJSON *config = cJSON_CreateObject();
    if (!config) RAISE(MEMORY, "out of memory");
    if (ids->bos >= 0) TRY(json_put(config, "bos_token_id", json_new_int(ids->bos)));
    TRY(put_ends(config, ids));
    if (ids->padding >= 0) TRY(json_put(config, "pad_token_id", json_new_int(ids->padding)));
    TRY(json_write_file(path, config, 2, true));
done:
    cJSON_Delete(config);
    return st;
}

Status tokenizer_configs_write(const Gguf *g, const TokenizerIds *ids, const char *dir)
{
    Status st = OK;
    Arena *arena = NULL;
    const char *path;
    TRY(arena_new(&arena));
    TRY_MEMORY(path = path_join(arena, dir, "tokenizer_config.json"));
    TRY(write_tokenizer_config(g, ids, path));
    TRY_MEMORY(path = path_join(arena, dir, "generation_config.json"));
    TRY(write_generation_config(ids, path));
done:
    arena_free(arena);
    return st;
}
