/* JSON's door: what is read, what is refused and where, and that the writer writes what Python's json writes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "trainer/base/file.h"
#include "trainer/base/json.h"

static Status parse(const char *text, cJSON **out) { return json_parse(text, strlen(text), "test.json", out); }

static void assert_rewritten(const char *text, const char *wanted)
{
    cJSON *value;
    Text t = {0};
    if (parse(text, &value) != OK) fail_msg("%s: %s", text, status_message());
    json_add(&t, value, 0, false);
    assert_string_equal(t.data, wanted);
    cJSON_Delete(value);
    text_free(&t);
}

static void values_are_written_as_python_writes_them(void **state)
{
    (void)state;
    assert_rewritten(" {\"b\":1,\"a\":[true,false,null,\"x\"],\"c\":{},\"d\":[]}\n",
                     "{\"b\": 1, \"a\": [true, false, null, \"x\"], \"c\": {}, \"d\": []}");
    assert_rewritten("[NaN,Infinity,-Infinity,1.0,1e3,-0,-0.0,1E400]",
                     "[NaN, Infinity, -Infinity, 1.0, 1000.0, 0, -0.0, Infinity]");
    assert_rewritten("1000000000000000019884624838656", "1000000000000000019884624838656");
    assert_rewritten("[9007199254740993,-9007199254740993]", "[9007199254740993, -9007199254740993]");
    assert_rewritten("\"\\u00e9\\ud83d\\ude00 \\\"\\\\\\/\\b\\f\\n\\r\\t\\u001f\"",
                     "\"\xC3\xA9\xF0\x9F\x98\x80 \\\"\\\\/\\b\\f\\n\\r\\t\\u001f\"");
}

static void what_json_is_not_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct { const char *text, *part;
    } cases[] = {
        {"", "nothing"},
        {" \n", "byte 2"},
        {"\xEF\xBB\xBF{}", "byte order mark"},
        {"\xFF\xFE{", "UTF-16"},
        {"\xFE\xFF", "UTF-16"},
        {"{", "byte 1"},
        {"[1,]", "byte 3"},
        {"{\"a\":1,}", "byte 7"},
        {"[1 2]", "byte 3"},
        {"nul", "byte 0"},
        {"1 x", "after the end"},
        {"01", "after the end"},
        {"1.", "point"},
        {"1e", "exponent"},
        {"+1", "byte 0"},
        {".5", "byte 0"},
        {"-", "byte 0"},
        {"\"a", "closing quote"},
        {"\"a\\\"", "closing quote"},
        {"\"\\x\"", "escape"},
        {"\"\\u12\"", "hexadecimal"},
        {"\"\\u0000\"", "NUL"},
        {"\"\\ud800\"", "surrogate"},
        {"\"\\udc00\"", "surrogate"},
        {"\"\\ud800\\u0041\"", "surrogate"},
        {"\"\x01\"", "control"},
        {"\"\xFF\"", "UTF-8"},
        {"\"\xC0\x80\"", "UTF-8"},
        {"\"\xED\xA0\x80\"", "UTF-8"},
        {"\"\xF4\x90\x80\x80\"", "UTF-8"},
        {"\"\xE2\x82\"", "UTF-8"},
        {"{\"a\":1,\"a\":2}", "byte 7"},
        {"{a:1}", "quotes"},
        {"{\"a\" 1}", "`:`"},
        {"[\n\n  }", "line 3, column 3"},
        {"'a'", "byte 0"},
        {"\"\\u00", "closing quote"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cJSON *value = (cJSON *)1;
        if (parse(cases[i].text, &value) != STATUS_FORMAT) fail_msg("%s was read", cases[i].text);
        assert_null(value);
        if (!strstr(status_message(), cases[i].part)) fail_msg("%s: %s", cases[i].text, status_message());
        assert_non_null(strstr(status_message(), "test.json"));
    }
    cJSON *value;
    assert_int_equal(json_parse("\"a\0b\"", 5, "nul", &value), STATUS_FORMAT);
    assert_int_equal(json_parse("[1]\0", 4, "nul", &value), STATUS_FORMAT);
    assert_int_equal(json_parse("[12]", 3, "cut", &value), STATUS_FORMAT);
}

static void depth_is_limited(void **state)
{
    (void)state;
    char text[2100] = "";
    cJSON *value;
    memset(text, '[', 512);
    memset(text + 512, ']', 512);
    assert_int_equal(parse(text, &value), OK);
    cJSON_Delete(value);
    memset(text, '[', 2000);
    assert_int_equal(parse(text, &value), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "512"));
}

/* Every prefix and every changed byte of a document is read or refused, never more. */
static void damaged_text_never_crashes(void **state)
{
    (void)state;
    static const char whole[] =
        "{\"k\\u00e9y\": [1, -2.5e-3, NaN, \"\xC3\xA9\\n\", {\"a\": null}], \"b\": true, \"c\": {\"d\": [[]]}}";
    char text[sizeof whole];
    cJSON *value;
    for (size_t n = 0; n < sizeof whole - 1; n++) {
        char *exact = malloc(n ? n : 1); /* so that a sanitizer sees a read past the end */
        memcpy(exact, whole, n);
        assert_int_equal(json_parse(exact, n, "prefix", &value), STATUS_FORMAT);
        free(exact);
    }
    for (size_t i = 0; i < sizeof whole - 1; i++)
        for (int c = 0; c < 256; c++) {
            memcpy(text, whole, sizeof whole);
            text[i] = (char)c;
            if (json_parse(text, sizeof whole - 1, "changed", &value) == OK) cJSON_Delete(value);
        }
}

