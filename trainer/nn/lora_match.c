/* See lora_match.h. */
#include "trainer/nn/lora_match.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum { NAME_BYTES = 512, STEPS = 1000000 /* of matching: a hostile pattern ends */ };

bool lora_ends(const char *module, const char *name)
{
    size_t m = strlen(module), n = strlen(name);
    return m >= n && strcmp(module + m - n, name) == 0 && (m == n || module[m - n - 1] == '.');
}

bool lora_matches(const char *prefix, const char *pattern, const char *module, Status *st)
{
    char whole[2 * NAME_BYTES];
    int error;
    size_t at;
    if (*st) return false;
    if ((size_t)snprintf(whole, sizeof whole, "%s(?:%s)", prefix, pattern) >= sizeof whole) {
        *st = status_raise(STATUS_USAGE, "the pattern `%.60s…` is longer than %d bytes", pattern, 2 * NAME_BYTES);
        return false;
    }
    pcre2_code *code = pcre2_compile((PCRE2_SPTR)whole, PCRE2_ZERO_TERMINATED, PCRE2_ANCHORED | PCRE2_ENDANCHORED,
                                     &error, &at, NULL);
    if (!code) {
        PCRE2_UCHAR why[200] = "";
        pcre2_get_error_message(error, why, sizeof why);
        *st = status_raise(STATUS_USAGE, "`%s` is no regular expression: %s", pattern, (const char *)why);
        return false;
    }
    pcre2_match_data *found = pcre2_match_data_create_from_pattern(code, NULL);
    pcre2_match_context *context = pcre2_match_context_create(NULL);
    int result = PCRE2_ERROR_NOMEMORY;
    if (found && context) {
        pcre2_set_match_limit(context, STEPS);
        result = pcre2_match(code, (PCRE2_SPTR)module, PCRE2_ZERO_TERMINATED, 0, 0, found, context);
    }
    pcre2_match_context_free(context);
    pcre2_match_data_free(found);
    pcre2_code_free(code);
    if (result < 0 && result != PCRE2_ERROR_NOMATCH)
        *st = status_raise(result == PCRE2_ERROR_NOMEMORY ? STATUS_MEMORY : STATUS_USAGE,
                           "the pattern `%s` cannot be compared with %s: %s", pattern, module,
                           result == PCRE2_ERROR_NOMEMORY ? "out of memory" : "it takes too many steps");
    return result > 0;
}

/* The first number between two dots that has `pattern` (anything, where it is NULL) and a dot before it; -1: none. */
static int64_t layer_number(const char *module, const char *pattern)
{
    for (const char *dot = strchr(module, '.'); dot; dot = strchr(dot + 1, '.')) {
        size_t digits = strspn(dot + 1, "0123456789"), before = (size_t)(dot - module), n = pattern ? strlen(pattern) :
            0;
        if (!digits || digits > 9 || dot[1 + digits] != '.') continue;
        const char *name = module + before - n;
        if (pattern ? before >= n && strncmp(name, pattern, n) == 0 && (name == module || name[-1] == '.')
                    : memchr(module, '.', before) != NULL) /* ".*?\.[^.]*\.N\.": two names before it */
            return strtol(dot + 1, NULL, 10);
    }
    return -1;
}

static bool is_in_layers(const LoraConfig *c, const char *module)
{
    int64_t number = -1;
    if (!c->num_layers) return true;
    if (!c->layers_pattern.count) number = layer_number(module, NULL);
    for (int i = 0; i < c->layers_pattern.count && number < 0; i++)
        number = layer_number(module, c->layers_pattern.items[i]);
    for (int i = 0; i < c->num_layers; i++)
        if (c->layers[i] == number) return true;
    return false;
}

static bool is_excluded(const LoraConfig *c, const char *module, Status *st)
{
    if (c->exclude_pattern) return lora_matches("", c->exclude_pattern, module, st);
    for (int i = 0; i < c->excludes.count; i++)
        if (lora_ends(module, c->excludes.items[i])) return true;
    return false;
}

static bool is_named(LoraNames names, const char *module, bool *used)
{
    bool found = false;
    for (int i = 0; i < names.count; i++) {
        if (!lora_ends(module, names.items[i])) continue;
        found = true;
        if (used) used[i] = true;
    }
    return found;
}

bool lora_targets(const LoraConfig *c, LoraNames usual, const char *module, bool *used, Status *st)
{
    bool named = c->targets.count ? is_named(c->targets, module, used) : is_named(usual, module, NULL);
    if (is_excluded(c, module, st) || lora_config_saves(c, module, NULL) || *st) return false;
    if (c->target_pattern) return lora_matches("", c->target_pattern, module, st);
    return (c->all_linear || named) && is_in_layers(c, module);
}

bool lora_config_saves(const LoraConfig *c, const char *module, bool *used)
{
    bool found = false;
    for (int i = 0; i < c->modules_to_save.count; i++) {
        const char *name = c->modules_to_save.items[i];
        size_t n = strlen(name);
        for (const char *at = strstr(module, name); at && n; at = strstr(at + 1, name)) {
            if ((at != module && at[-1] != '.') || (at[n] && at[n] != '.')) continue;
            found = true;
            if (used) used[i] = true;
        }
    }
    return found;
}

double lora_value(const LoraException *list, int count, double otherwise, const char *module, Status *st)
{
    for (int i = 0; i < count; i++)
        if (lora_matches("(?:.*\\.)?", list[i].pattern, module, st)) return list[i].value;
    return otherwise;
}
