/* Rows to blocks: independence of threads, groups and shards, splits, the cache's key, and data that is not right. The
 * blocks themselves are compared with the reference's in test_reference.c. */
#include "trainer/data/preprocess_clm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/data/group_texts.h"

static char root[] = "/tmp/hone_clm_XXXXXX";
static char cache[64], path[128];
static const char *paths[1] = {path};
static const char *const model = FIXTURES "/models/gpt2_tiny";
static Tokenizer *tokenizer;

static int set_up_all(void **state)
{
    (void)state;
    log_set(LOG_ERROR, 0);
    if (!mkdtemp(root) || tokenizer_load(model, &tokenizer) != OK) return -1;
    snprintf(cache, sizeof cache, "%s/cache", root);
    return 0;
}

static int tear_down_all(void **state)
{
    (void)state;
    tokenizer_free(tokenizer);
    return dir_remove(root) == OK ? 0 : -1;
}

static void write_file(const char *name, const char *data, size_t size)
{
    File *f;
    snprintf(path, sizeof path, "%s/%s", root, name);
    assert_int_equal(file_create(path, &f), OK);
    assert_int_equal(file_write(f, data, size), OK);
    assert_int_equal(file_close(f), OK);
}

#define FILE_OF(name, text) write_file(name, text, strlen(text))

static ClmSource source(int64_t block_size)
{
    return (ClmSource){.name = "train", .paths = paths, .num_paths = 1, .keep_linebreaks = true, .tokenizer = tokenizer,
                       .tokenizer_dir = model, .block_size = block_size, .cache_dir = cache, .threads = 1};
}

static Dataset *opened(const ClmSource *s)
{
    Dataset *d;
    if (dataset_open_clm(s, &d) != OK) fail_msg("%s", status_message());
    return d;
}

static void assert_refused(const ClmSource *s, Status expected, const char *what)
{
    Dataset *d;
    const Status st = dataset_open_clm(s, &d);
    if (st != expected || !strstr(status_message(), what))
        fail_msg("%s where \"%s\" was expected: %s", status_name(st), what, st == OK ? "" : status_message());
    assert_null(d);
}

/* `rows` lines of different lengths. */
static void write_lines(int rows)
{
    Text t = {0};
    static const char *const words = "the quick brown fox jumps over the lazy dog, and then some more of it";
    for (int i = 0; i < rows; i++) text_printf(&t, "%d %.*s\n", i * 7919 % 1009, i * 31 % 60, words);
    write_file("lines.txt", t.data, t.size);
    text_free(&t);
}

static void threads_do_not_change_a_block(void **state)
{
    (void)state;
    write_lines(12000); /* a few hundred KB: several chunks at once */
    ClmSource s = source(16);
    s.cache_dir = cache;
    s.overwrite_cache = true;
    Dataset *one = opened(&s);
    const int64_t count = dataset_count(one);
    assert_true(count > 1000);
    for (int threads = 2; threads <= 8; threads += 3) {
        s.threads = threads;
        Dataset *many = opened(&s);
        assert_false(dataset_was_cached(many));
        assert_int_equal(dataset_count(many), count);
        assert_memory_equal(dataset_get(one, 0, 0).data, dataset_get(many, 0, 0).data, (size_t)count * 16 * 4);
        dataset_free(many);
    }
    dataset_free(one);
}

/* The ids of 1,000 rows and what is cut off; then the same over two groups and over shards. */
static void what_remains_of_every_thousand_rows_is_dropped(void **state)
{
    (void)state;
    ClmSource s = source(7);
    int64_t tokens[3], blocks = 0;
    Encoding e = {0};
    Text t = {0};
    for (int g = 0; g < 3; g++) { /* 2,500 rows of "a"..: 1,000, 1,000, 500 */
        tokens[g] = 0;
        for (int i = 0; i < (g < 2 ? 1000 : 500); i++) {
            char row[32];
            const int n = snprintf(row, sizeof row, "%.*s\n", 1 + (i * 7 + g) % 9, "abcabcabcabc");
            assert_int_equal(tokenizer_encode(tokenizer, row, (size_t)n, ENCODE_SPECIAL, &e), OK);
            tokens[g] += e.count;
            text_add(&t, row, (size_t)n);
        }
        blocks += tokens[g] / 7;
    }
    write_file("groups.txt", t.data, t.size);
    Dataset *d = opened(&s);
    assert_int_equal(dataset_count(d), blocks);
    dataset_free(d);
    encoding_free(&e);
    text_free(&t);
}