static void reals_are_written_as_pythons_repr(void **state)
{
    (void)state;
    static const struct { double value; const char *text;
    } cases[] = {
        {0.1, "0.1"},
        {1e-5, "1e-05"},
        {5e-5, "5e-05"},
        {3, "3.0"},
        {-2.5, "-2.5"},
        {0.0001, "0.0001"},
        {1e15, "1000000000000000.0"},
        {1e16, "1e+16"},
        {123456789012345680.0, "1.2345678901234568e+17"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {0.30000000000000004, "0.30000000000000004"},
        {5.684341886080802e-14, "5.684341886080802e-14"},
        {1.0 / 3, "0.3333333333333333"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {9007199254740993.0, "9007199254740992.0"},
        {1234.5, "1234.5"},
        {4.35, "4.35"},
        {9.5367431640625e-07, "9.5367431640625e-07"},
        {1e100, "1e+100"},
        {0.001, "0.001"},
        {100, "100.0"},
        {0.0, "0.0"},
        {-0.0, "-0.0"},
        {1e22, "1e+22"},
        {9.0707e-320, "9.0706e-320"},
        {2e-308, "2e-308"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Text t = {0};
        json_add_real(&t, cases[i].value);
        assert_string_equal(t.data, cases[i].text);
        text_free(&t);
    }
}

static void every_double_reads_back_equal(void **state)
{
    (void)state;
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < 200000; i++) {
        double value, back;
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        uint64_t bits = i % 8 ? x : x & 0xFFF0000000000000u; /* every eighth a power of two */
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) continue;
        Text t = {0};
        json_add_real(&t, value);
        back = strtod(t.data, NULL);
        if (memcmp(&back, &value, sizeof back) != 0) fail_msg("%.17g was written %s", value, t.data);
        text_free(&t);
    }
}

static void made_numbers_keep_their_kind(void **state)
{
    (void)state;
    cJSON *list = cJSON_CreateArray();
    Text t = {0};
    cJSON_AddItemToArray(list, json_new_int(3));
    cJSON_AddItemToArray(list, json_new_real(3));
    cJSON_AddItemToArray(list, json_new_int(INT64_MIN));
    cJSON_AddItemToArray(list, json_new_int(-7));
    cJSON *copy = cJSON_Duplicate(list, true);
    json_add(&t, copy, 0, false);
    assert_string_equal(t.data, "[3, 3.0, -9223372036854775808, -7]");
    cJSON_Delete(list);
    cJSON_Delete(copy);
    text_free(&t);
}

static void indent_and_sorting_are_pythons(void **state)
{
    (void)state;
    cJSON *value;
    Text t = {0};
    assert_int_equal(parse("{\"b\":[1,{}],\"\xC3\xA9\":{\"z\":1},\"B\":[]}", &value), OK);
    json_add(&t, value, 2, true);
    assert_string_equal(t.data,
                        "{\n  \"B\": [],\n  \"b\": [\n    1,\n    {}\n  ],\n  \"\xC3\xA9\": {\n    \"z\": 1\n  }\n}");
    cJSON_Delete(value);
    text_free(&t);
}

static void strings_with_invalid_utf8_are_written_valid(void **state)
{
    (void)state;
    Text t = {0};
    json_add_string(&t, "a\0\xFF\xC3\xA9\x7F", 6);
    assert_string_equal(t.data, "\"a\\u0000\xEF\xBF\xBD\xC3\xA9\x7F\"");
    text_free(&t);
}

static void members_are_typed(void **state)
{
    (void)state;
    cJSON *o;
    const char *s;
    int64_t i;
    double r;
    bool b;
    assert_int_equal(parse("{\"s\":\"t\",\"i\":3,\"r\":1.5,\"b\":true,\"n\":null,\"big\":9007199254740993}", &o), OK);
    assert_int_equal(json_string(o, "w", "s", &s), OK);
    assert_string_equal(s, "t");
    assert_int_equal(json_string(o, "w", "n", &s), STATUS_MISSING);
    assert_int_equal(json_string(o, "w", "i", &s), STATUS_FORMAT);
    assert_string_equal(status_message(), "w: \"i\" must be a string, and is a number");
    assert_int_equal(json_string_or(o, "w", "absent", "d", &s), OK);
    assert_string_equal(s, "d");
    assert_int_equal(json_int(o, "w", "i", &i), OK);
    assert_int_equal(i, 3);
    assert_int_equal(json_int(o, "w", "r", &i), STATUS_FORMAT);
    assert_int_equal(json_int(o, "w", "big", &i), STATUS_FORMAT);
    assert_int_equal(json_int(o, "w", "absent", &i), STATUS_MISSING);
    assert_int_equal(json_int_or(o, "w", "n", 9, &i), OK);
    assert_int_equal(i, 9);
    assert_int_equal(json_real_or(o, "w", "i", 0, &r), OK);
    assert_true(r == 3);
    assert_int_equal(json_real_or(o, "w", "s", 0, &r), STATUS_FORMAT);
    assert_int_equal(json_bool_or(o, "w", "b", false, &b), OK);
    assert_true(b);
    assert_int_equal(json_bool_or(o, "w", "i", false, &b), STATUS_FORMAT);
    assert_int_equal(json_int(o->child, "w", "i", &i), STATUS_FORMAT);
    cJSON_Delete(o);
}

static void a_vocabulary_is_read_in_linear_time_and_its_duplicate_found(void **state)
{
    (void)state;
    Text t = {0};
    cJSON *value;
    struct timespec a, b;
    text_add(&t, "{", 1);
    for (int i = 0; i < 200000; i++) text_printf(&t, "%s\"token%d\": %d", i ? ", " : "", i, i);
    size_t open = t.size;
    text_add(&t, "}", 1);
    clock_gettime(CLOCK_MONOTONIC, &a);
    assert_int_equal(json_parse(t.data, t.size, "vocab", &value), OK);
    clock_gettime(CLOCK_MONOTONIC, &b);
    assert_int_equal(cJSON_GetArraySize(value), 200000);
    cJSON_Delete(value);
    double seconds = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    assert_true(seconds < 3); /* 0.05 s here; quadratic would take minutes */
    t.size = open;
    text_printf(&t, ", \"token777\": 1}");
    assert_int_equal(json_parse(t.data, t.size, "vocab", &value), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "token777"));
    text_free(&t);
}

