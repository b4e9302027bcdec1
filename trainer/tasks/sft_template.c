/* See sft_template.h. A directory as chat_template_path gives its template and its eos token, which the tokenizer must
 * have: TRL's clone_chat_template would add it and grow the embeddings. */
#include "trainer/tasks/sft_template.h"

#include <stdio.h>
#include <string.h>

#include "trainer/base/file.h"

const char *const sft_files[] = {"chat_template.jinja", "tokenizer_config.json", "config.json",
                                 "generation_config.json", NULL};

static const char *eos_of(const cJSON *tokens)
{
    const cJSON *eos = cJSON_GetObjectItemCaseSensitive(tokens, "eos_token");
    return cJSON_IsString(eos) ? eos->valuestring : NULL;
}

static Status add_path(SftTemplate *t, Arena *arena, const char *dir, const char *name)
{
    const char *path = name ? path_join(arena, dir, name) : dir;
    if (!path) return STATUS_MEMORY;
    if (path_exists(path)) t->paths[t->num_paths++] = path;
    return OK;
}

/* Of a .jinja file, or of another model's directory, with its eos token. */
static Status open_other(const char *path, Arena *arena, SftTemplate *t, const char **eos)
{
    Status st = OK;
    cJSON *tokens = NULL;
    const char *end = strrchr(path, '.');
    if (!path_exists(path)) RAISE(USAGE, "chat_template_path: %s is not there", path);
    if (path_is_dir(path)) {
        TRY(chat_template_load(path, &t->template, &tokens));
        TRY(add_path(t, arena, path, "chat_template.jinja"));
        TRY(add_path(t, arena, path, "tokenizer_config.json"));
        if (eos_of(tokens)) {
            *eos = arena_strdup(arena, eos_of(tokens));
            TRY_MEMORY(*eos);
        }
    } else {
        if (!end || (strcmp(end, ".jinja") != 0 && strcmp(end, ".j2") != 0))
            RAISE(USAGE, "chat_template_path: %s is neither a directory nor a .jinja or .j2 file", path);
        TRY(chat_template_read(path, &t->template));
        TRY(add_path(t, arena, path, NULL));
    }
done:
    cJSON_Delete(tokens);
    return st;
}

static Status set_eos(const TaskContext *c, const char *eos, SftTemplate *t)
{
    Status st = OK;
    const int32_t own = tokenizer_config(c->tokenizer)->eos_id;
    if (eos) {
        const int32_t id = tokenizer_token_to_id(c->tokenizer, eos);
        if (id < 0)
            RAISE(USAGE, "%s: the tokenizer has no token \"%s\", and embeddings are not resized; take one that it has",
                  c->args->eos_token ? "eos_token" : "chat_template_path: its eos token", eos);
        t->changes_eos = id != own;
        cJSON *token = cJSON_CreateString(eos);
        cJSON_DeleteItemFromObjectCaseSensitive(t->special_tokens, "eos_token");
        if (!token || !cJSON_AddItemToObject(t->special_tokens, "eos_token", token))
            RAISE(MEMORY, "no memory for special tokens");
        t->eos_token = token->valuestring;
    } else if (own >= 0) {
        t->eos_token = tokenizer_id_to_token(c->tokenizer, own);
    }
done:
    return st;
}

Status sft_template_open(const TaskContext *c, Arena *arena, SftTemplate *t)
{
    Status st = OK;
    const char *eos = NULL;
    *t = (SftTemplate){0};
    if (c->args->chat_template_path) {
        TRY(open_other(c->args->chat_template_path, arena, t, &eos));
    } else {
        st = chat_template_load(c->tokenizer_dir, &t->template, &t->special_tokens);
        if (st && st != STATUS_MISSING) goto done;
        if (st) snprintf(t->missing, sizeof t->missing, "%s; set chat_template_path", status_message());
        st = OK;
    }
    if (!t->special_tokens) TRY(chat_special_tokens_load(c->tokenizer_dir, &t->special_tokens));
    TRY(set_eos(c, c->args->eos_token ? c->args->eos_token : eos, t));
done:
    return st;
}

void sft_template_close(SftTemplate *t)
{
    chat_template_free(t->template);
    cJSON_Delete(t->special_tokens);
    *t = (SftTemplate){0};
}

static Status put(cJSON *object, const char *key, cJSON *item)
{
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    if (item && cJSON_AddItemToObject(object, key, item)) return OK;
    cJSON_Delete(item);
    return status_raise(STATUS_MEMORY, "no memory for %s", key);
}

/* The new one first: any of several ends a text. */
static cJSON *eos_list(const cJSON *old, int32_t id)
{
    cJSON *list = cJSON_CreateArray(), *own = json_new_int(id);
    if (!list || !own || !cJSON_AddItemToArray(list, own)) {
        cJSON_Delete(own);
        cJSON_Delete(list);
        return NULL;
    }
    if (cJSON_IsNumber(old)) cJSON_AddItemToArray(list, cJSON_Duplicate(old, true));
    for (const cJSON *o = cJSON_IsArray(old) ? old->child : NULL; o; o = o->next)
        cJSON_AddItemToArray(list, cJSON_Duplicate(o, true));
    return list;
}

static bool has_id(const cJSON *list, int32_t id)
{
    if (cJSON_IsNumber(list)) return list->valuedouble == id;
    for (const cJSON *o = cJSON_IsArray(list) ? list->child : NULL; o; o = o->next)
        if (cJSON_IsNumber(o) && o->valuedouble == id) return true;
    return false;
}

/* The file, which is JSON, with the eos token in it. */
static Status with_eos(const SftTemplate *t, int32_t id, const char *name, Arena *arena, const char **data,
                       size_t *size)
{
    Status st = OK;
    cJSON *file = NULL;
    Text text = {0};
    TRY(json_parse(*data, *size, name, &file));
    if (!cJSON_IsObject(file)) RAISE(FORMAT, "%s: not an object", name);
    const cJSON *ids = cJSON_GetObjectItemCaseSensitive(file, "eos_token_id");
    if (strcmp(name, "tokenizer_config.json") == 0) TRY(put(file, "eos_token", cJSON_CreateString(t->eos_token)));
    else if (strcmp(name, "config.json") == 0) TRY(put(file, "eos_token_id", json_new_int(id)));
    else if (has_id(ids, id)) goto done;
    else TRY(put(file, "eos_token_id", eos_list(ids, id)));
    json_add(&text, file, 2, false);
    text_add(&text, "\n", 1);
    *data = text.failed ? NULL : arena_strndup(arena, text.data, text.size);
    if (!*data) RAISE(MEMORY, "no memory for %s", name);
    *size = text.size;
done:
    cJSON_Delete(file);
    text_free(&text);
    return st;
}

Status sft_file(const TaskContext *c, const char *name, Arena *arena, const char **data, size_t *size)
{
    Status st = OK;
    SftTemplate t = {0};
    if (!c->args->chat_template_path && !c->args->eos_token) return OK;
    TRY(sft_template_open(c, arena, &t));
    if (strcmp(name, "chat_template.jinja") == 0) {
        if (!c->args->chat_template_path) goto done;
        *data = arena_strdup(arena, chat_template_source(t.template));
        TRY_MEMORY(*data);
        *size = strlen(*data);
    } else if (t.changes_eos && *data) {
        TRY(with_eos(&t, tokenizer_token_to_id(c->tokenizer, t.eos_token), name, arena, data, size));
    }
done:
    sft_template_close(&t);
    return st;
}
