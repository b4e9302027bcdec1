/* kernels/threads.c and stream.c: every task once, by whoever; late threads harm nothing. */
#include "tests/kernels/kernel_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

#include "kernels/threads.h"

enum { MOST = 1000 };

/* The sanitizers stop a program that asks for too much memory, unless told that it knows. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "allocator_may_return_null=1"; }
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "allocator_may_return_null=1"; }

typedef struct Tally {
    atomic_int runs[MOST];
    atomic_int by_thread[64];
    int threads;
    bool slow;
} Tally;

static void count_task(void *context, int64_t task, int thread)
{
    Tally *t = context;
    if (thread < 0 || thread >= t->threads) abort();
    atomic_fetch_add(&t->runs[task], 1);
    atomic_fetch_add(&t->by_thread[thread], 1);
    if (t->slow) usleep(1000);
}

static void every_task_runs_once(void **state)
{
    (void)state;
    for (int n = 1; n <= 5; n++) {
        Threads *t = threads_new(n);
        assert_int_equal(threads_count(t), n);
        for (int64_t tasks = 0; tasks <= MOST; tasks = tasks < 5 ? tasks + 1 : tasks * 5) {
            static Tally tally;
            memset(&tally, 0, sizeof tally);
            tally.threads = n;
            threads_run(t, tasks, count_task, &tally);
            for (int64_t i = 0; i < MOST; i++) assert_int_equal(tally.runs[i], i < tasks);
        }
        threads_free(t);
    }
}

static void sleeping_tasks_are_shared(void **state)
{
    (void)state;
    static Tally tally;
    tally.threads = 3, tally.slow = true;
    Threads *t = threads_new(3);
    usleep(2000); /* all asleep */
    threads_run(t, 60, count_task, &tally);
    for (int i = 0; i < 3; i++) assert_true(tally.by_thread[i] >= 10);
    threads_free(t);
}

/* Many short runs, each with its own context on a stack that is reused, and a number of tasks that goes up and down: a
 * late thread that ran an old task, or claimed one beyond the end of the old run, would be seen. */
typedef struct Short { int64_t run; atomic_long sum; } Short;

static void add_task(void *context, int64_t task, int thread)
{
    (void)thread;
    Short *s = context;
    atomic_fetch_add(&s->sum, s->run * 100 + task);
}

static void short_runs_in_a_row_do_not_mix(void **state)
{
    (void)state;
    for (int threads = 2; threads <= 4; threads++) {
        Threads *t = threads_new(threads);
        for (int64_t run = 0; run < 60000; run++) {
            Short s = {.run = run};
            int64_t tasks = 2 + run * 7 % 11;
            threads_run(t, tasks, add_task, &s);
            assert_int_equal(s.sum, tasks * run * 100 + tasks * (tasks - 1) / 2);
            if (run % 1000 == 0) usleep(100); /* some start with sleepers */
        }
        threads_free(t);
    }
}

static void a_pool_of_one_makes_no_thread_and_uses_the_caller(void **state)
{
    (void)state;
    static Tally tally;
    tally.threads = 1;
    Threads *t = threads_new(1);
    threads_run(t, 7, count_task, &tally);
    assert_int_equal(tally.by_thread[0], 7);
    threads_free(t);
    threads_free(NULL);
}

static void idle_threads_use_no_cpu(void **state)
{
    (void)state;
    static Tally tally;
    tally.threads = 3;
    Threads *t = threads_new(3);
    threads_run(t, 100, count_task, &tally);
    struct timespec a, b;
    usleep(5000);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
    usleep(50000);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
    int64_t used_us = (b.tv_sec - a.tv_sec) * 1000000 + (b.tv_nsec - a.tv_nsec) / 1000;
    assert_true(used_us < 5000);
    threads_free(t);
}

