/* Rows of each format against what datasets 5.2.0 reads (the expected rows are its own), and files that are wrong. */
#include "trainer/data/readers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "trainer/base/file.h"

static char dir[] = "/tmp/hone_readers_XXXXXX";
static char paths[4][64];

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return dir_remove(dir) == OK ? 0 : -1;
}

static const char *written(int i, const char *name, const char *data, size_t size)
{
    File *f;
    snprintf(paths[i], sizeof paths[i], "%s/%s", dir, name);
    assert_int_equal(file_create(paths[i], &f), OK);
    assert_int_equal(file_write(f, data, size), OK);
    assert_int_equal(file_close(f), OK);
    return paths[i];
}

#define FILE_OF(name, literal) written(0, name, literal, sizeof literal - 1)

static Rows *opened(const char *path, bool keep, const char *field)
{
    static const char *list[1];
    Rows *r;
    list[0] = path;
    const RowsConfig c = {.paths = list, .num_paths = 1, .keep_linebreaks = keep, .field = field};
    assert_int_equal(rows_open(&c, &r), OK);
    return r;
}

/* One column's values, NULL-terminated; a field that is absent or null is "<none>", of others it is the JSON. */
static void assert_column(Rows *r, const char *column, const char *const *expected)
{
    const Row *row;
    for (;; expected++) {
        Status st = rows_next(r, &row);
        if (st != OK) fail_msg("%s", status_message());
        if (!row) break;
        assert_non_null(*expected);
        const Field *f = row_find(row, column);
        const char *text = f && f->type != FIELD_NULL ? f->text : "<none>";
        assert_string_equal(text, *expected);
        if (f) assert_int_equal(f->text[f->bytes], '\0');
    }
    assert_null(*expected);
    rows_close(r);
}

#define ASSERT_COLUMN(r, column, ...) assert_column(r, column, (const char *const[]){__VA_ARGS__, NULL})

static void assert_fails(Rows *r, const char *what)
{
    const Row *row = NULL;
    Status st;
    while ((st = rows_next(r, &row)) == OK && row) {}
    if (st == OK) fail_msg("no error where \"%s\" was expected", what);
    assert_int_equal(st, STATUS_FORMAT);
    if (!strstr(status_message(), what)) fail_msg("\"%s\" is not in \"%s\"", what, status_message());
    assert_non_null(strstr(status_message(), dir));
    rows_close(r);
}

static void text_lines_end_as_python_s_do(void **state)
{
    (void)state;
    FILE_OF("a.txt", "\xef\xbb\xbf" "ab\r\n\r\nc\vd\xc2\x85" "e\xe2\x80\xa8" "f\rg\n\nlast");
    ASSERT_COLUMN(opened(paths[0], true, NULL), "text", "\xef\xbb\xbf" "ab\n", "\n",
                  "c\vd\xc2\x85" "e\xe2\x80\xa8" "f\n", "g\n", "\n", "last");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "text", "\xef\xbb\xbf" "ab", "",
                  "c\vd\xc2\x85" "e\xe2\x80\xa8" "f", "g", "", "last");
    FILE_OF("b.txt", "one\n");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "text", "one");
    FILE_OF("c.txt", "a\r");
    ASSERT_COLUMN(opened(paths[0], true, NULL), "text", "a\n");
}

static void an_empty_text_has_no_rows_and_nul_is_text(void **state)
{
    (void)state;
    const Row *row;
    FILE_OF("empty.txt", "");
    Rows *r = opened(paths[0], true, NULL);
    assert_int_equal(rows_next(r, &row), OK);
    assert_null(row);
    assert_int_equal(rows_next(r, &row), OK); /* and stays at the end */
    assert_null(row);
    rows_close(r);
    FILE_OF("nul.txt", "a\0b\n");
    r = opened(paths[0], true, NULL);
    assert_int_equal(rows_next(r, &row), OK);
    assert_int_equal(row->fields[0].bytes, 4);
    assert_memory_equal(row->fields[0].text, "a\0b\n", 5);
    rows_close(r);
}

/* Lines, \r\n and characters that lie across the end of the buffer. */
static void buffers_end_anywhere(void **state)
{
    (void)state;
    enum { BUFFER = 1 << 16 };
    char *text = malloc(2 * BUFFER);
    for (int shift = 0; shift < 6; shift++) {
        const Row *row;
        size_t n = 0;
        memset(text, 'x', BUFFER - 4);
        n = (size_t)(BUFFER - 4 + shift - 3);
        for (size_t i = BUFFER - 4; i < n; i++) text[i] = 'x';
        memcpy(text + n, "\xe2\x82\xac\r\nlast\r", 10);
        written(0, "long.txt", text, n + 10);
        Rows *r = opened(paths[0], true, NULL);
        assert_int_equal(rows_next(r, &row), OK);
        assert_int_equal(row->fields[0].bytes, n + 4);
        assert_memory_equal(row->fields[0].text + n, "\xe2\x82\xac\n", 5);
        assert_int_equal(rows_next(r, &row), OK);
        assert_string_equal(row->fields[0].text, "last\n");
        assert_int_equal(row->line, 2);
        rows_close(r);
    }
    free(text);
}

