/* Looking up keys, and telling about them. */
#include "trainer/config/keys.h"

#include <stdlib.h>
#include <string.h>

#include "trainer/base/nearest.h"

#define KEY_GROUP_ADDRESS(name) &keys_##name,
static const KeyGroup *const groups[] = {KEY_GROUPS(KEY_GROUP_ADDRESS)};
enum { GROUPS = sizeof groups / sizeof *groups, NAME_MAX = 64 };

const Key *key_at(int index)
{
    for (int g = 0; g < GROUPS; index -= groups[g++]->count)
        if (index < groups[g]->count) return &groups[g]->keys[index];
    return NULL;
}

const char *key_group_title(int index)
{
    for (int g = 0; g < GROUPS; index -= groups[g++]->count)
        if (index < groups[g]->count) return groups[g]->title;
    return "";
}

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a == '-' ? '_' : *a) != (*b == '-' ? '_' : *b)) return false;
    return *a == *b;
}

const Key *key_find(const char *name)
{
    const Key *key;
    for (int i = 0; (key = key_at(i)); i++)
        if (same_name(key->name, name)) return key;
    return NULL;
}

const char *key_nearest(const char *name)
{
    char plain[NEAREST_BYTES];
    size_t length = strlen(name);
    const Key *key;
    Nearest n;
    if (length >= sizeof plain) return NULL;
    for (size_t i = 0; i <= length; i++) plain[i] = name[i] == '-' ? '_' : name[i];
    nearest_start(&n, plain);
    for (int i = 0; (key = key_at(i)); i++) nearest_try(&n, key->name);
    return n.word;
}

int choice_find(const char *choices, const char *value, size_t length)
{
    int index = 0;
    for (const char *at = choices; at; index++) {
        const char *end = strchr(at, ',');
        size_t size = end ? (size_t)(end - at) : strlen(at);
        if (size == length && memcmp(at, value, length) == 0) return index;
        at = end ? end + 1 : NULL;
    }
    return -1;
}

const char *key_type_name(const Key *key)
{
    bool optional = !key->fallback;
    switch (key->type) {
    case TYPE_BOOL: return "bool";
    case TYPE_TRI: return "bool?";
    case TYPE_INT: return optional ? "int?" : "int";
    case TYPE_REAL:
    case TYPE_STEPS: return optional ? "float?" : "float";
    case TYPE_DURATION: return "duration?";
    case TYPE_LIST: return optional ? "list[str]?" : "list[str]";
    case TYPE_PATHS: return "list[str]?";
    case TYPE_MAPPING: return "dict?";
    default: return optional ? "str?" : "str";
    }
}

const char *key_state(const Key *key)
{
    static const char *const names[] = {"honoured", "accepted", "not in this version", "refused", "old name"};
    return names[key->class];
}

static cJSON *default_of(const Key *key)
{
    if (!key->fallback) return cJSON_CreateNull();
    switch (key->type) {
    case TYPE_BOOL: return cJSON_CreateBool(strcmp(key->fallback, "true") == 0);
    case TYPE_INT: return json_new_int(atoll(key->fallback));
    case TYPE_REAL: return json_new_real(atof(key->fallback));
    case TYPE_STEPS:
        return strchr(key->fallback, '.') ? json_new_real(atof(key->fallback)) : json_new_int(atoll(key->fallback));
    case TYPE_LIST:
        if (!*key->fallback) return cJSON_CreateArray();
        break;
    default: break;
    }
    return cJSON_CreateString(key->fallback);
}

static cJSON *choices_of(const char *choices)
{
    cJSON *list = cJSON_CreateArray();
    for (const char *at = choices; at && list;) {
        char word[NAME_MAX];
        const char *end = strchr(at, ',');
        size_t size = end ? (size_t)(end - at) : strlen(at);
        if (size < sizeof word) {
            memcpy(word, at, size);
            word[size] = '\0';
            cJSON_AddItemToArray(list, cJSON_CreateString(word));
        }
        at = end ? end + 1 : NULL;
    }
    return list;
}

/* class: as the reference's list of arguments has it (core: changes what happens; accept; reject). */
static cJSON *key_to_json(const Key *key)
{
    static const char *const classes[] = {"core", "accept", "core", "reject", "core"};
    cJSON *object = cJSON_CreateObject(), *aliases = cJSON_CreateArray();
    const Key *other;
    cJSON_AddStringToObject(object, "name", key->name);
    for (int i = 0; (other = key_at(i)); i++)
        if (other->class == KEY_ALIAS && strcmp(other->target, key->name) == 0)
            cJSON_AddItemToArray(aliases, cJSON_CreateString(other->name));
    cJSON_AddItemToObject(object, "aliases", aliases);
    cJSON_AddStringToObject(object, "type", key_type_name(key));
    cJSON_AddItemToObject(object, "default", default_of(key));
    cJSON_AddStringToObject(object, "class", key->changes_nothing ? "accept" : classes[key->class]);
    cJSON_AddStringToObject(object, "help", key->help);
    cJSON_AddBoolToObject(object, "honoured", key->class == KEY_HONOURED || key->class == KEY_ACCEPTED);
    if (key->choices) cJSON_AddItemToObject(object, "choices", choices_of(key->choices));
    if (key->why) cJSON_AddStringToObject(object, "why", key->why);
    return object;
}

cJSON *keys_to_json(void)
{
    cJSON *list = cJSON_CreateArray();
    const Key *key;
    for (int i = 0; list && (key = key_at(i)); i++)
        if (key->class != KEY_ALIAS) cJSON_AddItemToArray(list, key_to_json(key));
    return list;
}
