/* The token cache: found, made once, made again when it is not right or its maker dies, and never needed. */
#include "trainer/data/token_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#include <cmocka.h>

#include "trainer/base/file.h"
#include "trainer/base/log.h"
#include "trainer/data/cache_file.h"
#include "trainer/data/cache_lock.h"

static char root[] = "/tmp/hone_cache_XXXXXX";
static char cache[64], file[160], lock[160], counter[64];

static int set_up_all(void **state)
{
    (void)state;
    log_set(LOG_ERROR, 0);
    if (!mkdtemp(root)) return -1;
    snprintf(cache, sizeof cache, "%s/deep/cache", root);
    snprintf(file, sizeof file, "%s/%016x%016x.tokens", cache, 2, 1);
    snprintf(lock, sizeof lock, "%s/%016x%016x.lock", cache, 2, 1);
    snprintf(counter, sizeof counter, "%s/made", root);
    return setenv("TMPDIR", root, 1);
}

static int tear_down_all(void **state)
{
    (void)state;
    return dir_remove(root) == OK ? 0 : -1;
}

/* Each test begins with an empty cache. */
static int set_up(void **state)
{
    (void)state;
    file_hook(NULL, NULL);
    cache_lock_patience(LOCK_DEAD_MS);
    unlink(counter);
    return dir_remove(cache) == OK && dir_make(cache) == OK ? 0 : -1;
}

static void pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&t, NULL);
}

static int times_made(void)
{
    struct stat info;
    return stat(counter, &info) == 0 ? (int)info.st_size : 0;
}

static void count_one(void)
{
    int fd = open(counter, O_WRONLY | O_CREAT | O_APPEND, 0666);
    if (fd < 0 || write(fd, "x", 1) != 1) abort();
    close(fd);
}

/* What a maker does: waits *ms, fails with STATUS_FORMAT if it is negative. */
static Status make_two(void *context, CacheWriter *w)
{
    static const int32_t ids[] = {5, 6, 7, 1, 9, 2};
    const int *ms = context;
    count_one();
    if (ms && *ms < 0) return status_raise(STATUS_FORMAT, "data.txt: line 3: not right");
    if (ms) pause_ms(*ms);
    cache_writer_notes(w)->rows = 11;
    return cache_writer_add(w, ids, 2, NULL);
}

static const CacheColumn fixed = {.name = "input_ids", .length = 3};

static CacheRequest request(int *ms)
{
    return (CacheRequest){.dir = cache, .key = {1, 2}, .columns = &fixed, .num_columns = 1, .make = make_two,
                          .context = ms};
}

static void check_two(Dataset *d, bool cached)
{
    int32_t least, most;
    assert_non_null(d);
    assert_int_equal(dataset_count(d), 2);
    assert_int_equal(dataset_column(d, "input_ids"), 0);
    assert_int_equal(dataset_column(d, "labels"), -1);
    assert_int_equal(dataset_get(d, 0, 1).length, 3);
    assert_int_equal(dataset_get(d, 0, 1).data[1], 9);
    assert_int_equal(dataset_longest(d, 0), 3);
    dataset_range(d, 0, &least, &most);
    assert_int_equal(least, 1);
    assert_int_equal(most, 9);
    assert_int_equal(dataset_notes(d)->rows, 11);
    assert_int_equal(dataset_was_cached(d), cached);
    dataset_select(d, 1);
    assert_int_equal(dataset_count(d), 1);
    dataset_select(d, 5);
    assert_int_equal(dataset_count(d), 1);
    dataset_free(d);
}

static void open_two(int *ms, bool cached)
{
    Dataset *d;
    const CacheRequest q = request(ms);
    if (token_cache_open(&q, &d) != OK) fail_msg("%s", status_message());
    check_two(d, cached);
}

static int files_in_cache(void)
{
    Arena *arena;
    char **names;
    size_t count;
    assert_int_equal(arena_new(&arena), OK);
    assert_int_equal(dir_list(cache, arena, &names, &count), OK);
    arena_free(arena);
    return (int)count;
}

