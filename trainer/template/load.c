/* The template and the special tokens of a model's directory, as transformers' tokenizers find them. */
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/template/chat_template.h"

enum { MOST_BYTES = 4 << 20 };

static Status read_object(Arena *arena, const char *dir, const char *name, const char **where, cJSON **out)
{
    Status st = OK;
    *where = path_join(arena, dir, name);
    TRY_MEMORY(*where);
    if (!path_exists(*where)) goto done;
    TRY(json_read_file(*where, out));
    if (!cJSON_IsObject(*out)) RAISE(FORMAT, "%s: not an object", *where);
done:
    return st;
}

/* "eos_token": "</s>" or {"content": "</s>", …} */
static Status add_tokens(const cJSON *from, cJSON *tokens)
{
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const cJSON *token = cJSON_GetObjectItemCaseSensitive(from, names[i]);
        if (cJSON_IsObject(token)) token = cJSON_GetObjectItemCaseSensitive(token, "content");
        if (!cJSON_IsString(token)) continue;
        cJSON_DeleteItemFromObjectCaseSensitive(tokens, names[i]);
        if (!cJSON_AddStringToObject(tokens, names[i], token->valuestring))
            return status_raise(STATUS_MEMORY, "out of memory: special tokens");
    }
    return OK;
}

/* The text in tokenizer_config.json; NULL: there is none. */
static Status named_template(const cJSON *config, const char *where, const char **out)
{
    Status st = OK;
    const cJSON *given = cJSON_GetObjectItemCaseSensitive(config, "chat_template"), *all = given;
    *out = NULL;
    if (cJSON_IsArray(all)) { /* [{"name": "default", "template": "…"}, …] */
        given = NULL;
        for (const cJSON *item = all->child; item; item = item->next) {
            const cJSON *name = cJSON_GetObjectItemCaseSensitive(item, "name");
            if (cJSON_IsString(name) && !strcmp(name->valuestring, "default"))
                given = cJSON_GetObjectItemCaseSensitive(item, "template");
        }
        if (!given) RAISE(FORMAT, "%s: of its chat templates none is named default", where);
    }
    if (given && !cJSON_IsNull(given) && !cJSON_IsString(given))
        RAISE(FORMAT, "%s: chat_template is not a text", where);
    if (cJSON_IsString(given)) *out = given->valuestring;
done:
    return st;
}

/* Both files that name tokens; config: tokenizer_config.json's, NULL where there is none. */
static Status read_tokens(Arena *arena, const char *dir, const char **where, cJSON **config, cJSON **tokens)
{
    Status st = OK;
    cJSON *map = NULL;
    const char *map_where;
    *tokens = cJSON_CreateObject();
    if (!*tokens) RAISE(MEMORY, "out of memory: special tokens");
    TRY(read_object(arena, dir, "special_tokens_map.json", &map_where, &map));
    TRY(add_tokens(map, *tokens));
    TRY(read_object(arena, dir, "tokenizer_config.json", where, config));
    TRY(add_tokens(*config, *tokens));
done:
    cJSON_Delete(map);
    return st;
}

Status chat_special_tokens_load(const char *dir, cJSON **special_tokens)
{
    Status st = OK;
    Arena *arena = NULL;
    cJSON *config = NULL, *tokens = NULL;
    const char *where;
    *special_tokens = NULL;
    TRY(arena_new(&arena));
    TRY(read_tokens(arena, dir, &where, &config, &tokens));
    *special_tokens = tokens, tokens = NULL;
done:
    cJSON_Delete(tokens);
    cJSON_Delete(config);
    arena_free(arena);
    return st;
}

Status chat_template_read(const char *path, ChatTemplate **out)
{
    Status st = OK;
    Arena *arena = NULL;
    char *text;
    size_t size;
    *out = NULL;
    TRY(arena_new(&arena));
    TRY(file_read_all(path, arena, MOST_BYTES, &text, &size));
    TRY(chat_template_compile(text, size, path, out));
done:
    arena_free(arena);
    return st;
}

Status chat_template_load(const char *dir, ChatTemplate **out, cJSON **special_tokens)
{
    Status st = OK;
    Arena *arena = NULL;
    cJSON *config = NULL, *tokens = NULL;
    const char *where, *text;
    *out = NULL;
    *special_tokens = NULL;
    TRY(arena_new(&arena));
    TRY(read_tokens(arena, dir, &where, &config, &tokens));
    const char *path = path_join(arena, dir, "chat_template.jinja");
    TRY_MEMORY(path);
    if (path_exists(path)) {
        TRY(chat_template_read(path, out));
    } else {
        TRY(named_template(config, where, &text));
        if (!text)
            RAISE(MISSING,
                  "%s: no chat template: neither chat_template.jinja nor chat_template in tokenizer_config.json; "
                  "chats are for models that were tuned on them",
                  dir);
        TRY(chat_template_compile(text, strlen(text), arena_printf(arena, "%s: chat_template", where), out));
    }
    *special_tokens = tokens, tokens = NULL;
done:
    cJSON_Delete(tokens);
    cJSON_Delete(config);
    arena_free(arena);
    return st;
}
