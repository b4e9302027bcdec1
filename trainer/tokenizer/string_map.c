/* Texts to numbers by open addressing, at most half full. */
#include "trainer/tokenizer/string_map.h"

Status string_map_new(Arena *arena, size_t most, StringMap *out)
{
    Status st = OK;
    size_t slots = 16;
    while (slots < 2 * most) slots *= 2;
    *out = (StringMap){.most = most, .mask = slots - 1};
    TRY_NEW(arena, out->slots, slots);
    TRY_NEW(arena, out->entries, most ? most : 1);
done:
    return st;
}

static size_t find_slot(const StringMap *map, const char *text, size_t size)
{
    size_t slot = hash_bytes(text, size) & map->mask;
    for (;; slot = (slot + 1) & map->mask) {
        if (!map->slots[slot]) return slot;
        const StringEntry *e = &map->entries[map->slots[slot] - 1];
        if (e->size == size && !memcmp(e->text, text, size)) return slot;
    }
}

int32_t *string_map_put(StringMap *map, const char *text, size_t size, int32_t value, bool *is_new)
{
    size_t slot = find_slot(map, text, size);
    *is_new = !map->slots[slot];
    if (*is_new) {
        map->entries[map->count] = (StringEntry){text, (uint32_t)size, value};
        map->slots[slot] = (uint32_t)++map->count;
    }
    return &map->entries[map->slots[slot] - 1].value;
}

int32_t string_map_find(const StringMap *map, const char *text, size_t size)
{
    if (!map->slots) return -1;
    uint32_t entry = map->slots[find_slot(map, text, size)];
    return entry ? map->entries[entry - 1].value : -1;
}