static void text_that_is_not_utf8_is_named_by_line(void **state)
{
    (void)state;
    FILE_OF("bad.txt", "good\nab\xff\n");
    assert_fails(opened(paths[0], true, NULL), "bad.txt: line 2, column 4: byte 3 of this line is 0xff");
}

static void json_lines_are_rows(void **state)
{
    (void)state;
    FILE_OF("a.jsonl", "{\"x\":1,\"text\":\"a\\n\\u00e9\\ud83d\\ude00\"}\n\n"
                       "  {\"text\" : \"b\"}\r\n{\"text\":null}{\"x\":3}");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "text", "a\n\xc3\xa9\xf0\x9f\x98\x80", "b", "<none>", "<none>");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "x", "1", "<none>", "<none>", "3");
    FILE_OF("none.jsonl", "{}{}");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "text", "<none>", "<none>");
    FILE_OF("bom.json", "\xef\xbb\xbf{\"text\": \"a\"}");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "text", "a");
    FILE_OF("pretty.json", "{\n  \"text\": \"a\"\n}\n");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "text", "a");
}

static void json_lists_are_rows(void **state)
{
    (void)state;
    FILE_OF("a.json", " [ {\"text\": \"a\"} , {\"text\": \"b\"}\n] ");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "text", "a", "b");
    FILE_OF("s.json", "[\"a\", \"b\"]");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "text", "a", "b");
    FILE_OF("f.json", "{\"v\": [1, {\"data\": []}], \"data\": [{\"text\": \"a\"}, {\"text\": \"b\"}], "
                      "\"w\": {\"z\": 2}}");
    ASSERT_COLUMN(opened(paths[0], false, "data"), "text", "a", "b");
    FILE_OF("e.json", "[]");
    assert_column(opened(paths[0], false, NULL), "text", (const char *const[]){NULL});
}

static void json_values_keep_their_types(void **state)
{
    (void)state;
    const Row *row;
    FILE_OF("t.jsonl", "{\"a\": null, \"b\": \"s\", \"c\": -1.5e3, \"d\": true, "
                       "\"e\": [1, \"x\\/\\u0041\\\"\", {}], \"f\": {\"k\\\"\": NaN}, \"g\": -Infinity}");
    static const FieldType types[] = {FIELD_NULL, FIELD_STRING, FIELD_NUMBER, FIELD_BOOL, FIELD_LIST, FIELD_OBJECT,
                                      FIELD_NUMBER};
    static const char *const texts[] = {"null", "s", "-1.5e3", "true", "[1,\"x\\/A\\\"\",{}]", "{\"k\\u0022\":NaN}",
                                        "-Infinity"};
    Rows *r = opened(paths[0], false, NULL);
    assert_int_equal(rows_next(r, &row), OK);
    assert_int_equal(row->count, 7);
    for (int i = 0; i < 7; i++) {
        assert_int_equal(row->fields[i].type, types[i]);
        assert_string_equal(row->fields[i].text, texts[i]);
        assert_int_equal(row->fields[i].name[0], 'a' + i);
    }
    rows_close(r);
    assert_string_equal(field_type_name(FIELD_LIST), "a list");
}

