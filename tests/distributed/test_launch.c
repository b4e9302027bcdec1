/* Runs itself under mpirun: cores of the ranks, and what becomes of all when one of them fails, stops or hangs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <mpi.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "trainer/base/log.h"
#include "trainer/distributed/binding.h"
#include "trainer/distributed/heartbeat.h"

enum { OUTPUT_BYTES = 1 << 16 };

/* ---- what the ranks do ---- */

static int child_binding(ProcessGroup *pg, int num_threads)
{
    Binding b;
    cpu_set_t mask;
    if (binding_apply(pg, num_threads, &b)) return 1;
    sched_getaffinity(0, sizeof mask, &mask);
    printf("<%d: threads %d cpus %d really %d widened %d mask %s line [%s]>\n", pg->rank, b.threads, b.cpus,
           CPU_COUNT(&mask), b.widened, b.mask, b.line);
    return 0;
}

static int child_fail(ProcessGroup *pg)
{
    if (pg->rank == 1) {
        log_error("model.safetensors: truncated; download it again");
        group_abort(pg, 3);
    }
    group_barrier(pg);
    return 0;
}

static int child_agree(ProcessGroup *pg)
{
    int speaker;
    Status st = pg->rank ? status_raise(STATUS_USAGE, "seed: not a number") : OK;
    st = group_agree(pg, st, &speaker);
    if (pg->rank == speaker) log_error("%s", status_message());
    return status_exit_code(st);
}

/* One rank does something odd in step 5; the others go on to step 6 and wait. */
static int child_odd(ProcessGroup *pg, int odd, int signal_number, double seconds, const HeartbeatOptions *options)
{
    Heartbeat *h;
    if (heartbeat_start(pg, options, &h)) return 1;
    heartbeat_report(h, 5, "forward");
    usleep(700000);
    if (pg->rank == odd && signal_number) raise(signal_number);
    if (pg->rank == odd) usleep((useconds_t)(seconds * 1e6));
    if (pg->rank != odd) heartbeat_report(h, 6, "waiting");
    group_barrier(pg);
    heartbeat_stop(h);
    return 0;
}

static int child(const char *mode, int argument)
{
    ProcessGroup *pg;
    int rc = 1, initialized = 0;
    alarm(60);
    if (group_open(&pg)) {
        fprintf(stderr, "%s\n", status_message());
        return 1;
    }
    log_set(LOG_INFO, pg->rank);
    if (!strcmp(mode, "binding")) rc = child_binding(pg, argument);
    if (!strcmp(mode, "fail")) rc = child_fail(pg);
    if (!strcmp(mode, "agree")) rc = child_agree(pg);
    if (!strcmp(mode, "stop")) rc = child_odd(pg, argument, SIGSTOP, 0, &(HeartbeatOptions){.lost_s = 1.5});
    if (!strcmp(mode, "kill")) rc = child_odd(pg, argument, SIGKILL, 0, &(HeartbeatOptions){.lost_s = 1.5});
    if (!strcmp(mode, "stuck")) rc = child_odd(pg, argument, 0, 50, &(HeartbeatOptions){.lost_s = 9, .stuck_s = 1.5});
    if (!strcmp(mode, "late")) rc = child_odd(pg, argument, 0, 3, &(HeartbeatOptions){.lost_s = 1.5});
    MPI_Initialized(&initialized);
    if (!strcmp(mode, "self")) printf("<size %d initialized %d>\n", pg->size, initialized), rc = 0;
    group_close(pg);
    return rc;
}

/* ---- the tests ---- */

typedef struct Run {
    int rc;
    double seconds;
    char output[OUTPUT_BYTES];
} Run;

/* This program as a child, started by `launcher`. */
static Run run_by(const char *launcher, const char *mode, int argument)
{
    Run r = {0};
    char self[512] = "", command[2048];
    struct timespec a, b;
    assert_true(readlink("/proc/self/exe", self, sizeof self - 1) > 0);
    snprintf(command, sizeof command, "%s %s child %s %d 2>&1", launcher, self, mode, argument);
    clock_gettime(CLOCK_MONOTONIC, &a);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t got = fread(r.output, 1, sizeof r.output - 1, f);
    r.output[got] = '\0';
    int status = pclose(f);
    clock_gettime(CLOCK_MONOTONIC, &b);
    r.rc = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    r.seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) * 1e-9;
    return r;
}

static Run run(const char *before, const char *options, const char *mode, int argument)
{
    char launcher[1024];
    snprintf(launcher, sizeof launcher,
             "OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 %s mpirun --timeout 60 %s", before, options);
    return run_by(launcher, mode, argument);
}

static void assert_says(const Run *r, const char *text)
{
    if (!strstr(r->output, text)) fail_msg("'%s' is not in: %s", text, r->output);
}

