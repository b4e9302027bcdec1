/* Names of tokenizer.ggml.pre. A GGUF file only names how text is split before merging; here is what the tokenizer.json
 * of the models that gave the names says, so that converted and original tokenizers are the same. Sources: these files,
 * and llama.cpp's table of names. */
#include <string.h>

#include "trainer/gguf/tokenizer.h"

#define BYTE_LEVEL(prefix, trim, regex) \
    "{\"type\":\"ByteLevel\",\"add_prefix_space\":" prefix ",\"trim_offsets\":" trim ",\"use_regex\":" regex "}"
#define SEQUENCE(first, second) "{\"type\":\"Sequence\",\"pretokenizers\":[" first "," second "]}"
#define SPLIT(regex) \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\",\"invert\":false}"
#define DIGITS "{\"type\":\"Digits\",\"individual_digits\":true}"
#define DECODER BYTE_LEVEL("true", "true", "true")

/* Escaped for JSON within C. */
#define ENDINGS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define REST " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define REST_SLASH " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define WORD "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+"
#define UPPER "[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define LOWER "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define LLAMA3 ENDINGS "|" WORD "|\\\\p{N}{1,3}|" REST
#define QWEN2 ENDINGS "|" WORD "|\\\\p{N}|" REST
#define TEKKEN                                                                                  \
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" UPPER "*" LOWER "+|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" UPPER "+" LOWER \
    "*|\\\\p{N}|" REST_SLASH
#define GPT4O                                                                                                \
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" UPPER "*" LOWER "+" ENDINGS "?|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" UPPER "+" LOWER \
    "*" ENDINGS "?|\\\\p{N}{1,3}|" REST_SLASH

static const GgufPre pres[] = {
    {"gpt-2", "null", BYTE_LEVEL("false", "true", "true"), BYTE_LEVEL("true", "false", "true"), DECODER, false, false},
    {"smollm starcoder refact", "null", SEQUENCE(DIGITS, BYTE_LEVEL("false", "true", "true")), "null", DECODER, false,
     false},
    {"llama-bpe llama3 llama-v3 falcon3 pixtral", "null",
     SEQUENCE(SPLIT(LLAMA3), BYTE_LEVEL("false", "true", "false")), BYTE_LEVEL("true", "false", "true"), DECODER, true,
     true},
    {"smaug-bpe", "null", SEQUENCE(SPLIT(LLAMA3), BYTE_LEVEL("false", "true", "false")),
     BYTE_LEVEL("true", "false", "true"), DECODER, false, false},
    {"qwen2", "{\"type\":\"NFC\"}", SEQUENCE(SPLIT(QWEN2), BYTE_LEVEL("false", "false", "false")),
     BYTE_LEVEL("false", "false", "false"), BYTE_LEVEL("false", "false", "false"), false, false},
    {"deepseek-r1-qwen", "null", SEQUENCE(SPLIT(QWEN2), BYTE_LEVEL("false", "true", "false")), "null", DECODER, false,
     false},
    {"tekken", "null", SEQUENCE(SPLIT(TEKKEN), BYTE_LEVEL("false", "true", "false")), "null", DECODER, true, true},
    {"gpt-4o", "null", SEQUENCE(SPLIT(GPT4O), BYTE_LEVEL("false", "true", "false")), "null", DECODER, false, false},
};
enum { COUNT = sizeof pres / sizeof *pres };

const GgufPre *gguf_pre_find(const char *name)
{
    size_t length = strlen(name);
    for (int i = 0; i < COUNT && length; i++)
        for (const char *at = strstr(pres[i].names, name); at; at = strstr(at + 1, name))
            if ((at == pres[i].names || at[-1] == ' ') && (at[length] == ' ' || !at[length])) return &pres[i];
    return NULL;
}

/* A component without what changes offsets only, and with what may be left out. */
static bool add_essence(cJSON *list, const cJSON *component)
{
    const cJSON *type = cJSON_GetObjectItemCaseSensitive(component, "type"), *item;
    if (!component || cJSON_IsNull(component)) return true;
    if (cJSON_IsString(type) && strcmp(type->valuestring, "Sequence") == 0) {
        const cJSON *inner = cJSON_GetObjectItemCaseSensitive(component, "pretokenizers");
        if (!inner) inner = cJSON_GetObjectItemCaseSensitive(component, "normalizers");
        cJSON_ArrayForEach(item, inner)
        {
            if (!add_essence(list, item)) return false;
        }
        return true;
    }
    cJSON *copy = cJSON_Duplicate(component, true);
    if (!copy) return false;
    cJSON_DeleteItemFromObjectCaseSensitive(copy, "trim_offsets");
    if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(copy, "invert")))
        cJSON_DeleteItemFromObjectCaseSensitive(copy, "invert");
    if (cJSON_IsString(type) && strcmp(type->valuestring, "ByteLevel") == 0 &&
        !cJSON_GetObjectItemCaseSensitive(copy, "use_regex"))
        cJSON_AddTrueToObject(copy, "use_regex");
    if (cJSON_AddItemToArray(list, copy)) return true;
    cJSON_Delete(copy);
    return false;
}

static bool same_essence(const cJSON *a, const cJSON *b)
{
    cJSON *x = cJSON_CreateArray(), *y = cJSON_CreateArray();
    bool same = x && y && add_essence(x, a) && add_essence(y, b) && cJSON_Compare(x, y, true);
    cJSON_Delete(x);
    cJSON_Delete(y);
    return same;
}

const char *gguf_pre_name(Arena *arena, const cJSON *normalizer, const cJSON *pre_tokenizer, bool ignore_merges)
{
    for (int i = 0; i < COUNT; i++) {
        cJSON *n = cJSON_Parse(pres[i].normalizer), *p = cJSON_Parse(pres[i].pre_tokenizer);
        bool same = n && p && pres[i].ignore_merges == ignore_merges && same_essence(normalizer, n) &&
                    same_essence(pre_tokenizer, p);
        cJSON_Delete(n);
        cJSON_Delete(p);
        if (same) return arena_strndup(arena, pres[i].names, strcspn(pres[i].names, " "));
    }
    return NULL;
}
