/* A token cache's file whose hash is right may still lie: everything that it tells of itself is checked before it is
 * used. (Found by the fuzz target: ids outside the range that the header tells were taken, and read past the
 * embedding.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include <cmocka.h>

#include "trainer/data/cache_file.h"

enum { MOST_DATA = 256 };

typedef struct CacheFile {
    CacheHeader header;
    char padding[CACHE_HEADER - sizeof(CacheHeader)];
    char data[MOST_DATA];
} CacheFile;

static char path[] = "/tmp/hone_cache_file_XXXXXX";

static int set_up(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

/* Two examples of one fixed column. */
static CacheFile fixed(void)
{
    static const int32_t ids[] = {5, 6, 7, 1, 9, 2};
    CacheFile f = {.header = {.columns = 1, .count = 2, .stride = 3, .data_bytes = sizeof ids}};
    f.header.column[0] = (CacheColumnInfo){.name = "input_ids", .length = 3, .longest = 3, .least = 1, .most = 9};
    memcpy(f.data, ids, sizeof ids);
    return f;
}

/* Two examples of two columns of any length: {5 6} {7}, {1 9 2} {}. */
static CacheFile ragged(void)
{
    static const uint64_t offsets[] = {0, 2, 3, 6, 6};
    CacheFile f = fixed();
    f.header.columns = 2;
    f.header.stride = 0;
    f.header.column[0].length = -1;
    f.header.column[1] = (CacheColumnInfo){.name = "labels", .length = -1, .longest = 1, .least = 7, .most = 7};
    memcpy(f.data + f.header.data_bytes, offsets, sizeof offsets);
    return f;
}

/* Writes it with the right size and hash, and opens it. */
static Status open_it(CacheFile *f, Dataset **out)
{
    CacheHeader *h = &f->header;
    const size_t size = CACHE_HEADER + h->data_bytes + (h->stride ? 0 : 5 * sizeof(uint64_t));
    memcpy(h->magic, "HONETOK", 8);
    h->version = CACHE_VERSION;
    h->file_bytes = size;
    XXH3_state_t *hash = XXH3_createState();
    XXH3_128bits_reset(hash);
    XXH3_128bits_update(hash, f->data, size - CACHE_HEADER);
    XXH3_128bits_update(hash, h->key, CACHE_HEADER - offsetof(CacheHeader, key));
    const XXH128_hash_t value = XXH3_128bits_digest(hash);
    XXH3_freeState(hash);
    h->hash[0] = value.low64, h->hash[1] = value.high64;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(f, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return cache_file_open(path, NULL, out);
}

static void assert_refused(CacheFile f, const char *why)
{
    Dataset *d;
    assert_int_equal(open_it(&f, &d), STATUS_FORMAT);
    assert_null(d);
    assert_non_null(strstr(status_message(), path));
    if (!strstr(status_message(), why)) fail_msg("%s: no word of \"%s\"", status_message(), why);
}

static void files_as_hone_writes_them_are_taken(void **state)
{
    (void)state;
    CacheFile f = fixed(), r = ragged();
    Dataset *d;
    assert_int_equal(open_it(&f, &d), OK);
    assert_int_equal(dataset_count(d), 2);
    assert_int_equal(dataset_get(d, 0, 1).data[1], 9);
    dataset_free(d);
    assert_int_equal(open_it(&r, &d), OK);
    assert_int_equal(dataset_length(d, 0, 1), 3);
    assert_int_equal(dataset_length(d, 1, 1), 0);
    dataset_free(d);
}

static void ids_outside_the_range_told_are_refused(void **state)
{
    (void)state;
    CacheFile f = fixed();
    f.header.column[0].most = 8;
    assert_refused(f, "range");
    f = fixed();
    f.header.column[0].least = 2;
    assert_refused(f, "range");
    f = ragged();
    f.header.column[1].most = f.header.column[1].least = 6;
    assert_refused(f, "range");
}

static void impossible_counts_are_refused(void **state)
{
    (void)state;
    static const int64_t counts[] = {-1, 1, 3, INT64_MAX, INT64_MIN, INT64_MAX / 3 + 1};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        CacheFile f = fixed(), r = ragged();
        f.header.count = r.header.count = counts[i];
        assert_refused(f, "impossible");
        assert_refused(r, "impossible");
    }
    CacheFile f = fixed();
    f.header.columns = 0;
    assert_refused(f, "impossible");
    f.header.columns = CACHE_COLUMNS + 1;
    assert_refused(f, "impossible");
    f = fixed();
    f.header.stride = -3;
    assert_refused(f, "impossible");
}

static void impossible_columns_are_refused(void **state)
{
    (void)state;
    CacheFile f = fixed();
    f.header.column[0].length = INT64_MAX;
    assert_refused(f, "impossible");
    f = fixed();
    f.header.column[0].longest = 4; /* than which no list can be longer */
    assert_refused(f, "impossible");
    f.header.column[0].longest = 2; /* buffers are made of this size */
    assert_refused(f, "impossible");
    f = fixed();
    memset(f.header.column[0].name, 'x', CACHE_NAME); /* without its end */
    assert_refused(f, "impossible");
    f = ragged();
    f.header.column[0].longest = 2;
    assert_refused(f, "impossible");
}

static void offsets_that_fall_or_pass_the_end_are_refused(void **state)
{
    (void)state;
    static const uint64_t wrong[][5] = {{1, 2, 3, 6, 6}, {0, 3, 2, 6, 6}, {0, 2, 3, 6, 7}, {0, 2, 3, 6, 5},
                                        {0, 2, UINT64_MAX, 6, 6}, {0, 2, 3, UINT64_MAX / 4, 6}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        CacheFile r = ragged();
        memcpy(r.data + r.header.data_bytes, wrong[i], sizeof wrong[i]);
        assert_refused(r, "impossible offsets");
    }
}

static void a_file_without_examples_or_of_nothing_is_no_fault(void **state)
{
    (void)state;
    CacheFile f = {.header = {.columns = 1, .count = 0, .stride = 3}};
    Dataset *d;
    f.header.column[0] = (CacheColumnInfo){.name = "input_ids", .length = 3};
    assert_int_equal(open_it(&f, &d), OK);
    assert_int_equal(dataset_count(d), 0);
    dataset_free(d);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(cache_file_open(path, NULL, &d), STATUS_FORMAT);
    assert_int_equal(truncate(path, CACHE_HEADER - 1), 0);
    assert_int_equal(cache_file_open(path, NULL, &d), STATUS_FORMAT);
    assert_int_equal(truncate(path, CACHE_HEADER), 0);
    assert_int_equal(cache_file_open(path, NULL, &d), STATUS_FORMAT);
    assert_int_not_equal(cache_file_open("/tmp", NULL, &d), OK);
    assert_null(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_as_hone_writes_them_are_taken),
        cmocka_unit_test(ids_outside_the_range_told_are_refused),
        cmocka_unit_test(impossible_counts_are_refused),
        cmocka_unit_test(impossible_columns_are_refused),
        cmocka_unit_test(offsets_that_fall_or_pass_the_end_are_refused),
        cmocka_unit_test(a_file_without_examples_or_of_nothing_is_no_fault),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