static int number_after(const Run *r, int rank, const char *name)
{
    char line[32];
    snprintf(line, sizeof line, "<%d: ", rank);
    const char *at = strstr(r->output, line);
    if (at) at = strstr(at, name);
    if (!at) fail_msg("no %s of rank %d in: %s", name, rank, r->output);
    return at ? atoi(at + strlen(name)) : 0;
}

static int cores(void)
{
    cpu_set_t mask;
    sched_getaffinity(0, sizeof mask, &mask);
    return CPU_COUNT(&mask);
}

static int most(int a, int b) { return a > b ? a : b; }

static void one_rank_is_widened_to_all_cores(void **state)
{
    (void)state;
    Run r = run("", "-np 1", "binding", 0);
    assert_int_equal(r.rc, 0);
    assert_int_equal(number_after(&r, 0, "threads "), cores());
    assert_int_equal(number_after(&r, 0, "really "), cores());
    assert_int_equal(number_after(&r, 0, "widened "), cores() > 1);
    if (cores() > 1) assert_says(&r, "widened to this host's share");
}

static void ranks_share_the_cores(void **state)
{
    (void)state;
    static const char *const options[] = {"-np 2", "--oversubscribe -np 2", "--oversubscribe -np 4",
                                          "--bind-to none --oversubscribe -np 2"};
    static const int ranks[] = {2, 2, 4, 2};
    for (int i = 0; i < 4; i++) {
        if (cores() < 2 && i == 0) continue; /* mpirun refuses */
        Run r = run("", options[i], "binding", 0);
        assert_int_equal(r.rc, 0);
        for (int rank = 0; rank < ranks[i]; rank++) {
            assert_int_equal(number_after(&r, rank, "threads "), most(1, cores() / ranks[i]));
            assert_int_equal(number_after(&r, rank, "really "), number_after(&r, rank, "cpus "));
        }
    }
}

/* What a rank tells of its mask. */
static const char *mask_of(const Run *r, int rank, char mask[64])
{
    char line[32];
    snprintf(line, sizeof line, "<%d: ", rank);
    const char *at = strstr(r->output, line);
    if (!at || sscanf(strstr(at, "mask "), "mask %63s", mask) != 1)
        fail_msg("no mask of rank %d in: %s", rank, r->output);
    return mask;
}

static void ranks_that_have_enough_cores_share_none(void **state)
{
    (void)state;
    char first[64], second[64];
    if (cores() < 2) return;
    Run r = run("", "--oversubscribe -np 2", "binding", 0);
    assert_string_not_equal(mask_of(&r, 0, first), mask_of(&r, 1, second));
    assert_int_equal(number_after(&r, 0, "cpus ") + number_after(&r, 1, "cpus "), cores());
}

/* mpirun's own mask is the limit of what its ranks are widened to. */
static void no_rank_leaves_the_launchers_cores(void **state)
{
    (void)state;
    cpu_set_t mask;
    char before[64], expected[64], found[64];
    int first = 0;
    sched_getaffinity(0, sizeof mask, &mask);
    while (!CPU_ISSET(first, &mask)) first++;
    snprintf(before, sizeof before, "taskset -c %d", first);
    snprintf(expected, sizeof expected, "%d", first);
    Run r = run(before, "-np 1", "binding", 0);
    assert_int_equal(r.rc, 0);
    assert_int_equal(number_after(&r, 0, "threads "), 1);
    assert_string_equal(mask_of(&r, 0, found), expected);
}

static void a_binding_that_was_asked_for_is_kept(void **state)
{
    (void)state;
    Run r = run("", "--bind-to core -np 1", "binding", 0);
    assert_int_equal(r.rc, 0);
    assert_int_equal(number_after(&r, 0, "widened "), 0);
    assert_int_equal(number_after(&r, 0, "threads "), number_after(&r, 0, "really "));
    assert_true(cores() < 2 || number_after(&r, 0, "really ") < cores());
    assert_says(&r, "line []");
    if (cores() >= 2) {
        r = run("", "--map-by core --bind-to core -np 2", "binding", 0);
        assert_int_equal(r.rc, 0);
        for (int rank = 0; rank < 2; rank++) {
            assert_int_equal(number_after(&r, rank, "widened "), 0);
            assert_int_equal(number_after(&r, rank, "threads "), number_after(&r, rank, "really "));
        }
    }
}

static void numbers_of_threads_that_were_asked_for_are_kept(void **state)
{
    (void)state;
    Run r = run("OMP_NUM_THREADS=3", "--bind-to none -np 1", "binding", 0);
    assert_int_equal(number_after(&r, 0, "threads "), 3);
    r = run("OMP_NUM_THREADS=3", "--bind-to none -np 1", "binding", 1);
    assert_int_equal(number_after(&r, 0, "threads "), 1);
    assert_says(&r, "line []");
    r = run("", "--bind-to none --oversubscribe -np 2", "binding", 1000);
    assert_int_equal(number_after(&r, 1, "threads "), 1000);
    assert_says(&r, "2 ranks x 1000 threads on this host, more than its cores allow, as asked");
    r = run("", "--bind-to none -np 1", "binding", 1000);
    assert_says(&r, "1 rank x 1000 threads on this host, more than its cores allow, as asked");
}

