/* The door to the file system: round trips, the hook in front of every operation, short writes, errors by kind. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "trainer/base/file.h"

static char root[64];
static Arena *arena;

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/hone-file-XXXXXX");
    return mkdtemp(root) && arena_new(&arena) == OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    file_hook(NULL, NULL);
    arena_free(arena);
    return dir_remove(root) == OK && !path_exists(root) ? 0 : -1;
}

static const char *in_root(const char *name) { return path_join(arena, root, name); }

/* Counts calls, fails the nth with `error`, and lets each write take at most `most` bytes. */
typedef struct Spy {
    int calls, fail_at, error, count[FILE_SYNCDIR + 1];
    size_t most;
} Spy;

static int spy_hook(void *context, const FileCall *call, size_t *size)
{
    Spy *spy = context;
    spy->count[call->op]++;
    if (++spy->calls == spy->fail_at) return spy->error;
    if (call->op == FILE_WRITE && spy->most && *size > spy->most) *size = spy->most;
    return 0;
}

static void what_was_written_is_read_back(void **state)
{
    (void)state;
    File *f;
    char back[8] = "";
    size_t got, size;
    char *text;
    const char *path = in_root("a");
    assert_int_equal(file_create(path, &f), OK);
    assert_int_equal(file_write(f, "hello", 5), OK);
    assert_int_equal(file_write_at(f, "HE", 2, 0), OK);
    assert_int_equal(file_bytes(f), 5);
    assert_int_equal(file_sync(f), OK);
    assert_int_equal(file_close(f), OK);
    assert_int_equal(file_append(path, &f), OK);
    assert_int_equal(file_write(f, "!?", 2), OK);
    assert_int_equal(file_truncate(f, 6), OK);
    assert_int_equal(file_close(f), OK);
    assert_int_equal(file_open(path, &f), OK);
    assert_string_equal(file_path(f), path);
    assert_int_equal(file_bytes(f), 6);
    assert_int_equal(file_read(f, back, 2), OK);
    assert_memory_equal(back, "HE", 2);
    assert_int_equal(file_read_some(f, back, 8, &got), OK);
    assert_int_equal(got, 4);
    assert_memory_equal(back, "llo!", 4);
    assert_int_equal(file_read_some(f, back, 8, &got), OK);
    assert_int_equal(got, 0);
    assert_int_equal(file_read_at(f, back, 3, 4), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), path));
    assert_int_equal(file_close(f), OK);
    assert_int_equal(file_read_all(path, arena, 6, &text, &size), OK);
    assert_int_equal(size, 6);
    assert_string_equal(text, "HEllo!");
    assert_int_equal(file_read_all(path, arena, 5, &text, NULL), STATUS_FORMAT);
}

static void a_map_shows_the_file_and_an_empty_one_is_null(void **state)
{
    (void)state;
    const void *data;
    size_t size;
    assert_int_equal(file_replace(in_root("m"), "abc", 3), OK);
    assert_int_equal(file_map(in_root("m"), &data, &size), OK);
    assert_int_equal(size, 3);
    assert_memory_equal(data, "abc", 3);
    file_unmap(data, size);
    assert_int_equal(file_replace(in_root("m"), "", 0), OK);
    assert_int_equal(file_map(in_root("m"), &data, &size), OK);
    assert_null(data);
    assert_int_equal(size, 0);
    file_unmap(data, size);
}

static void a_file_of_unknown_size_is_read_to_its_end(void **state)
{
    (void)state;
    char *text;
    size_t size;
    assert_int_equal(file_read_all("/proc/self/status", arena, 1 << 20, &text, &size), OK);
    assert_non_null(strstr(text, "VmRSS"));
    assert_int_equal(size, strlen(text));
    assert_int_equal(file_read_all("/proc/self/status", arena, 100, &text, &size), STATUS_FORMAT);
}

static void short_writes_are_completed(void **state)
{
    (void)state;
    Spy spy = {.most = 3};
    char *text;
    file_hook(spy_hook, &spy);
    assert_int_equal(file_replace(in_root("s"), "0123456789", 10), OK);
    assert_int_equal(spy.count[FILE_WRITE], 4);
    assert_int_equal(spy.count[FILE_SYNC], 1);
    assert_int_equal(spy.count[FILE_RENAME], 1);
    assert_int_equal(spy.count[FILE_SYNCDIR], 1);
    file_hook(NULL, NULL);
    assert_int_equal(file_read_all(in_root("s"), arena, 100, &text, NULL), OK);
    assert_string_equal(text, "0123456789");
}