static void what_was_made_is_found(void **state)
{
    (void)state;
    open_two(NULL, false);
    open_two(NULL, true);
    assert_int_equal(times_made(), 1);
    assert_int_equal(files_in_cache(), 1); /* neither lock nor leftovers */
}

static Status make_ragged(void *context, CacheWriter *w)
{
    (void)context;
    Status st = OK;
    static const int32_t first[] = {1, 2, 3, -100, 50}, second[] = {7};
    static const int64_t lengths[3][3] = {{3, 1, 1}, {0, 0, 1}, {0, 0, 1}};
    TRY(cache_writer_add(w, first, 1, lengths[0]));
    TRY(cache_writer_add(w, second, 1, lengths[1]));
    TRY(cache_writer_add(w, second, 1, lengths[2]));
done:
    return st;
}

static const CacheColumn ragged[] = {{"input_ids", -1}, {"labels", -1}, {"label", 1}};

static void ragged_columns_come_back(void **state)
{
    (void)state;
    const CacheRequest q = {.dir = cache, .key = {1, 2}, .columns = ragged, .num_columns = 3, .make = make_ragged};
    for (int cached = 0; cached < 2; cached++) {
        Dataset *d;
        assert_int_equal(token_cache_open(&q, &d), OK);
        assert_int_equal(dataset_count(d), 3);
        assert_int_equal(dataset_length(d, 0, 0), 3);
        assert_int_equal(dataset_get(d, 0, 0).data[2], 3);
        assert_int_equal(dataset_get(d, 1, 0).data[0], -100);
        assert_int_equal(dataset_get(d, 2, 0).data[0], 50);
        assert_int_equal(dataset_length(d, 1, 1), 0);
        assert_int_equal(dataset_get(d, 2, 2).data[0], 7);
        assert_int_equal(dataset_longest(d, 0), 3);
        assert_int_equal(dataset_longest(d, 1), 1);
        dataset_free(d);
    }
}

static void patch(long at, const void *data, size_t size)
{
    int fd = open(file, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, size, at), size);
    close(fd);
}

static void flip(long at)
{
    unsigned char byte;
    int fd = open(file, O_RDONLY);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    close(fd);
    byte ^= 0x5a;
    patch(at, &byte, 1);
}

static void a_file_that_is_not_right_is_made_again(void **state)
{
    (void)state;
    open_two(NULL, false);
    static const long places[] = {0, 9, 13, 17, 33, 49, 57, 65, 73, 81, 113, 200, 4000, CACHE_HEADER,
                                  CACHE_HEADER + 23};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        flip(places[i]);
        open_two(NULL, false);
        open_two(NULL, true);
    }
    const long sizes[] = {0, 1, 100, CACHE_HEADER - 1, CACHE_HEADER, CACHE_HEADER + 20, CACHE_HEADER + 23};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        assert_int_equal(truncate(file, sizes[i]), 0);
        open_two(NULL, false);
    }
    assert_int_equal(truncate(file, CACHE_HEADER + 4096), 0); /* longer */
    open_two(NULL, false);
    open_two(NULL, true);
}

static void sign(char *bytes, size_t size)
{
    CacheHeader *h = (CacheHeader *)bytes;
    XXH3_state_t *s = XXH3_createState();
    XXH3_128bits_reset(s);
    XXH3_128bits_update(s, bytes + CACHE_HEADER, size - CACHE_HEADER);
    XXH3_128bits_update(s, h->key, CACHE_HEADER - offsetof(CacheHeader, key));
    XXH128_hash_t hash = XXH3_128bits_digest(s);
    h->hash[0] = hash.low64;
    h->hash[1] = hash.high64;
    XXH3_freeState(s);
}