static void one_rank_does_not_start_mpi(void **state)
{
    (void)state;
    Run r = run("", "-np 1", "self", 0);
    assert_int_equal(r.rc, 0);
    assert_says(&r, "<size 1 initialized 0>");
    r = run_by("env -u OMPI_COMM_WORLD_SIZE -u PMIX_RANK", "self", 0); /* no launcher at all */
    assert_int_equal(r.rc, 0);
    assert_says(&r, "<size 1 initialized 0>");
}

static void srun_without_pmix_is_refused(void **state)
{
    (void)state;
    ProcessGroup *pg;
    unsetenv("OMPI_COMM_WORLD_SIZE");
    unsetenv("PMIX_RANK");
    setenv("SLURM_STEP_NUM_TASKS", "4", 1);
    assert_int_equal(group_open(&pg), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "srun --mpi=pmix"));
    setenv("SLURM_STEP_NUM_TASKS", "1", 1);
    setenv("SLURM_NTASKS", "4", 1); /* a batch script: proves nothing */
    assert_int_equal(group_open(&pg), OK);
    assert_int_equal(pg->size, 1);
    group_close(pg);
    unsetenv("SLURM_STEP_NUM_TASKS");
    unsetenv("SLURM_NTASKS");
}

static void one_ranks_failure_ends_all_with_its_message(void **state)
{
    (void)state;
    Run r = run("", "--oversubscribe -np 3", "fail", 0);
    assert_int_equal(r.rc, 3);
    assert_says(&r, "model.safetensors: truncated; download it again");
    assert_true(r.seconds < 15);
}

static void an_agreed_failure_is_told_once(void **state)
{
    (void)state;
    Run r = run("", "--oversubscribe -np 3", "agree", 0);
    assert_int_equal(r.rc, 2);
    assert_says(&r, "seed: not a number");
    assert_null(strstr(strstr(r.output, "seed: not") + 1, "seed: not"));
}

static void a_stopped_rank_is_named_and_ends_all(void **state)
{
    (void)state;
    Run r = run("", "--oversubscribe -np 3", "stop", 2);
    assert_int_equal(r.rc, 1);
    assert_says(&r, "rank 2 (");
    assert_says(&r, "last heard of in step 5, forward");
    assert_true(r.seconds < 20);
    r = run("", "--oversubscribe -np 2", "stop", 0); /* rank 0 itself: seen by the others */
    assert_int_equal(r.rc, 1);
    assert_says(&r, "rank 0 (");
    assert_true(r.seconds < 20);
}

static void a_killed_rank_ends_all(void **state)
{
    (void)state;
    Run r = run("", "--oversubscribe -np 2", "kill", 1);
    assert_int_equal(r.rc, 137);
    assert_true(r.seconds < 15);
}

static void a_rank_that_hangs_is_named_and_ends_all(void **state)
{
    (void)state;
    Run r = run("", "--oversubscribe -np 2", "stuck", 1);
    assert_int_equal(r.rc, 1);
    assert_says(&r, "no rank has got on for");
    assert_says(&r, "rank 1 (");
    assert_says(&r, "in step 5, forward");
    assert_null(strstr(r.output, "in step 6"));
}

static void a_rank_that_is_late_but_alive_is_waited_for(void **state)
{
    (void)state;
    Run r = run("", "--oversubscribe -np 2", "late", 1);
    assert_int_equal(r.rc, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_rank_is_widened_to_all_cores),
        cmocka_unit_test(ranks_share_the_cores),
        cmocka_unit_test(ranks_that_have_enough_cores_share_none),
        cmocka_unit_test(no_rank_leaves_the_launchers_cores),
        cmocka_unit_test(a_binding_that_was_asked_for_is_kept),
        cmocka_unit_test(numbers_of_threads_that_were_asked_for_are_kept),
        cmocka_unit_test(one_rank_does_not_start_mpi),
        cmocka_unit_test(srun_without_pmix_is_refused),
        cmocka_unit_test(one_ranks_failure_ends_all_with_its_message),
        cmocka_unit_test(an_agreed_failure_is_told_once),
        cmocka_unit_test(a_stopped_rank_is_named_and_ends_all),
        cmocka_unit_test(a_killed_rank_ends_all),
        cmocka_unit_test(a_rank_that_hangs_is_named_and_ends_all),
        cmocka_unit_test(a_rank_that_is_late_but_alive_is_waited_for),
    };
    if (argc == 4 && !strcmp(argv[1], "child")) return child(argv[2], atoi(argv[3]));
    return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
