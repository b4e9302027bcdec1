/* The command line after the command: [CONFIG.yaml] [--key value | --key=value | --flag | --no_flag] …; dashes in a key
 * are underscores. A key given twice counts as given last, so that a script can append to a command. */
#include <string.h>

#include "trainer/config/settings.h"

static bool is_option(const char *word) { return word[0] == '-' && word[1] == '-'; }

static bool is_config(const char *word)
{
    static const char *const ends[] = {".yaml", ".yml", ".json"};
    size_t n = strlen(word);
    for (int i = 0; i < 3; i++)
        if (n > strlen(ends[i]) && strcmp(word + n - strlen(ends[i]), ends[i]) == 0) return true;
    return false;
}

/* The words that are the value of the option at argv[*at]; leaves *at on the last of them. */
static Raw *value_of(Settings *s, const Key *key, int argc, char **argv, int *at)
{
    bool flag = key && (key->type == TYPE_BOOL || key->type == TYPE_TRI);
    bool has_next = *at + 1 < argc && !is_option(argv[*at + 1]);
    if (flag && !(has_next && read_bool(argv[*at + 1]) >= 0)) return raw_scalar(s->arena, "true", false);
    if (!has_next) {
        if (key) problem(&s->problems, argv[*at], "needs a value");
        return raw_scalar(s->arena, "", false);
    }
    if (!key || key->type != TYPE_LIST) return raw_scalar(s->arena, argv[++*at], false);
    Raw *list = arena_array(s->arena, 1, sizeof *list);
    if (!list) return NULL;
    list->kind = RAW_LIST;
    if (*at + 2 >= argc || is_option(argv[*at + 2]) || is_config(argv[*at + 2]))
        return raw_scalar(s->arena, argv[++*at], false);
    while (*at + 1 < argc && !is_option(argv[*at + 1]) && !is_config(argv[*at + 1]))
        if (!raw_append(s->arena, list, NULL, raw_scalar(s->arena, argv[++*at], true))) return NULL;
    return list;
}

static Status read_option(Settings *s, int argc, char **argv, int *at)
{
    Status st = OK;
    const char *word = argv[*at] + 2, *equals = strchr(word, '=');
    char *name = arena_strndup(s->arena, word, equals ? (size_t)(equals - word) : strlen(word));
    TRY_MEMORY(name);
    for (char *c = name; *c; c++)
        if (*c == '-') *c = '_';
    const char *where = arena_printf(s->arena, "--%s", name);
    TRY_MEMORY(where);
    const Key *key = key_find(name);
    const Key *negated = !key && strncmp(name, "no_", 3) == 0 ? key_find(name + 3) : NULL;
    Raw *value;
    if (negated && !equals && (negated->type == TYPE_BOOL || negated->type == TYPE_TRI)) {
        name += 3;
        value = raw_scalar(s->arena, "false", false);
    } else {
        value = equals ? raw_scalar(s->arena, equals + 1, false) : value_of(s, key, argc, argv, at);
    }
    TRY_MEMORY(value);
    TRY(settings_add(s, name, where, value));
done:
    return st;
}

Status settings_read_line(Settings *s, int argc, char **argv)
{
    Status st = OK;
    const char *config = NULL;
    bool options = true;
    for (int i = 0; i < argc; i++) {
        if (options && strcmp(argv[i], "--") == 0) options = false;
        else if (options && is_option(argv[i])) TRY(read_option(s, argc, argv, &i));
        else if (options && argv[i][0] == '-' && argv[i][1])
            problem(&s->problems, argv[i], "is not an option; options begin with two dashes");
        else if (!config) config = argv[i];
        else problem(&s->problems, argv[i], "a second config file, after `%s`; one command takes one", config);
    }
    s->line_count = s->count;
    s->out->config_path = config;
    if (config) TRY(settings_read_file(s, config));
done:
    return st;
}