static void replace_failing_at_any_call_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    Spy count = {.most = 2};
    char *text, **names;
    size_t n;
    assert_int_equal(file_replace(in_root("r"), "old", 3), OK);
    file_hook(spy_hook, &count);
    assert_int_equal(file_replace(in_root("r"), "old", 3), OK);
    for (int k = 1; k <= count.calls; k++) {
        Spy spy = {.fail_at = k, .error = k % 2 ? ENOSPC : EIO, .most = 2};
        file_hook(spy_hook, &spy);
        assert_int_equal(file_replace(in_root("r"), "new", 3), k % 2 ? STATUS_SPACE : STATUS_IO);
        file_hook(NULL, NULL);
        assert_int_equal(file_read_all(in_root("r"), arena, 100, &text, NULL), OK);
        if (k < count.calls) assert_string_equal(text, "old");
        assert_int_equal(dir_list(root, arena, &names, &n), OK);
        assert_int_equal(n, 1); /* nothing is left beside it */
    }
}

static void directories_are_made_listed_sorted_and_removed_without_following_links(void **state)
{
    (void)state;
    char **names;
    size_t n;
    assert_int_equal(dir_make(in_root("d/e//f/")), OK);
    assert_int_equal(dir_make(in_root("d/e/f")), OK);
    assert_true(path_is_dir(in_root("d/e/f")));
    assert_int_equal(file_replace(in_root("d/z"), "", 0), OK);
    assert_int_equal(file_replace(in_root("kept"), "k", 1), OK);
    assert_int_equal(symlink(root, in_root("d/b")), 0);
    assert_int_equal(dir_list(in_root("d"), arena, &names, &n), OK);
    assert_int_equal(n, 3);
    assert_string_equal(names[0], "b");
    assert_string_equal(names[1], "e");
    assert_string_equal(names[2], "z");
    assert_int_equal(dir_make(in_root("d/z/y")), STATUS_IO); /* below a file */
    assert_int_equal(dir_remove(in_root("d")), OK);
    assert_int_equal(dir_remove(in_root("d")), OK);
    assert_true(path_exists(in_root("kept")));
    assert_int_equal(file_remove(in_root("kept")), OK);
    assert_int_equal(file_remove(in_root("kept")), OK);
}

static void errors_name_the_path_and_their_kind(void **state)
{
    (void)state;
    File *f;
    char **names;
    size_t n;
    assert_int_equal(file_open(in_root("absent"), &f), STATUS_MISSING);
    assert_null(f);
    assert_non_null(strstr(status_message(), "absent"));
    assert_int_equal(file_open(root, &f), STATUS_IO);
    assert_int_equal(file_create(in_root("no/such"), &f), STATUS_MISSING);
    assert_int_equal(dir_list(in_root("absent"), arena, &names, &n), STATUS_MISSING);
    assert_int_equal(file_rename(in_root("absent"), in_root("b")), STATUS_MISSING);
    assert_int_equal(file_close(NULL), OK);
}

static void a_failing_close_is_told(void **state)
{
    (void)state;
    File *f;
    Spy spy = {.fail_at = 1, .error = EDQUOT};
    assert_int_equal(file_create(in_root("c"), &f), OK);
    file_hook(spy_hook, &spy);
    assert_int_equal(file_close(f), STATUS_SPACE);
}

static void memory_failing_is_an_error(void **state)
{
    (void)state;
    Arena *small;
    char *text;
    assert_int_equal(file_replace(in_root("x"), "abc", 3), OK);
    const char *path = in_root("x");
    assert_int_equal(arena_new(&small), OK);
    arena_fail_at(1);
    assert_int_equal(file_read_all(path, small, 100, &text, NULL), STATUS_MEMORY);
    arena_fail_at(0);
    assert_null(text);
    arena_free(small);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_was_written_is_read_back),
        TEST(a_map_shows_the_file_and_an_empty_one_is_null),
        TEST(a_file_of_unknown_size_is_read_to_its_end),
        TEST(short_writes_are_completed),
        TEST(replace_failing_at_any_call_leaves_the_old_or_the_new),
        TEST(directories_are_made_listed_sorted_and_removed_without_following_links),
        TEST(errors_name_the_path_and_their_kind),
        TEST(a_failing_close_is_told),
        TEST(memory_failing_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
