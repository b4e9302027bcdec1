/* What templates find ready: filters, tests, methods, global functions. Adding one is a function and a line here:
 *     FILTER(name, function, least, "parameters")
 * `least` of the parameters must be given; "*": whatever is given is passed on unbound. */
#ifndef HONE_TEMPLATE_BUILTINS_H
#define HONE_TEMPLATE_BUILTINS_H

#include "trainer/template/render.h"

enum { PARAMETERS_MOST = 5 };

typedef struct Keyword {
    const char *name;
    size_t size;
    Value value;
} Keyword;

typedef struct Call {
    const Builtin *builtin;
    Value subject;
    Value given[PARAMETERS_MOST]; /* by parameter; VALUE_ABSENT where it was not given */
    const Value *values;          /* as written: positional, then keywords */
    size_t count;
    const Keyword *keywords;
    size_t keyword_count;
} Call;

typedef Status BuiltinFunction(Render *r, const Call *c, Value *out);

struct Builtin {
    const char *name;
    BuiltinFunction *function;
    int least;
    const char *parameters; /* "old,new,count" */
    Kind kind;              /* methods: of the subject */
};

/* sorted */
#define FILTERS(FILTER)                                             \
    FILTER(abs, abs, 0, "")                                         \
    FILTER(attr, attr, 1, "name")                                   \
    FILTER(batch, batch, 1, "linecount,fill_with")                  \
    FILTER(capitalize, capitalize, 0, "")                           \
    FILTER(count, length, 0, "")                                    \
    FILTER(d, default, 0, "default_value,boolean")                  \
    FILTER(default, default, 0, "default_value,boolean")            \
    FILTER(dictsort, dictsort, 0, "case_sensitive,by,reverse")      \
    FILTER(first, first, 0, "")                                     \
    FILTER(float, float, 0, "default")                              \
    FILTER(format, format, 0, "*")                                  \
    FILTER(indent, indent, 0, "width,first,blank")                  \
    FILTER(int, int, 0, "default,base")                             \
    FILTER(items, items, 0, "")                                     \
    FILTER(join, join, 0, "d,attribute")                            \
    FILTER(last, last, 0, "")                                       \
    FILTER(length, length, 0, "")                                   \
    FILTER(list, list, 0, "")                                       \
    FILTER(lower, lower, 0, "")                                     \
    FILTER(map, map, 0, "*")                                        \
    FILTER(max, max, 0, "case_sensitive,attribute")                 \
    FILTER(min, min, 0, "case_sensitive,attribute")                 \
    FILTER(reject, reject, 0, "*")                                  \
    FILTER(rejectattr, rejectattr, 0, "*")                          \
    FILTER(replace, replace, 2, "old,new,count")                    \
    FILTER(reverse, reverse, 0, "")                                 \
    FILTER(round, round, 0, "precision,method")                     \
    FILTER(safe, string, 0, "")                                     \
    FILTER(select, select, 0, "*")                                  \
    FILTER(selectattr, selectattr, 0, "*")                          \
    FILTER(sort, sort, 0, "reverse,case_sensitive,attribute")       \
    FILTER(string, string, 0, "")                                   \
    FILTER(sum, sum, 0, "attribute,start")                          \
    FILTER(title, title, 0, "")                                     \
    FILTER(tojson, tojson, 0, "ensure_ascii,indent,separators,sort_keys") \
    FILTER(trim, trim, 0, "chars")                                  \
    FILTER(unique, unique, 0, "case_sensitive,attribute")           \
    FILTER(upper, upper, 0, "")                                     \
    FILTER(wordcount, wordcount, 0, "")

#define TESTS(TEST)                              \
    TEST("!=", ne, 1, "other")                   \
    TEST("<", lt, 1, "other")                    \
    TEST("<=", le, 1, "other")                   \
    TEST("==", eq, 1, "other")                   \
    TEST(">", gt, 1, "other")                    \
    TEST(">=", ge, 1, "other")                   \
    TEST("boolean", boolean, 0, "")              \
    TEST("callable", callable, 0, "")            \
    TEST("defined", defined, 0, "")              \
    TEST("divisibleby", divisibleby, 1, "num")   \
    TEST("eq", eq, 1, "other")                   \
    TEST("equalto", eq, 1, "other")              \
    TEST("even", even, 0, "")                    \
    TEST("false", false, 0, "")                  \
    TEST("filter", filter, 0, "")                \
    TEST("float", float, 0, "")                  \
    TEST("ge", ge, 1, "other")                   \
    TEST("greaterthan", gt, 1, "other")          \
    TEST("gt", gt, 1, "other")                   \
    TEST("in", in, 1, "seq")                     \
    TEST("integer", integer, 0, "")              \
    TEST("iterable", iterable, 0, "")            \
    TEST("le", le, 1, "other")                   \
    TEST("lessthan", lt, 1, "other")             \
    TEST("lower", lower, 0, "")                  \
    TEST("lt", lt, 1, "other")                   \
    TEST("mapping", mapping, 0, "")              \
    TEST("ne", ne, 1, "other")                   \
    TEST("none", none, 0, "")                    \
    TEST("number", number, 0, "")                \
    TEST("odd", odd, 0, "")                      \
    TEST("sameas", sameas, 1, "other")           \
    TEST("sequence", sequence, 0, "")            \
    TEST("string", string, 0, "")                \
    TEST("test", test, 0, "")                    \
    TEST("true", true, 0, "")                    \
    TEST("undefined", undefined, 0, "")          \
    TEST("upper", upper, 0, "")