/* A right hash over impossible numbers: each must be found before it is used. */
static void a_hostile_file_is_refused(void **state)
{
    (void)state;
    static const uint64_t values[] = {0, 1, 2, 3, 4, 7, 255, UINT64_C(1) << 31, UINT64_C(1) << 62, UINT64_C(1) << 63,
                                      UINT64_MAX, UINT64_MAX - 3};
    Arena *arena;
    char *good;
    size_t size;
    int refused = 0;
    const CacheRequest q = {.dir = cache, .key = {1, 2}, .columns = ragged, .num_columns = 3, .make = make_ragged};
    assert_int_equal(arena_new(&arena), OK);
    for (int kind = 0; kind < 2; kind++) {
        Dataset *d;
        const CacheRequest two = request(NULL);
        unlink(file);
        assert_int_equal(token_cache_open(kind ? &q : &two, &d), OK);
        dataset_free(d);
        assert_int_equal(file_read_all(file, arena, 1 << 20, &good, &size), OK);
        char *bad = malloc(size);
        for (size_t at = 8; at + 8 <= size; at = at == 232 + 3 * 64 ? CACHE_HEADER : at + 8)
            for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
                memcpy(bad, good, size);
                memcpy(bad + at, &values[v], 8);
                sign(bad, size);
                patch(0, bad, size); /* not synced, as file_replace would */
                const Status st = cache_file_open(file, NULL, &d);
                if (st != OK) {
                    assert_int_equal(st, STATUS_FORMAT);
                    refused++;
                    continue;
                }
                int64_t sum = 0; /* what passes can be read everywhere */
                for (int64_t i = 0; i < dataset_count(d); i++)
                    for (int c = 0; c < (kind ? 3 : 1); c++) {
                        const Span s = dataset_get(d, c, i);
                        for (int64_t k = 0; k < s.length; k++) sum += s.data[k];
                    }
                assert_true(sum < INT64_MAX);
                dataset_free(d);
            }
        free(bad);
    }
    assert_true(refused > 200);
    arena_free(arena);
}

static pid_t start_opener(int ms)
{
    const pid_t pid = fork();
    if (pid) return pid;
    Dataset *d = NULL;
    const CacheRequest q = request(&ms);
    const Status st = token_cache_open(&q, &d);
    _exit(st == OK && dataset_count(d) == 2 && dataset_get(d, 0, 1).data[1] == 9 ? 0 : 1);
}