static void json_that_is_not_right_is_named_by_line_and_column(void **state)
{
    (void)state;
    static const struct {
        const char *text, *what;
    } cases[] = {
        {"{\"text\": \"a\"}\n{\"text\": \"b\",}", "line 2, column 14: not valid JSON: a key in quotes"},
        {"{\"text\": \"a\"},\n{\"text\": \"b\"}", "separated by line ends, not commas"},
        {"{\"text\": \"a\", \"text\": \"b\"}", "the key \"text\" is given twice"},
        {"{\"a\": {\"k\": 1, \"\\u006b\": 2}}", "the key \"k\" is given twice"},
        {"{\"a\":1,\"b\":1,\"c\":1,\"d\":1,\"e\":1,\"f\":1,\"g\":1,\"h\":1,\"i\":1,\"b\":2}",
         "the key \"b\" is given twice"},
        {"{\"text\": \"\\ud83d\"}", "half of a surrogate pair"},
        {"{\"text\": \"\\ud83d\\u0041\"}", "half of a surrogate pair"},
        {"{\"text\": \"\\udc00\"}", "half of a surrogate pair"},
        {"{\"text\": \"\\u0000\"}", "NUL in a string"},
        {"{\"text\": \"\\u12g4\"}", "four hexadecimal digits"},
        {"{\"text\": \"\\x\"}", "an unknown escape"},
        {"{\"text\": \"\xff\"}", "invalid UTF-8"},
        {"{\"text\": \"\xed\xa0\x80\"}", "invalid UTF-8"},
        {"{\"text\": \"a\nb\"}", "a control character"},
        {"{\"text\": \"abc", "without its closing quote"},
        {"{\"text\"", "`:` was expected"},
        {"{\"text\": 01}", "`,` or `}` was expected"},
        {"{\"text\": 1.}", "after the point"},
        {"{\"text\": 1e}", "in the exponent"},
        {"{\"text\": tru}", "a value was expected"},
        {"{\"text\": }", "a value was expected"},
        {"{\"text\": 1", "`,` or `}` was expected"},
        {"[{\"text\": \"a\"} {\"text\": \"b\"}]", "`,` or `]` was expected"},
        {"[{\"text\": \"a\"}", "`,` or `]` was expected"},
        {"[{\"text\": \"a\"},]", "an object was expected"},
        {"[1]", "an object was expected"},
        {"\"a\"", "an object was expected"},
        {"[{\"text\": \"a\"}] x", "text after the end"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        written(0, "bad.json", cases[i].text, strlen(cases[i].text));
        assert_fails(opened(paths[0], false, NULL), cases[i].what);
    }
    FILE_OF("bad.json", "{\"x\": []}");
    assert_fails(opened(paths[0], false, "data"), "has no member \"data\"");
    FILE_OF("bad.json", "{\"data\": {}}");
    assert_fails(opened(paths[0], false, "data"), "should be a list of rows");
    FILE_OF("bad.json", "{\"data\": [{\"text\": \"a\"}], \"data\": 1}");
    assert_fails(opened(paths[0], false, "data"), "given twice");
    FILE_OF("bad.json", "{\"data\": [{\"text\": \"a\"}], \"x\": 1");
    assert_fails(opened(paths[0], false, "data"), "`,` or `}`");
}

static void json_may_be_512_deep_and_no_deeper(void **state)
{
    (void)state;
    char text[2048];
    for (int depth = 511; depth <= 512; depth++) { /* below the row's object */
        int n = snprintf(text, sizeof text, "{\"a\":");
        memset(text + n, '[', (size_t)depth);
        memset(text + n + depth, ']', (size_t)depth);
        text[n + 2 * depth] = '}';
        written(0, "deep.jsonl", text, (size_t)(n + 2 * depth + 1));
        if (depth == 512) {
            assert_fails(opened(paths[0], false, NULL), "nested more than 512 deep");
        } else {
            const Row *row;
            Rows *r = opened(paths[0], false, NULL);
            assert_int_equal(rows_next(r, &row), OK);
            assert_int_equal(row->fields[0].type, FIELD_LIST);
            rows_close(r);
        }
    }
}

static void csv_is_read_as_pandas_does(void **state)
{
    (void)state;
    FILE_OF("a.csv", "id,text\r\n1,\"he said \"\"hi\"\", ok\"\r\n\r\n  \r\n2,\"multi\r\nline\"\r\n3,x\"y\"z\r\n"
                     "4,\"ab\"cd\r\n5, \"sp\"\r\n6,");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "text", "he said \"hi\", ok", "multi\r\nline", "x\"y\"z", "abcd",
                  " \"sp\"", "");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "id", "1", "2", "3", "4", "5", "6");
    FILE_OF("cr.csv", "text,b\ra,1\rb,2\r");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "text", "a", "b");
    FILE_OF("bom.csv", "\xef\xbb\xbftext\na\n");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "text", "a");
    FILE_OF("lead.csv", "\n\n text ,b\n  a,1\n\n \t \"q\",2\n   ");
    ASSERT_COLUMN(opened(paths[0], false, NULL), " text ", "  a", " \t \"q\"");
    FILE_OF("noname.csv", ",text\n0,a\n1,b\n");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "Unnamed: 0", "0", "1");
    FILE_OF("short.csv", "id,text\n1\n2,b\n");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "text", "<none>", "b");
    FILE_OF("quoted.csv", "\"text\"\n\"\"\n\"a,b\"\n");
    ASSERT_COLUMN(opened(paths[0], false, NULL), "text", "", "a,b");
}

