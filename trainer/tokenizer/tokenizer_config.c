/* tokenizer_config.json, and special_tokens_map.json where transformers 4 wrote one: which tokens play which part. A
 * token is a text or an object with "content". add_bos_token and add_eos_token mean nothing here: transformers (5.23)
 * drops both where there is a tokenizer.json, whose post-processor decides. */
#include <string.h>

#include "trainer/base/file.h"
#include "trainer/tokenizer/internal.h"

static Status read_token(const cJSON *config, const char *where, const char *key, const Tokenizer *t, int32_t *id)
{
    Status st = OK;
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(config, key);
    const char *token = NULL;
    if (!value || cJSON_IsNull(value) || *id >= 0) return OK;
    if (cJSON_IsString(value))
        token = value->valuestring;
    else if (cJSON_IsObject(value))
        TRY(json_string(value, where, "content", &token));
    else
        RAISE(FORMAT, "%s: %s should be a token's text or an object with \"content\"", where, key);
    *id = tokenizer_token_to_id(t, token);
    if (*id < 0) RAISE(FORMAT, "%s: %s \"%.60s\" is not in tokenizer.json", where, key, token);
done:
    return st;
}

static Status read_tokens(const cJSON *config, const char *where, Tokenizer *t)
{
    Status st = OK;
    TokenizerConfig *c = &t->config;
    TRY(read_token(config, where, "bos_token", t, &c->bos_id));
    TRY(read_token(config, where, "eos_token", t, &c->eos_id));
    TRY(read_token(config, where, "pad_token", t, &c->pad_id));
    TRY(read_token(config, where, "unk_token", t, &c->unk_id));
    TRY(read_token(config, where, "cls_token", t, &c->cls_id));
    TRY(read_token(config, where, "sep_token", t, &c->sep_id));
    TRY(read_token(config, where, "mask_token", t, &c->mask_id));
done:
    return st;
}

static Status read_side(const cJSON *config, const char *where, const char *key, bool *left)
{
    const char *side;
    Status st = json_string_or(config, where, key, "right", &side);
    if (st) return st;
    *left = !strcmp(side, "left");
    if (*left || !strcmp(side, "right")) return OK;
    return status_raise(STATUS_FORMAT, "%s: %s should be left or right, not \"%.20s\"", where, key, side);
}

/* Some of transformers' classes make a pre-tokenizer of their own by this key, others take tokenizer.json's: where the
 * two contradict each other, what a model was trained with cannot be known. */
static Status check_prefix_space(const cJSON *config, const char *where, const Tokenizer *t)
{
    Status st = OK;
    bool adds;
    const cJSON *value = cJSON_GetObjectItemCaseSensitive(config, "add_prefix_space");
    if (!value || cJSON_IsNull(value)) return OK;
    TRY(json_bool_or(config, where, "add_prefix_space", false, &adds));
    for (size_t i = 0; i < t->pre_tokenizers.count; i++) {
        const Component *c = &t->pre_tokenizers.items[i];
        if (c->type == &pre_tokenizer_byte_level.head && byte_level_adds_space(c->data) != adds)
            RAISE(UNSUPPORTED, "%s: add_prefix_space is %s, in tokenizer.json it is %s: make the two agree", where,
                  adds ? "true" : "false", adds ? "false" : "true");
    }
done:
    return st;
}

static Status read_config(const cJSON *config, const char *where, Tokenizer *t)
{
    Status st = OK;
    double length;
    TRY(json_real_or(config, where, "model_max_length", 1e30, &length));
    if (length < 1) RAISE(FORMAT, "%s: model_max_length %g should be at least 1", where, length);
    if (length < 9007199254740992.0) t->config.model_max_length = (int64_t)length;
    TRY(read_side(config, where, "padding_side", &t->config.pads_left));
    TRY(read_side(config, where, "truncation_side", &t->config.truncates_left));
    TRY(read_tokens(config, where, t));
    TRY(check_prefix_space(config, where, t));
done:
    return st;
}

Status tokenizer_config_load(const char *dir, Tokenizer *t)
{
    static const char *const names[] = {
        "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "special_tokens_map.json", "vocab.json",
        "merges.txt",     "added_tokens.json"};
    enum { COUNT = sizeof names / sizeof *names };
    Status st = OK;
    cJSON *config = NULL;
    size_t count = 0;
    TRY_NEW(t->arena, t->files, COUNT + 1);
    for (size_t i = 0; i < COUNT; i++) {
        const char *path = path_join(t->arena, dir, names[i]);
        TRY_MEMORY(path);
        if (!path_exists(path)) continue;
        t->files[count++] = names[i];
        bool is_config = !strcmp(names[i], "tokenizer_config.json"),
             is_map = !strcmp(names[i], "special_tokens_map.json");
        if (!is_config && !is_map) continue;
        TRY(json_read_file(path, &config));
        if (!cJSON_IsObject(config)) RAISE(FORMAT, "%s: should be a JSON object", path);
        TRY(is_config ? read_config(config, path, t) : read_tokens(config, path, t));
        cJSON_Delete(config);
        config = NULL;
    }
done:
    cJSON_Delete(config);
    return st;
}