/* Shards of datasets.map(num_proc): contiguous, the first ones a row longer. */
static void shards_end_groups_as_datasets_do(void **state)
{
    (void)state;
    static const struct {
        int64_t rows, shards, ends[8];
    } cases[] = {
        {-1, 1, {999, 1999, 2999, -1}},          {2500, 1, {999, 1999, 2499, -1}},
        {10, 3, {3, 6, 9, -1}},                  {11, 3, {3, 7, 10, -1}},
        {2, 5, {0, 1, -1}},                      {2501, 2, {999, 1250, 2250, 2500, -1}},
        {2000, 2, {999, 1999, -1}},
    };
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        const GroupPlan plan = {.rows = cases[c].rows, .shards = cases[c].shards};
        const int64_t *next = cases[c].ends, rows = plan.rows < 0 ? 3000 : plan.rows;
        for (int64_t row = 0; row < rows; row++) {
            const bool ends = group_ends_after(&plan, row);
            if (ends != (row == *next)) fail_msg("%lld rows, %lld shards: row %lld", (long long)plan.rows,
                                                 (long long)plan.shards, (long long)row);
            next += ends;
        }
        assert_int_equal(*next, -1);
    }
}

static void a_percentage_is_rounded_as_the_reference_rounds(void **state)
{
    (void)state;
    static const int percents[] = {1, 5, 15, 25, 50, 99};
    static const int64_t rows[] = {0, 1, 7, 50, 110, 130, 10, 30, 1234567};
    static const int64_t expected[][6] = {
        {0, 0, 0, 0, 0, 0},     {0, 0, 0, 0, 0, 1},     {0, 0, 1, 2, 4, 7},
        {0, 2, 8, 12, 25, 50},  {1, 6, 16, 28, 55, 109}, {1, 6, 20, 32, 65, 129},
        {0, 0, 2, 2, 5, 10},    {0, 2, 4, 8, 15, 30},    {12346, 61728, 185185, 308642, 617284, 1222221}};
    for (int r = 0; r < 9; r++)
        for (int p = 0; p < 6; p++) assert_int_equal(split_head_rows(rows[r], percents[p]), expected[r][p]);
}

static void head_and_tail_are_the_whole(void **state)
{
    (void)state;
    write_lines(300);
    ClmSource s = source(1); /* nothing is dropped */
    Dataset *whole = opened(&s);
    s.part = SPLIT_HEAD;
    s.percent = 17;
    Dataset *head = opened(&s);
    s.part = SPLIT_TAIL;
    Dataset *tail = opened(&s);
    const int64_t n = dataset_count(head);
    assert_true(n > 0);
    assert_int_equal(n + dataset_count(tail), dataset_count(whole));
    assert_memory_equal(dataset_get(whole, 0, 0).data, dataset_get(head, 0, 0).data, (size_t)n * 4);
    assert_memory_equal(dataset_get(whole, 0, n).data, dataset_get(tail, 0, 0).data, (size_t)dataset_count(tail) * 4);
    dataset_free(whole);
    dataset_free(head);
    dataset_free(tail);
    FILE_OF("few.txt", "a\nb\nc\n");
    s.part = SPLIT_HEAD;
    s.percent = 5;
    assert_refused(&s, STATUS_USAGE, "validation_split_percentage 5 of 3 rows leaves it none");
    s.percent = 100;
    assert_refused(&s, STATUS_USAGE, "must be 1 to 99");
}

static bool is_cached(const ClmSource *s)
{
    Dataset *d = opened(s);
    const bool cached = dataset_was_cached(d);
    dataset_free(d);
    return cached;
}

static void the_key_is_the_content_and_the_settings(void **state)
{
    (void)state;
    write_lines(100);
    assert_int_equal(dir_remove(cache), OK);
    ClmSource s = source(8);
    assert_false(is_cached(&s));
    assert_true(is_cached(&s));
    s.threads = 3;
    assert_true(is_cached(&s)); /* changes nothing */
    write_lines(100);
    assert_true(is_cached(&s)); /* another file of the same bytes */
    s.block_size = 9;
    assert_false(is_cached(&s));
    s.keep_linebreaks = false;
    assert_false(is_cached(&s));
    s.workers = 3;
    assert_false(is_cached(&s));
    s.part = SPLIT_TAIL;
    s.percent = 5;
    assert_false(is_cached(&s));
    s.percent = 6;
    assert_false(is_cached(&s));
    s.tokenizer_dir = FIXTURES "/models/gpt2_oddvocab";
    assert_false(is_cached(&s));
    assert_true(is_cached(&s));
    write_lines(101);
    assert_false(is_cached(&s));
    assert_true(is_cached(&s));
    s.overwrite_cache = true;
    assert_false(is_cached(&s));
    s.overwrite_cache = false;
    s.tokenizer_dir = NULL; /* nothing to name it by */
    assert_false(is_cached(&s));
    assert_false(is_cached(&s));
}

