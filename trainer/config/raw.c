/* Values as written, and their way from and to JSON. Trees that the settings keep are copied into the arena node by
 * node, so that nobody has to free them. */
#include <math.h>
#include <string.h>

#include "trainer/config/settings.h"

Raw *raw_scalar(Arena *arena, const char *text, bool quoted)
{
    Raw *raw = arena_array(arena, 1, sizeof *raw);
    if (!raw) return NULL;
    *raw = (Raw){.kind = RAW_SCALAR, .quoted = quoted, .text = arena_strdup(arena, text)};
    if (!raw->text) return NULL;
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; !quoted && i < sizeof nulls / sizeof *nulls; i++)
        if (strcmp(text, nulls[i]) == 0) raw->kind = RAW_NULL;
    return raw;
}

bool raw_append(Arena *arena, Raw *list, const char *key, Raw *item)
{
    if (!item) return false;
    list->items = arena_grow(arena, list->items, &list->items_capacity, list->count + 1, sizeof *list->items);
    if (!list->items) return false;
    if (list->kind == RAW_MAPPING) {
        list->keys = arena_grow(arena, list->keys, &list->keys_capacity, list->count + 1, sizeof *list->keys);
        if (!list->keys || !(list->keys[list->count] = arena_strdup(arena, key))) return false;
    }
    list->items[list->count++] = item;
    return true;
}

Raw *raw_from_json(Arena *arena, const cJSON *value)
{
    if (cJSON_IsString(value)) return raw_scalar(arena, value->valuestring, true);
    Raw *raw = arena_array(arena, 1, sizeof *raw);
    if (!raw) return NULL;
    if (cJSON_IsArray(value) || cJSON_IsObject(value)) {
        raw->kind = cJSON_IsArray(value) ? RAW_LIST : RAW_MAPPING;
        for (const cJSON *c = value->child; c; c = c->next)
            if (!raw_append(arena, raw, c->string, raw_from_json(arena, c))) return NULL;
        return raw;
    }
    Text t = {0};
    json_add(&t, value, 0, false);
    raw = t.failed ? NULL : raw_scalar(arena, t.data, false);
    text_free(&t);
    return raw;
}

static cJSON *node(Arena *arena, int type)
{
    cJSON *item = arena_array(arena, 1, sizeof *item);
    if (item) item->type = type;
    return item;
}

/* A plain scalar inside a mapping has no key to type it: true, false and numbers are what they look like. */
static cJSON *scalar(Arena *arena, const Raw *raw)
{
    double real;
    cJSON *item, *number = NULL;
    if (!raw->quoted && (strcasecmp(raw->text, "true") == 0 || strcasecmp(raw->text, "false") == 0))
        return node(arena, strcasecmp(raw->text, "true") == 0 ? cJSON_True : cJSON_False);
    if (!raw->quoted && read_real(raw->text, &real)) {
        bool integral = raw->text[strspn(raw->text, "+-0123456789")] == '\0' && fabs(real) < 9007199254740992.0;
        number = integral ? json_new_int((int64_t)real) : json_new_real(real);
        item = number ? node(arena, number->type) : NULL;
        if (item) item->valuedouble = number->valuedouble, item->valueint = number->valueint;
        cJSON_Delete(number);
        return item;
    }
    item = node(arena, cJSON_String);
    if (item && !(item->valuestring = arena_strdup(arena, raw->text))) return NULL;
    return item;
}

cJSON *raw_to_json(Arena *arena, const Raw *raw)
{
    if (raw->kind == RAW_NULL) return node(arena, cJSON_NULL);
    if (raw->kind == RAW_SCALAR) return scalar(arena, raw);
    cJSON *parent = node(arena, raw->kind == RAW_LIST ? cJSON_Array : cJSON_Object), *last = NULL;
    for (size_t i = 0; parent && i < raw->count; i++) {
        cJSON *item = raw_to_json(arena, raw->items[i]);
        if (!item || (raw->kind == RAW_MAPPING && !(item->string = arena_strdup(arena, raw->keys[i])))) return NULL;
        if (last) last->next = item, item->prev = last;
        else parent->child = item;
        last = item;
        parent->child->prev = last;
    }
    return parent;
}
