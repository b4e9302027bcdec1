/* Lines of the log: their prefix, who may talk, and that a pipe sees no progress bar. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "trainer/base/log.h"
#include "trainer/base/status.h"

static char seen[65536];

/* Runs `talk` with stderr in a pipe and gives what it said. */
static const char *said_by(void (*talk)(void))
{
    int ends[2], old = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    talk();
    dup2(old, STDERR_FILENO);
    close(old);
    ssize_t n, size = 0;
    while ((n = read(ends[0], seen + size, sizeof seen - 1 - (size_t)size)) > 0) size += n;
    close(ends[0]);
    seen[size] = '\0';
    log_set(LOG_INFO, 0);
    return seen;
}

static void rank_0(void)
{
    log_set(LOG_INFO, 0);
    log_status("50%");
    log_debug("d%d", 1);
    log_info("i%d", 2);
    log_warning("w");
    log_status(NULL);
    log_error("e");
}

static void rank_3(void)
{
    log_set(LOG_DEBUG, 3);
    log_info("i");
    log_warning("w");
    log_error("e");
}

static void long_line(void)
{
    static char text[40000];
    memset(text, 'x', sizeof text - 1);
    log_info("%s", text);
}

static void a_reader_that_is_gone_ends_nothing(void **state)
{
    int ends[2], old = dup(STDERR_FILENO);
    (void)state;
    assert_int_equal(pipe(ends), 0);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    close(ends[0]);
    for (int i = 0; i < 3; i++) log_error("nobody reads this"); /* SIGPIPE would end the test */
    dup2(old, STDERR_FILENO);
    close(old);
}

static void lines_have_their_prefix_and_level(void **state)
{
    (void)state;
    assert_string_equal(said_by(rank_0), "hone: i2\nhone: warning: w\nhone: error: e\n");
}

static void other_ranks_tell_errors_only_with_their_number(void **state)
{
    (void)state;
    assert_string_equal(said_by(rank_3), "hone: rank 3: error: e\n");
}

static void a_long_line_is_cut_and_ended(void **state)
{
    (void)state;
    const char *text = said_by(long_line);
    assert_true(strlen(text) < 20001);
    assert_int_equal(text[strlen(text) - 1], '\n');
}

static void statuses_have_names_exit_codes_and_prefixes(void **state)
{
    (void)state;
    assert_string_equal(status_name(STATUS_BUG), "internal error");
    assert_int_equal(status_exit_code(STATUS_USAGE), 2);
    assert_int_equal(status_exit_code(STATUS_STOPPED), 75);
    assert_int_equal(status_exit_code(STATUS_IO), 1);
    assert_int_equal(status_raise(STATUS_IO, "a %d", 1), STATUS_IO);
    assert_int_equal(status_prefix(STATUS_IO, "b"), STATUS_IO);
    assert_string_equal(status_message(), "b: a 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_that_is_gone_ends_nothing),
        cmocka_unit_test(lines_have_their_prefix_and_level),
        cmocka_unit_test(other_ranks_tell_errors_only_with_their_number),
        cmocka_unit_test(a_long_line_is_cut_and_ended),
        cmocka_unit_test(statuses_have_names_exit_codes_and_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
