/* `hone args [NAME] [--json]`: every config key. */
#include <stdio.h>
#include <string.h>

#include "trainer/base/json.h"
#include "trainer/cli/cli.h"
#include "trainer/config/keys.h"

static const char *default_text(const Key *key)
{
    if (!key->fallback) return "unset";
    return *key->fallback ? key->fallback : "\"\"";
}

static void print_line(const Key *key)
{
    if (key->class == KEY_ALIAS) {
        printf("  %-38s %s\n", key->name, key->help);
        return;
    }
    printf("  %-38s %-10s %-10s", key->name, key_type_name(key), default_text(key));
    if (key->class != KEY_HONOURED) printf("  [%s]", key_state(key));
    printf("  %s\n", key->help);
}

static void print_range(const Range *r)
{
    if (!r->limited) return;
    printf("range     %s %.10g", r->least_open ? "above" : "at least", r->least);
    if (r->most != DBL_MAX) printf(", %s %.10g", r->most_open ? "below" : "at most", r->most);
    printf("\n");
}

static void print_key(const Key *key)
{
    const Key *other;
    printf("%s\n\n%s\n\n", key->name, key->help);
    if (key->class == KEY_ALIAS) {
        printf("old name  of %s\n", key->target);
        return;
    }
    printf("type      %s\ndefault   %s\n", key_type_name(key), default_text(key));
    print_range(&key->range);
    if (key->choices) printf("values    %s\n", key->choices);
    printf("state     %s", key_state(key));
    if (key->why && key->class != KEY_HONOURED) printf(": %s", key->why);
    printf("\n");
    if (key->others) printf("refused   %s\n          %s\n", key->others, key->why);
    for (int i = 0; (other = key_at(i)); i++)
        if (other->class == KEY_ALIAS && strcmp(other->target, key->name) == 0) printf("old name  %s\n", other->name);
}

static Status print_json(const char *name)
{
    cJSON *list = keys_to_json(), *shown = list;
    Text text = {0};
    for (cJSON *c = list ? list->child : NULL, *next; c && name; c = next) {
        next = c->next;
        if (strcmp(cJSON_GetObjectItem(c, "name")->valuestring, name) != 0)
            cJSON_Delete(cJSON_DetachItemViaPointer(list, c));
    }
    if (shown) json_add(&text, shown, 2, false);
    bool fine = shown && !text.failed;
    if (fine) printf("%s\n", text.data);
    text_free(&text);
    cJSON_Delete(list);
    return fine ? OK : status_raise(STATUS_MEMORY, "out of memory");
}

static Status run(int argc, char **argv)
{
    Status st = OK;
    bool json = false;
    int first, shift = 0;
    const Option options[] = {{.name = "json", .type = OPTION_FLAG, .into = &json}};
    const char *name = NULL;
    if (argc && argv[0][0] != '-') name = argv[0], shift = 1; /* the name may stand before --json */
    TRY(options_parse(argc - shift, argv + shift, options, 1, &first));
    if (first + shift < argc && !name) name = argv[shift + first++];
    if (first + shift < argc) RAISE(USAGE, "args takes one key");
    const Key *key = name ? key_find(name) : NULL;
    if (name && !key) {
        const char *nearest = key_nearest(name);
        if (nearest) RAISE(USAGE, "unknown key `%s`; did you mean `%s`?", name, nearest);
        RAISE(USAGE, "unknown key `%s`; `hone args` lists all", name);
    }
    if (json) {
        TRY(print_json(!key ? NULL : key->class == KEY_ALIAS ? key->target : key->name));
    } else if (key) {
        print_key(key);
    } else {
        const char *title = "";
        for (int i = 0; (key = key_at(i)); i++) {
            if (strcmp(title, key_group_title(i)) != 0) printf("%s%s\n", i ? "\n" : "", title = key_group_title(i));
            print_line(key);
        }
    }
done:
    return st;
}

const Command command_args = {
    .name = "args",
    .usage = "args [NAME] [--json]",
    .summary = "Every config key: type, default, meaning, and whether it is honoured or why not.",
    .run = run,
    .help = "  NAME     tell all about one key\n"
            "  --json   a list of objects with name, aliases, type, default, class, help, honoured, and choices and "
            "why where\n"
            "           there are any\n\n"
            "[accepted]: read and checked, without effect by its nature. [not in this version], [refused]: only its "
            "default is\n"
            "taken; any other value is an error that says what to do instead.\n",
};