static void csv_that_is_not_right_is_named_by_line(void **state)
{
    (void)state;
    FILE_OF("long.csv", "id,text\n1,b\n2,b,c\n");
    assert_fails(opened(paths[0], false, NULL), "line 3: 3 fields where the header names 2");
    FILE_OF("eof.csv", "text\nx\n\"abc\n");
    assert_fails(opened(paths[0], false, NULL), "line 3: a field that begins with a quote has no closing one");
    FILE_OF("empty.csv", "\n \n");
    assert_fails(opened(paths[0], false, NULL), "empty; the first line");
    FILE_OF("dup.csv", "a,text,a\n");
    assert_fails(opened(paths[0], false, NULL), "two columns are named \"a\"");
    FILE_OF("bad.csv", "text\nok\n\xc3\n");
    assert_fails(opened(paths[0], false, NULL), "line 3: not UTF-8");
    FILE_OF("nul.csv", "te\0xt\nok\n");
    assert_fails(opened(paths[0], false, NULL), "a NUL in the name of column 1");
}

static void files_follow_each_other(void **state)
{
    (void)state;
    const char *list[2] = {written(0, "one.jsonl", "{\"text\":\"a\"}\n", 13),
                           written(1, "two.json", "[{\"text\":\"b\"}]", 14)};
    const RowsConfig c = {.paths = list, .num_paths = 2};
    const Row *row;
    Rows *r;
    assert_int_equal(rows_open(&c, &r), OK);
    assert_int_equal(rows_next(r, &row), OK);
    assert_int_equal(row->index, 0);
    assert_string_equal(row->path, list[0]);
    assert_int_equal(rows_next(r, &row), OK);
    assert_int_equal(row->index, 1);
    assert_string_equal(row->path, list[1]);
    assert_string_equal(row->fields[0].text, "b");
    assert_int_equal(rows_next(r, &row), OK);
    assert_null(row);
    rows_close(r);
}

static void names_say_the_format(void **state)
{
    (void)state;
    static const char *const mixed[] = {"a.txt", "b.csv"}, *const unknown[] = {"a.parquet"}, *const upper[] = {"A.TXT"};
    RowsFormat format;
    assert_int_equal(rows_format(mixed, 2, &format), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "different formats"));
    assert_int_equal(rows_format(unknown, 1, &format), STATUS_USAGE);
    assert_non_null(strstr(status_message(), ".jsonl or .csv"));
    assert_int_equal(rows_format(upper, 1, &format), OK);
    assert_int_equal(format, ROWS_TEXT);
    assert_int_equal(rows_format(NULL, 0, &format), STATUS_USAGE);
}

static void a_file_that_is_not_there_is_missing(void **state)
{
    (void)state;
    const Row *row;
    Rows *r = opened("/nowhere/x.txt", true, NULL);
    assert_int_equal(rows_next(r, &row), STATUS_MISSING);
    assert_non_null(strstr(status_message(), "/nowhere/x.txt"));
    rows_close(r);
}

static int fail_second_read(void *context, const FileCall *call, size_t *size)
{
    (void)size;
    int *reads = context;
    return call->op == FILE_READ && ++*reads == 2 ? 5 /* EIO */ : 0;
}

static void a_failing_disk_is_an_error_not_an_end(void **state)
{
    (void)state;
    static const char *const names[] = {"io.txt", "io.jsonl", "io.csv"};
    char *text = malloc(100000);
    memset(text, 'x', 100000);
    memcpy(text, "{\"text\": \"", 10);
    for (int i = 0; i < 3; i++) {
        const Row *row;
        int reads = 0;
        written(0, names[i], text, 100000);
        Rows *r = opened(paths[0], true, NULL);
        file_hook(fail_second_read, &reads);
        assert_int_equal(rows_next(r, &row), STATUS_IO);
        file_hook(NULL, NULL);
        rows_close(r);
    }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_lines_end_as_python_s_do),
        cmocka_unit_test(an_empty_text_has_no_rows_and_nul_is_text),
        cmocka_unit_test(buffers_end_anywhere),
        cmocka_unit_test(text_that_is_not_utf8_is_named_by_line),
        cmocka_unit_test(json_lines_are_rows),
        cmocka_unit_test(json_lists_are_rows),
        cmocka_unit_test(json_values_keep_their_types),
        cmocka_unit_test(json_that_is_not_right_is_named_by_line_and_column),
        cmocka_unit_test(json_may_be_512_deep_and_no_deeper),
        cmocka_unit_test(csv_is_read_as_pandas_does),
        cmocka_unit_test(csv_that_is_not_right_is_named_by_line),
        cmocka_unit_test(files_follow_each_other),
        cmocka_unit_test(names_say_the_format),
        cmocka_unit_test(a_file_that_is_not_there_is_missing),
        cmocka_unit_test(a_failing_disk_is_an_error_not_an_end),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