static void too_little_text_is_said_with_the_numbers(void **state)
{
    (void)state;
    FILE_OF("little.txt", "a\nb\n");
    ClmSource s = source(128);
    assert_refused(&s, STATUS_USAGE, "4 tokens in 2 rows make no block of 128");
    FILE_OF("nothing.txt", "");
    assert_refused(&s, STATUS_USAGE, "0 tokens in 0 rows");
    s.block_size = 0;
    assert_refused(&s, STATUS_USAGE, "block_size 0");
}

static void rows_without_a_string_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *name, *text, *what;
    } cases[] = {
        {"a.jsonl", "{\"text\":\"a\"}\n{\"text\":null}\n", "line 2: column \"text\" is null"},
        {"b.jsonl", "{\"text\":\"a\"}\n\n{\"text\":5}\n", "line 3: column \"text\" is a number"},
        {"c.jsonl", "{\"text\":\"a\"}\n{\"x\":\"b\"}\n", "line 2: no column \"text\" in this row"},
        {"d.jsonl", "{\"x\":\"a\"}\n{\"x\":\"b\",\"text\":\"c\"}\n", "line 2: has a column \"text\", which the"},
        {"e.jsonl", "{}\n", "a row without columns"},
        {"f.json", "{\"data\":[{\"text\":\"a\"}]}", "column \"data\" is a list"},
        {"g.csv", "id,words\n1,a\n2,b\n", "column \"id\", the first one, holds only numbers"},
        {"h.csv", "id,text\n1,a\n2\n", "line 3: column \"text\" is null"},
        {"i.txt", "a\n\xff\n", "line 2"},
        {"j.parquet", "PAR1", ".jsonl or .csv"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const ClmSource s = source(1);
        FILE_OF(cases[i].name, cases[i].text);
        assert_refused(&s, strstr(cases[i].name, "parquet") ? STATUS_USAGE : STATUS_FORMAT, cases[i].what);
        assert_non_null(strstr(status_message(), cases[i].name));
    }
    snprintf(path, sizeof path, "%s/none.txt", root);
    const ClmSource s = source(1);
    assert_refused(&s, STATUS_MISSING, "none.txt");
}

static void the_first_column_serves_where_none_is_named_text(void **state)
{
    (void)state;
    Dataset *by_name, *first, *csv;
    const ClmSource s = source(1);
    FILE_OF("n.jsonl", "{\"id\":1,\"text\":\"abc def\"}\n{\"id\":2,\"text\":\"\"}\n");
    by_name = opened(&s);
    FILE_OF("f.jsonl", "{\"words\":\"abc def\",\"id\":2}\n");
    first = opened(&s);
    FILE_OF("q.csv", "words,id\r\n\"abc def\",1\r\n");
    csv = opened(&s);
    const size_t n = (size_t)dataset_count(by_name);
    assert_int_equal(dataset_count(first), n);
    assert_int_equal(dataset_count(csv), n);
    assert_memory_equal(dataset_get(by_name, 0, 0).data, dataset_get(first, 0, 0).data, 4 * n);
    assert_memory_equal(dataset_get(by_name, 0, 0).data, dataset_get(csv, 0, 0).data, 4 * n);
    dataset_free(by_name);
    dataset_free(first);
    dataset_free(csv);
}

/* A row larger than a chunk, and than everything else. */
static void one_row_may_be_the_whole_file(void **state)
{
    (void)state;
    const size_t size = 1 << 20;
    char *text = malloc(size);
    for (size_t i = 0; i < size; i++) text[i] = "to be or not to be, "[i % 20];
    write_file("one.txt", text, size);
    const ClmSource s = source(64);
    Dataset *d = opened(&s);
    assert_true(dataset_count(d) > 1000);
    dataset_free(d);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_do_not_change_a_block),
        cmocka_unit_test(what_remains_of_every_thousand_rows_is_dropped),
        cmocka_unit_test(shards_end_groups_as_datasets_do),
        cmocka_unit_test(a_percentage_is_rounded_as_the_reference_rounds),
        cmocka_unit_test(head_and_tail_are_the_whole),
        cmocka_unit_test(the_key_is_the_content_and_the_settings),
        cmocka_unit_test(too_little_text_is_said_with_the_numbers),
        cmocka_unit_test(rows_without_a_string_are_named),
        cmocka_unit_test(the_first_column_serves_where_none_is_named_text),
        cmocka_unit_test(one_row_may_be_the_whole_file),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