static void wait_for(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void processes_that_start_together_make_it_once(void **state)
{
    (void)state;
    pid_t pids[4];
    for (int i = 0; i < 4; i++) pids[i] = start_opener(200);
    for (int i = 0; i < 4; i++) wait_for(pids[i]);
    assert_int_equal(times_made(), 1);
    assert_int_equal(files_in_cache(), 1);
}

static void wait_until_made(int times)
{
    for (int i = 0; i < 1000 && times_made() < times; i++) pause_ms(5);
    assert_int_equal(times_made(), times);
}

static void a_maker_that_was_killed_is_replaced_at_once(void **state)
{
    (void)state;
    const pid_t maker = start_opener(60000);
    wait_until_made(1);
    const pid_t waiter = start_opener(0);
    pause_ms(100);
    assert_int_equal(times_made(), 1); /* it waits */
    kill(maker, SIGKILL);
    waitpid(maker, NULL, 0);
    wait_for(waiter);
    assert_int_equal(times_made(), 2);
    open_two(NULL, true);
    assert_int_equal(files_in_cache(), 1); /* the dead maker's half file is gone */
}

static void a_maker_of_another_host_is_replaced_when_it_stands_still(void **state)
{
    (void)state;
    assert_int_equal(file_replace(lock, "elsewhere 1 17\n", 15), OK);
    cache_lock_patience(300);
    open_two(NULL, false);
    assert_int_equal(files_in_cache(), 1);
}

static void a_slow_maker_whose_heart_beats_is_left_alone(void **state)
{
    (void)state;
    cache_lock_patience(1000);
    const pid_t maker = start_opener(1600);
    wait_until_made(1);
    open_two(NULL, true);
    wait_for(maker);
    assert_int_equal(times_made(), 1);
}

static void a_maker_that_fails_gives_its_error_and_leaves_nothing(void **state)
{
    (void)state;
    int ms = -1;
    Dataset *d;
    const CacheRequest q = request(&ms);
    assert_int_equal(token_cache_open(&q, &d), STATUS_FORMAT);
    assert_string_equal(status_message(), "data.txt: line 3: not right");
    assert_null(d);
    assert_int_equal(files_in_cache(), 0);
    assert_int_equal(times_made(), 1); /* not tried again in a temporary file */
}

static void overwrite_makes_it_anew_once(void **state)
{
    (void)state;
    Dataset *d;
    CacheRequest q = request(NULL);
    open_two(NULL, false);
    q.overwrite = true;
    assert_int_equal(token_cache_open(&q, &d), OK);
    check_two(d, false);
    assert_int_equal(times_made(), 2);
}

/* However late they come: what one has mapped is not replaced under it. */
static void the_processes_of_a_run_overwrite_it_once(void **state)
{
    (void)state;
    Dataset *a, *b;
    CacheRequest q = request(NULL);
    open_two(NULL, false);
    q.overwrite = true;
    q.run = 77;
    assert_int_equal(token_cache_open(&q, &a), OK);
    assert_int_equal(times_made(), 2);
    assert_int_equal(token_cache_open(&q, &b), OK);
    assert_int_equal(times_made(), 2);
    assert_int_equal(dataset_stamp(a), dataset_stamp(b));
    check_two(a, false);
    check_two(b, true);
    q.run = 78; /* another run */
    assert_int_equal(token_cache_open(&q, &a), OK);
    check_two(a, false);
    assert_int_equal(times_made(), 3);
    assert_int_equal(files_in_cache(), 1);
}

static void without_a_directory_it_is_made_for_this_process(void **state)
{
    (void)state;
    char not_a_dir[160];
    Dataset *d;
    CacheRequest q = request(NULL);
    snprintf(not_a_dir, sizeof not_a_dir, "%s/cache", counter); /* below a file */
    q.dir = NULL;
    assert_int_equal(token_cache_open(&q, &d), OK);
    check_two(d, false);
    q.dir = not_a_dir;
    assert_int_equal(token_cache_open(&q, &d), OK);
    check_two(d, false);
    assert_int_equal(times_made(), 2);
    assert_int_equal(files_in_cache(), 0);
}

typedef struct Failing {
    int left, error;
} Failing;

static int fail_one(void *context, const FileCall *call, size_t *size)
{
    (void)size;
    Failing *f = context;
    if (call->op == FILE_CLOSE) return 0; /* closing a file that was read cannot fail */
    return f->left-- == 0 ? f->error : 0;
}

/* Whatever call of the file system fails, once: there is a dataset, or an error; and the next time all is well. */
static void every_failing_call_is_survived(void **state)
{
    (void)state;
    static const int errors[] = {EIO, ENOSPC};
    for (int e = 0; e < 2; e++)
        for (int k = 0; k < 20; k++) {
            Failing f = {k, errors[e]};
            Dataset *d;
            const CacheRequest q = request(NULL);
            unlink(file);
            file_hook(fail_one, &f);
            const Status st = token_cache_open(&q, &d);
            file_hook(NULL, NULL);
            if (st == OK) check_two(d, dataset_was_cached(d));
            else assert_null(d);
            Dataset *again;
            assert_int_equal(token_cache_open(&q, &again), OK);
            check_two(again, dataset_was_cached(again));
        }
    assert_int_equal(files_in_cache(), 1);
}

static void *open_in_thread(void *context)
{
    (void)context;
    int ms = 50;
    Dataset *d = NULL;
    const CacheRequest q = request(&ms);
    const Status st = token_cache_open(&q, &d);
    dataset_free(d);
    return st == OK ? NULL : (void *)1;
}

static void threads_of_one_process_may_open_it_too(void **state)
{
    (void)state;
    pthread_t threads[3];
    void *result;
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, open_in_thread, NULL), 0);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], &result);
        assert_null(result);
    }
    assert_int_equal(times_made(), 1);
}

