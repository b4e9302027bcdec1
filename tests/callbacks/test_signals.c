/* Stopping on request, in child processes: what a signal, two signals, a deadline do. */
#include "callbacks_test.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "trainer/callbacks/signals.h"
#include "trainer/callbacks/timing.h"

enum { ASKED = 75, NOT_ASKED = 3, WRONG = 4 };

static void nap(long ms) { nanosleep(&(struct timespec){.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000}, NULL); }

/* A loop as the trainer's: leaves with ASKED when it is asked for the reason given, or after 3 s. */
static int loop(const char *why)
{
    for (int i = 0; i < 600; i++) {
        if (stop_requested()) return stop_reason() && strcmp(stop_reason(), why) == 0 ? ASKED : WRONG;
        nap(5);
    }
    return NOT_ASKED;
}

static pid_t child(const char *why, double max_time)
{
    int ready[2];
    char c;
    fflush(NULL);
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        if (!freopen("/dev/null", "w", stderr)) _exit(WRONG);
        if (signals_block() != OK || signals_open(max_time, timing_now(), 1) != OK || stop_requested()) _exit(WRONG);
        if (write(ready[1], "r", 1) != 1) _exit(WRONG);
        int code = why ? loop(why) : (nap(3000), NOT_ASKED);
        signals_close();
        _exit(code);
    }
    assert_true(pid > 0);
    assert_int_equal(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static int status_of(pid_t pid)
{
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void usr1_term_and_int_ask(void **state)
{
    static const struct {
        int signal;
        const char *name;
    } signals[] = {{SIGUSR1, "SIGUSR1"}, {SIGTERM, "SIGTERM"}, {SIGINT, "SIGINT"}};
    (void)state;
    for (int i = 0; i < 3; i++) {
        pid_t pid = child(signals[i].name, 0);
        kill(pid, signals[i].signal);
        int status = status_of(pid);
        assert_true(WIFEXITED(status));
        assert_int_equal(WEXITSTATUS(status), ASKED);
    }
}

static void the_second_int_ends_the_process_by_the_signal(void **state)
{
    (void)state;
    pid_t pid = child(NULL, 0);
    kill(pid, SIGINT);
    nap(100);
    assert_int_equal(waitpid(pid, &(int){0}, WNOHANG), 0); /* the first did not */
    kill(pid, SIGINT);
    int status = status_of(pid);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGINT);
}

static void an_ignored_int_stays_ignored(void **state)
{
    (void)state;
    signal(SIGINT, SIG_IGN); /* as a shell's background job gets it */
    pid_t pid = child("SIGTERM", 0);
    signal(SIGINT, SIG_DFL);
    kill(pid, SIGINT);
    nap(100);
    assert_int_equal(waitpid(pid, &(int){0}, WNOHANG), 0);
    kill(pid, SIGTERM);
    int status = status_of(pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), ASKED);
}

static void usr1_may_come_many_times(void **state)
{
    (void)state;
    pid_t pid = child(NULL, 0);
    for (int i = 0; i < 5; i++) kill(pid, SIGUSR1), nap(10);
    nap(50);
    assert_int_equal(waitpid(pid, &(int){0}, WNOHANG), 0);
    kill(pid, SIGTERM); /* after USR1 the first TERM still only asks */
    nap(50);
    assert_int_equal(waitpid(pid, &(int){0}, WNOHANG), 0);
    kill(pid, SIGTERM);
    assert_true(WIFSIGNALED(status_of(pid)));
}

static void max_time_asks_when_it_is_over_and_not_before(void **state)
{
    (void)state;
    double began = timing_now();
    int status = status_of(child("max_time", 0.3));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), ASKED);
    assert_true(timing_now() - began >= 0.29);
    assert_true(timing_now() - began < 2);
}

static void a_time_that_is_over_at_the_start_asks_at_once(void **state)
{
    (void)state;
    assert_ok(signals_open(1, timing_now() - 5, 1));
    assert_int_equal(loop("max_time"), ASKED);
    signals_close();
    assert_false(stop_requested());
}

/* What a process of so many ranks says when the signal comes, and what when its ranks have agreed to stop. */
static void said(int number, int ranks, char *at_once, char *agreed, size_t size)
{
    int ends[2], kept = dup(STDERR_FILENO);
    fflush(NULL);
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    dup2(ends[1], STDERR_FILENO);
    bool fine = signals_block() == OK && signals_open(0, timing_now(), ranks) == OK && kill(getpid(), number) == 0;
    for (int i = 0; i < 600 && !stop_requested(); i++) nap(5);
    fine = fine && stop_requested();
    ssize_t first = read(ends[0], at_once, size - 1);
    stop_tell(fine ? stop_reason() : "nothing");
    stop_tell("again");
    ssize_t second = read(ends[0], agreed, size - 1);
    signals_close();
    dup2(kept, STDERR_FILENO);
    close(kept), close(ends[0]), close(ends[1]);
    assert_true(fine);
    at_once[first > 0 ? first : 0] = '\0', agreed[second > 0 ? second : 0] = '\0';
}

static void a_term_that_may_mean_the_end_of_another_rank_is_told_of_when_all_agree(void **state)
{
    (void)state;
    char at_once[200], agreed[200];
    const char *usr1 = "hone: SIGUSR1: stopping after this step and a save\n";
    for (int ranks = 1; ranks < 3; ranks++) {
        said(SIGTERM, ranks, at_once, agreed, sizeof agreed);
        assert_string_equal(at_once, ranks == 1 ? "hone: SIGTERM: stopping after this step and a save; once more to "
                                                  "stop at once, without a save\n" : "");
        assert_string_equal(agreed, ranks == 1 ? "" : "hone: SIGTERM: stopping after this step and a save\n");
        said(SIGUSR1, ranks, at_once, agreed, sizeof agreed);
        assert_string_equal(at_once, usr1);
        assert_string_equal(agreed, "");
    }
}

static void closing_forgets_and_can_be_repeated(void **state)
{
    sigset_t mask;
    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_ok(signals_block());
        assert_ok(signals_open(0, 0, 1));
        assert_int_equal(signals_open(0, 0, 1), STATUS_BUG);
        stop_request("first");
        stop_request("second");
        assert_string_equal(stop_reason(), "first");
        signals_close();
        assert_false(stop_requested());
        assert_null(stop_reason());
        signals_close();
    }
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    assert_false(sigismember(&mask, SIGTERM) || sigismember(&mask, SIGINT));
    assert_true(sigismember(&mask, SIGUSR1)); /* a late request must not kill */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(usr1_term_and_int_ask),
        cmocka_unit_test(the_second_int_ends_the_process_by_the_signal),
        cmocka_unit_test(an_ignored_int_stays_ignored),
        cmocka_unit_test(usr1_may_come_many_times),
        cmocka_unit_test(max_time_asks_when_it_is_over_and_not_before),
        cmocka_unit_test(a_time_that_is_over_at_the_start_asks_at_once),
        cmocka_unit_test(a_term_that_may_mean_the_end_of_another_rank_is_told_of_when_all_agree),
        cmocka_unit_test(closing_forgets_and_can_be_repeated),
    };
    return cmocka_run_group_tests(tests, open_dir, close_dir);
}
