/* Sets of code points. Properties come from the generated table; names are matched as Oniguruma does: case, spaces,
 * '-' and '_' do not count. */
#include "trainer/tokenizer/codeset.h"

#include <stdlib.h>
#include <string.h>

Status codeset_add(Arena *arena, CodeSet *set, uint32_t first, uint32_t end)
{
    Status st = OK;
    if (first >= end) return OK;
    if (set->count == set->capacity) {
        set->ranges = arena_grow(arena, set->ranges, &set->capacity, set->count + 1, sizeof *set->ranges);
        TRY_MEMORY(set->ranges);
    }
    set->ranges[set->count][0] = first;
    set->ranges[set->count++][1] = end;
done:
    return st;
}

Status codeset_add_set(Arena *arena, CodeSet *set, const CodeSet *other)
{
    Status st = OK;
    for (size_t i = 0; i < other->count && !st; i++)
        st = codeset_add(arena, set, other->ranges[i][0], other->ranges[i][1]);
    return st;
}

static int by_first(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return x[0] < y[0] ? -1 : x[0] > y[0];
}

void codeset_tidy(CodeSet *set)
{
    size_t kept = 0;
    if (set->count) qsort(set->ranges, set->count, sizeof *set->ranges, by_first);
    for (size_t i = 0; i < set->count; i++) {
        uint32_t *r = set->ranges[i];
        if (kept && r[0] <= set->ranges[kept - 1][1]) {
            if (r[1] > set->ranges[kept - 1][1]) set->ranges[kept - 1][1] = r[1];
        } else {
            memmove(set->ranges[kept++], r, sizeof *set->ranges);
        }
    }
    set->count = kept;
}

Status codeset_invert(Arena *arena, CodeSet *set)
{
    Status st = OK;
    CodeSet out = {0};
    uint32_t at = 0;
    for (size_t i = 0; i < set->count; at = set->ranges[i++][1]) TRY(codeset_add(arena, &out, at, set->ranges[i][0]));
    TRY(codeset_add(arena, &out, at, UNICODE_END));
    *set = out;
done:
    return st;
}

Status codeset_intersect(Arena *arena, CodeSet *set, const CodeSet *other)
{
    Status st = OK;
    CodeSet out = {0};
    for (size_t i = 0, j = 0; i < set->count && j < other->count;) {
        const uint32_t *a = set->ranges[i], *b = other->ranges[j];
        TRY(codeset_add(arena, &out, a[0] > b[0] ? a[0] : b[0], a[1] < b[1] ? a[1] : b[1]));
        if (a[1] < b[1])
            i++;
        else
            j++;
    }
    *set = out;
done:
    return st;
}

bool codeset_equal(const CodeSet *a, const CodeSet *b)
{
    return a->count == b->count && (!a->count || !memcmp(a->ranges, b->ranges, a->count * sizeof *a->ranges));
}

bool codeset_has(const CodeSet *set, uint32_t c)
{
    for (size_t i = 0; i < set->count; i++)
        if (c >= set->ranges[i][0] && c < set->ranges[i][1]) return true;
    return false;
}

/* What a record must be to belong to a property. */
typedef struct Property {
    uint32_t categories; /* a bit each */
    int script;          /* -1: any */
    unsigned flags;      /* one of them; 0: any */
} Property;

static Status add_records(Arena *arena, CodeSet *set, Property p, bool negated)
{
    Status st = OK;
    for (size_t i = 0; i < unicode_range_count; i++) {
        const UnicodeRecord *r = &unicode_records[unicode_ranges[i] & 0x7FF];
        bool in = (p.categories >> r->category & 1) && (p.script < 0 || p.script == r->script) &&
                  (!p.flags || (p.flags & r->flags));
        uint32_t end = i + 1 < unicode_range_count ? unicode_ranges[i + 1] >> 11 : UNICODE_END;
        if (in != negated) TRY(codeset_add(arena, set, unicode_ranges[i] >> 11, end));
    }
done:
    return st;
}

#define ANY_CATEGORY ((1u << UNICODE_CATEGORY_COUNT) - 1)

Status codeset_add_flags(Arena *arena, CodeSet *set, unsigned flags, bool negated)
{
    return add_records(arena, set, (Property){ANY_CATEGORY, -1, flags}, negated);
}

#define NAME_OF(name) #name,
static const char *const category_names[] = {UNICODE_CATEGORIES(NAME_OF)};
static const char *const script_names[] = {"", UNICODE_SCRIPTS(NAME_OF)};
static const char *const general_names[][2] = {{"L", "LETTER"},      {"M", "MARK"},   {"N", "NUMBER"},
                                               {"P", "PUNCTUATION"}, {"S", "SYMBOL"}, {"Z", "SEPARATOR"},
                                               {"C", "OTHER"}};
static const struct {
    const char *name;
    unsigned flags;
} other_names[] = {{"ANY", 0},
                   {"SPACE", UNICODE_SPACE},
                   {"WHITESPACE", UNICODE_SPACE},
                   {"WORD", UNICODE_WORD},
                   {"DIGIT", UNICODE_DIGIT}};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool property_find(const char *name, Property *out)
{
    *out = (Property){ANY_CATEGORY, -1, 0};
    for (size_t i = 0; i < COUNT(category_names); i++)
        if (!strcmp(name, category_names[i])) return out->categories = 1u << i, true;
    for (size_t i = 0; i < COUNT(general_names); i++) {
        if (strcmp(name, general_names[i][0]) && strcmp(name, general_names[i][1])) continue;
        out->categories = 0;
        for (size_t k = 0; k < COUNT(category_names); k++)
            if (category_names[k][0] == general_names[i][0][0]) out->categories |= 1u << k;
        return true;
    }
    for (size_t i = 1; i < COUNT(script_names); i++)
        if (!strcmp(name, script_names[i])) return out->script = (int)i, true;
    for (size_t i = 0; i < COUNT(other_names); i++)
        if (!strcmp(name, other_names[i].name)) return out->flags = other_names[i].flags, true;
    return false;
}

Status codeset_add_property(Arena *arena, CodeSet *set, const char *name, size_t length, bool negated, bool in_brackets)
{
    char plain[32];
    size_t n = 0;
    for (size_t i = 0; i < length && n + 1 < sizeof plain; i++) {
        char c = name[i];
        if (c == ' ' || c == '-' || c == '_') continue;
        plain[n++] = c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    }
    plain[n] = 0;
    Property p;
    if (length >= sizeof plain || !property_find(plain, &p))
        return status_raise(STATUS_UNSUPPORTED,
                            "\\p{%.*s}: hone knows the general categories and the scripts of unicode.h",
                            (int)(length < 60 ? length : 60), name);
    if (in_brackets && p.flags == UNICODE_WORD) p.flags = UNICODE_CLASS_WORD;
    return add_records(arena, set, p, negated);
}