static void scratch_is_aligned_kept_and_apart(void **state)
{
    (void)state;
    Stream *s = stream_new_cpu(2);
    char *block[2][4];
    for (int t = 0; t < 2; t++)
        for (int slot = 0; slot < 4; slot++) {
            block[t][slot] = stream_scratch(s, t, slot, 1000);
            assert_int_equal((uintptr_t)block[t][slot] % 64, 0);
            memset(block[t][slot], t * 4 + slot, 1000);
        }
    for (int t = 0; t < 2; t++)
        for (int slot = 0; slot < 4; slot++) {
            assert_int_equal(block[t][slot][999], t * 4 + slot);
            assert_ptr_equal(stream_scratch(s, t, slot, 10), block[t][slot]); /* less: the same memory */
        }
    char *large = stream_scratch(s, 1, 2, 5 << 20);
    assert_int_equal((uintptr_t)large % 64, 0);
    large[0] = large[(5 << 20) - 1] = 1;
    assert_non_null(stream_scratch(s, 0, 0, 0));
    assert_false(stream_failed(s));
    stream_sync(s);
    stream_free(s);
    stream_free(NULL);
}

static void scratch_that_cannot_be_had_is_said_and_survivable(void **state)
{
    (void)state;
    Stream *s = stream_new_cpu(2);
    char *p = stream_scratch(s, 1, 3, SIZE_MAX / 2), *q = stream_scratch(s, 1, 2, SIZE_MAX - 1);
    assert_true(stream_failed(s));
    memset(p, 1, 4096);
    memset(q, 2, 4096);
    assert_int_equal(p[4095], 1);
    stream_clear(s);
    assert_false(stream_failed(s));
    assert_non_null(stream_scratch(s, 1, 3, 100));
    assert_false(stream_failed(s));
    stream_free(s);
}

static void instruction_sets_can_be_narrowed(void **state)
{
    (void)state;
    setenv("HONE_ISA", "base", 1);
    assert_int_equal(isa_detect(), ISA_BASE);
    assert_string_equal(isa_name(isa_detect()), "base");
    assert_string_equal(kernels_cpu(isa_detect())->name, "cpu/base");
    setenv("HONE_ISA", "avx2", 1);
    assert_false(isa_detect() & ISA_AVX512);
    unsetenv("HONE_ISA");
    const Kernels *k;
    for (EACH_ISA(k)) assert_int_equal(k->dtypes, 1 << DTYPE_F32 | 1 << DTYPE_BF16 | 1 << DTYPE_F16);
    assert_string_equal(kernels_cpu(ISA_BASE | ISA_AVX2)->name, "cpu/avx2");
}

static void instruction_sets_that_are_not_there_are_refused(void **state)
{
    (void)state;
    char why[ISA_WHY_BYTES] = "";
    const unsigned avx2 = ISA_BASE | ISA_AVX2, all = avx2 | ISA_AVX512;
    assert_true(isa_allowed(NULL, ISA_BASE, why) && isa_allowed("", ISA_BASE, why) && isa_allowed("base", all, why));
    assert_true(isa_allowed("avx2", avx2, why) && isa_allowed("avx512", all, why));
    assert_true(isa_allowed(isa_name(isa_of_cpu()), isa_of_cpu(), why));
    assert_string_equal(why, "");
    assert_false(isa_allowed("avx512", avx2, why));
    assert_non_null(strstr(why, "avx512, which this CPU lacks; it has base and avx2"));
    assert_false(isa_allowed("avx2", ISA_BASE, why));
    assert_non_null(strstr(why, "it has base alone"));
    static const char *const unknown[] = {"AVX2", "avx", "avx512f", "base ", "none", "0"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_false(isa_allowed(unknown[i], all, why));
        assert_non_null(strstr(why, "base, avx2 or avx512"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_task_runs_once),
        cmocka_unit_test(sleeping_tasks_are_shared),
        cmocka_unit_test(short_runs_in_a_row_do_not_mix),
        cmocka_unit_test(a_pool_of_one_makes_no_thread_and_uses_the_caller),
        cmocka_unit_test(idle_threads_use_no_cpu),
        cmocka_unit_test(scratch_is_aligned_kept_and_apart),
        cmocka_unit_test(scratch_that_cannot_be_had_is_said_and_survivable),
        cmocka_unit_test(instruction_sets_can_be_narrowed),
        cmocka_unit_test(instruction_sets_that_are_not_there_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