static void the_default_directory_follows_the_environment(void **state)
{
    (void)state;
    char dir[256];
    setenv("HONE_CACHE", "/a", 1);
    assert_true(token_cache_default_dir(dir, sizeof dir));
    assert_string_equal(dir, "/a");
    unsetenv("HONE_CACHE");
    setenv("XDG_CACHE_HOME", "/b", 1);
    assert_true(token_cache_default_dir(dir, sizeof dir));
    assert_string_equal(dir, "/b/hone");
    unsetenv("XDG_CACHE_HOME");
    setenv("HOME", "/c", 1);
    assert_true(token_cache_default_dir(dir, sizeof dir));
    assert_string_equal(dir, "/c/.cache/hone");
    unsetenv("HOME");
    assert_false(token_cache_default_dir(dir, sizeof dir));
}

static void ids_in_memory_are_a_dataset(void **state)
{
    (void)state;
    static const int32_t ids[] = {4, 5, 6, 7};
    Dataset *d;
    int32_t least, most;
    assert_int_equal(dataset_from_ids(ids, 2, 2, &d), OK);
    assert_int_equal(dataset_count(d), 2);
    assert_int_equal(dataset_get(d, 0, 1).data[0], 6);
    dataset_range(d, 0, &least, &most);
    assert_int_equal(most, 7);
    dataset_free(d);
    assert_int_equal(dataset_from_ids(ids, 0, 2, &d), OK);
    assert_int_equal(dataset_count(d), 0);
    dataset_free(d);
}

static void ragged_ids_in_memory_are_a_dataset(void **state)
{
    (void)state;
    static const int32_t ids[] = {4, 9, 6, 7};
    static const int64_t lengths[] = {1, 0, 3};
    Dataset *d;
    int32_t least, most;
    assert_int_equal(dataset_from_lists(ids, 3, lengths, &d), OK);
    assert_int_equal(dataset_count(d), 3);
    assert_int_equal(dataset_longest(d, 0), 3);
    for (int i = 0; i < 3; i++) assert_int_equal(dataset_length(d, 0, i), lengths[i]);
    assert_int_equal(dataset_get(d, 0, 0).data[0], 4);
    assert_int_equal(dataset_get(d, 0, 2).data[2], 7);
    dataset_range(d, 0, &least, &most);
    assert_int_equal(least, 4);
    assert_int_equal(most, 9);
    dataset_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_was_made_is_found, set_up),
        cmocka_unit_test_setup(ragged_columns_come_back, set_up),
        cmocka_unit_test_setup(a_file_that_is_not_right_is_made_again, set_up),
        cmocka_unit_test_setup(a_hostile_file_is_refused, set_up),
        cmocka_unit_test_setup(processes_that_start_together_make_it_once, set_up),
        cmocka_unit_test_setup(a_maker_that_was_killed_is_replaced_at_once, set_up),
        cmocka_unit_test_setup(a_maker_of_another_host_is_replaced_when_it_stands_still, set_up),
        cmocka_unit_test_setup(a_slow_maker_whose_heart_beats_is_left_alone, set_up),
        cmocka_unit_test_setup(a_maker_that_fails_gives_its_error_and_leaves_nothing, set_up),
        cmocka_unit_test_setup(overwrite_makes_it_anew_once, set_up),
        cmocka_unit_test_setup(the_processes_of_a_run_overwrite_it_once, set_up),
        cmocka_unit_test_setup(without_a_directory_it_is_made_for_this_process, set_up),
        cmocka_unit_test_setup(every_failing_call_is_survived, set_up),
        cmocka_unit_test_setup(threads_of_one_process_may_open_it_too, set_up),
        cmocka_unit_test_setup(ids_in_memory_are_a_dataset, set_up),
        cmocka_unit_test_setup(ragged_ids_in_memory_are_a_dataset, set_up),
        cmocka_unit_test_setup(the_default_directory_follows_the_environment, set_up),
    };
    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
