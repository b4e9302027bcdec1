/* The tables of builtins.h, looking things up in them, and binding arguments to parameters as Python does. */
#include "trainer/template/builtins.h"

#include <string.h>

#define FILTER_LINE(name, function, least, parameters) {#name, filter_##function, least, parameters, VALUE_ABSENT},
#define TEST_LINE(name, function, least, parameters) {name, test_##function, least, parameters, VALUE_ABSENT},
#define GLOBAL_LINE(name, least, parameters) {#name, global_##name, least, parameters, VALUE_ABSENT},
#define TEXT_LINE(name, least, parameters) {#name, text_##name, least, parameters, VALUE_STRING},
#define DICT_LINE(name, least, parameters) {#name, dict_##name, least, parameters, VALUE_DICT},
#define LIST_LINE(name, least, parameters) {#name, list_##name, least, parameters, VALUE_LIST},
#define LOOP_LINE(name, least, parameters) {#name, loop_##name, least, parameters, VALUE_LOOP},

static const Builtin filters[] = {FILTERS(FILTER_LINE)};
static const Builtin tests[] = {TESTS(TEST_LINE)};
static const Builtin globals[] = {GLOBALS(GLOBAL_LINE)};
static const Builtin methods[] = {TEXT_METHODS(TEXT_LINE) DICT_METHODS(DICT_LINE) LIST_METHODS(LIST_LINE)
                                      LOOP_METHODS(LOOP_LINE)};
#define COUNT(array) (sizeof(array) / sizeof *(array))

static bool is(const char *word, const char *name, size_t size)
{
    return strlen(word) == size && !memcmp(word, name, size);
}

static const Builtin *find(const Builtin *all, size_t count, Kind kind, const char *name, size_t size)
{
    for (size_t i = 0; i < count; i++)
        if (all[i].kind == kind && is(all[i].name, name, size)) return &all[i];
    return NULL;
}

const Builtin *builtin_filter(const char *name, size_t size)
{
    return find(filters, COUNT(filters), VALUE_ABSENT, name, size);
}
const Builtin *builtin_test(const char *name, size_t size)
{
    return find(tests, COUNT(tests), VALUE_ABSENT, name, size);
}
const Builtin *builtin_global(const char *name, size_t size)
{
    return find(globals, COUNT(globals), VALUE_ABSENT, name, size);
}

const Builtin *builtin_method(Kind kind, const char *name, size_t size)
{
    const Builtin *b =
        find(methods, COUNT(methods), kind == VALUE_TUPLE || kind == VALUE_RANGE ? VALUE_LIST : kind, name, size);
    return b && kind != VALUE_LIST && b->kind == VALUE_LIST && is("copy", name, size) ? NULL
                                                                                      : b; /* tuples have no copy */
}

/* Is the word one of a list of words that spaces part? */
static bool in_words(const char *words, const char *name, size_t size)
{
    for (const char *w = words; *w; w += strcspn(w, " "), w += strspn(w, " "))
        if (strcspn(w, " ") == size && !memcmp(w, name, size)) return true;
    return false;
}

bool builtin_is_unsafe(Kind kind, const char *name, size_t size)
{
    if (size && *name == '_') return size > 4 && name[1] == '_' && name[size - 1] == '_';
    if (kind == VALUE_DICT) return in_words("clear pop popitem setdefault update", name, size);
    return kind == VALUE_LIST && in_words("append clear pop reverse insert sort extend remove", name, size);
}

bool builtin_is_lacking(Kind kind, const char *name, size_t size)
{
    if (kind == VALUE_STRING)
        return in_words("casefold center encode expandtabs format_map isascii isidentifier isprintable istitle ljust "
                        "maketrans rjust swapcase translate zfill", name, size);
    if (kind == VALUE_DICT) return in_words("fromkeys", name, size);
    if (kind == VALUE_RANGE) return in_words("start stop step", name, size);
    if (value_is_number((Value){.kind = kind}))
        return in_words(
            "as_integer_ratio bit_count bit_length conjugate denominator from_bytes fromhex hex imag is_integer "
            "numerator real to_bytes",
            name, size);
    return kind == VALUE_MACRO &&
           in_words("name arguments catch_kwargs catch_varargs caller explicit_caller", name, size);
}

bool builtin_is_lacking_global(const char *name, size_t size) { return in_words("cycler joiner lipsum", name, size); }

Status builtin_names(Arena *arena, const char *what, const char **out)
{
    Status st = OK;
    bool test = !strcmp(what, "tests");
    const Builtin *all = test ? tests : filters;
    size_t count = test ? COUNT(tests) : COUNT(filters);
    char *names = arena_alloc(arena, count * 16 + 1), *at = names;
    TRY_MEMORY(names);
    for (size_t i = 0; i < count; i++) at += strlen(strcat(strcat(at, i ? ", " : ""), all[i].name));
    *out = names;
done:
    return st;
}

/* The parameter's place, -1: there is none of this name. */
static int parameter(const Builtin *b, const char *name, size_t size)
{
    int i = 0;
    for (const char *p = b->parameters; *p; i++) {
        size_t n = strcspn(p, ",");
        if (n == size && !memcmp(p, name, size)) return i;
        p += n + (p[n] == ',');
    }
    return -1;
}

static int parameter_count(const Builtin *b)
{
    int n = *b->parameters != '\0';
    for (const char *p = b->parameters; *p; p++) n += *p == ',';
    return n;
}

Status builtin_call(Render *r, Call *c, Value *out)
{
    Status st = OK;
    const Builtin *b = c->builtin;
    if (*b->parameters == '*') return b->function(r, c, out);
    int most = parameter_count(b);
    if (c->count > (size_t)most)
        RAISE(FORMAT, "%s() takes at most %d arguments, %zu are given", b->name, most, c->count);
    for (size_t i = 0; i < c->count; i++) c->given[i] = c->values[i];
    for (size_t i = 0; i < c->keyword_count; i++) {
        const Keyword *k = &c->keywords[i];
        int at = parameter(b, k->name, k->size);
        if (at < 0)
            RAISE(FORMAT, "%s() has no parameter `%.*s`; there is: %s", b->name, (int)(k->size < 80 ? k->size : 80),
                  k->name, *b->parameters ? b->parameters : "none");
        if (c->given[at].kind != VALUE_ABSENT)
            RAISE(FORMAT, "%s() is given `%.*s` twice", b->name, (int)k->size, k->name);
        c->given[at] = k->value;
    }
    for (int i = 0; i < b->least; i++)
        if (c->given[i].kind == VALUE_ABSENT)
            RAISE(FORMAT, "%s() lacks an argument; its parameters are: %s", b->name, b->parameters);
    TRY(b->function(r, c, out));
done:
    return st;
}