#define TEXT_METHODS(METHOD)                     \
    METHOD(capitalize, 0, "")                    \
    METHOD(count, 1, "sub")                      \
    METHOD(endswith, 1, "suffix,start,end")      \
    METHOD(find, 1, "sub,start,end")             \
    METHOD(format, 0, "*")                       \
    METHOD(index, 1, "sub,start,end")            \
    METHOD(isalnum, 0, "")                       \
    METHOD(isalpha, 0, "")                       \
    METHOD(isdecimal, 0, "")                     \
    METHOD(isdigit, 0, "")                       \
    METHOD(islower, 0, "")                       \
    METHOD(isnumeric, 0, "")                     \
    METHOD(isspace, 0, "")                       \
    METHOD(isupper, 0, "")                       \
    METHOD(join, 1, "iterable")                  \
    METHOD(lower, 0, "")                         \
    METHOD(lstrip, 0, "chars")                   \
    METHOD(partition, 1, "sep")                  \
    METHOD(removeprefix, 1, "prefix")            \
    METHOD(removesuffix, 1, "suffix")            \
    METHOD(replace, 2, "old,new,count")          \
    METHOD(rfind, 1, "sub,start,end")            \
    METHOD(rindex, 1, "sub,start,end")           \
    METHOD(rpartition, 1, "sep")                 \
    METHOD(rsplit, 0, "sep,maxsplit")            \
    METHOD(rstrip, 0, "chars")                   \
    METHOD(split, 0, "sep,maxsplit")             \
    METHOD(splitlines, 0, "keepends")            \
    METHOD(startswith, 1, "prefix,start,end")    \
    METHOD(strip, 0, "chars")                    \
    METHOD(title, 0, "")                         \
    METHOD(upper, 0, "")

#define DICT_METHODS(METHOD)                     \
    METHOD(copy, 0, "")                          \
    METHOD(get, 1, "key,default")                \
    METHOD(items, 0, "")                         \
    METHOD(keys, 0, "")                          \
    METHOD(values, 0, "")

#define LIST_METHODS(METHOD)                     \
    METHOD(copy, 0, "")                          \
    METHOD(count, 1, "value")                    \
    METHOD(index, 1, "value")

#define LOOP_METHODS(METHOD)                     \
    METHOD(changed, 0, "*")                      \
    METHOD(cycle, 0, "*")

#define GLOBALS(GLOBAL)                          \
    GLOBAL(dict, 0, "*")                         \
    GLOBAL(namespace, 0, "*")                    \
    GLOBAL(raise_exception, 1, "message")        \
    GLOBAL(range, 1, "start,stop,step")          \
    GLOBAL(strftime_now, 1, "format")

#define DECLARE_FILTER(name, function, least, parameters) BuiltinFunction filter_##function;
#define DECLARE_TEST(name, function, least, parameters) BuiltinFunction test_##function;
#define DECLARE_TEXT(name, least, parameters) BuiltinFunction text_##name;
#define DECLARE_DICT(name, least, parameters) BuiltinFunction dict_##name;
#define DECLARE_LIST(name, least, parameters) BuiltinFunction list_##name;
#define DECLARE_LOOP(name, least, parameters) BuiltinFunction loop_##name;
#define DECLARE_GLOBAL(name, least, parameters) BuiltinFunction global_##name;
FILTERS(DECLARE_FILTER)
TESTS(DECLARE_TEST)
TEXT_METHODS(DECLARE_TEXT)
DICT_METHODS(DECLARE_DICT)
LIST_METHODS(DECLARE_LIST)
LOOP_METHODS(DECLARE_LOOP)
GLOBALS(DECLARE_GLOBAL)

/* NULL: there is none. */
const Builtin *builtin_filter(const char *name, size_t size);
const Builtin *builtin_test(const char *name, size_t size);
const Builtin *builtin_method(Kind kind, const char *name, size_t size);
const Builtin *builtin_global(const char *name, size_t size);
/* Whether Python has a method of this name that changes its object, which the sandbox hides, or that hone lacks. */
bool builtin_is_unsafe(Kind kind, const char *name, size_t size);
bool builtin_is_lacking(Kind kind, const char *name, size_t size);
bool builtin_is_lacking_global(const char *name, size_t size);
/* "abs, attr, …": for errors. `what`: "filters", "tests", "methods". */
Status builtin_names(Arena *arena, const char *what, const char **out);

/* Binds c->values and c->keywords to the parameters, then calls. */
Status builtin_call(Render *r, Call *c, Value *out);

#endif