static void a_file_is_written_and_read(void **state)
{
    (void)state;
    char dir[] = "/tmp/hone-json-XXXXXX", path[64];
    cJSON *value, *back;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.json", dir);
    assert_int_equal(parse("{\"a\": 0.1}", &value), OK);
    assert_int_equal(json_write_file(path, value, 2, false), OK);
    assert_int_equal(json_read_file(path, &back), OK);
    assert_true(cJSON_Compare(value, back, true));
    cJSON_Delete(value);
    cJSON_Delete(back);
    assert_int_equal(dir_remove(dir), OK);
    assert_int_equal(json_read_file(path, &back), STATUS_MISSING);
    assert_null(back);
}

static void arenas_that_cannot_grow_are_an_error(void **state)
{
    (void)state;
    cJSON *back;
    arena_fail_at(1);
    assert_int_equal(json_read_file("/dev/null", &back), STATUS_MEMORY);
    arena_fail_at(2);
    assert_int_equal(json_read_file("/dev/null", &back), STATUS_MEMORY);
    arena_fail_at(0);
}

/* cJSON's own allocator fails at the nth call: nothing leaks, nothing crashes. */
static long left;
static void *failing(size_t size) { return left-- > 0 ? malloc(size) : NULL; }

static void memory_failing_anywhere_in_a_parse_is_an_error(void **state)
{
    (void)state;
    cJSON_InitHooks(&(cJSON_Hooks){failing, free});
    bool read = false;
    for (long n = 0; n < 100 && !read; n++) {
        cJSON *value;
        left = n;
        Status st = parse("{\"a\": [1, 12345678901234567890, \"s\", {\"b\": true}], \"c\": -Infinity}", &value);
        if (st == OK) {
            read = true;
            cJSON_Delete(value);
        } else {
            assert_int_equal(st, STATUS_MEMORY);
        }
    }
    cJSON_InitHooks(NULL);
    assert_true(read);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_written_as_python_writes_them),
        cmocka_unit_test(what_json_is_not_is_refused_with_its_place),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(damaged_text_never_crashes),
        cmocka_unit_test(reals_are_written_as_pythons_repr),
        cmocka_unit_test(every_double_reads_back_equal),
        cmocka_unit_test(made_numbers_keep_their_kind),
        cmocka_unit_test(indent_and_sorting_are_pythons),
        cmocka_unit_test(strings_with_invalid_utf8_are_written_valid),
        cmocka_unit_test(members_are_typed),
        cmocka_unit_test(a_vocabulary_is_read_in_linear_time_and_its_duplicate_found),
        cmocka_unit_test(a_file_is_written_and_read),
        cmocka_unit_test(arenas_that_cannot_grow_are_an_error),
        cmocka_unit_test(memory_failing_anywhere_in_a_parse_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
