/* Bars and lines: what they show in which width, what a terminal and a file see; rates, times, memory. */
#include "callbacks_test.h"

#include <fcntl.h>
#include <math.h>
#include <sys/ioctl.h>

#include "trainer/base/log.h"
#include "trainer/callbacks/progress.h"
#include "trainer/callbacks/timing.h"

static const ProgressView halfway = {.what = "train", .done = 420, .total = 1000, .loss = 3.21456, .rate = 4.2e-5,
                                     .steps_per_s = 3.1, .tokens_per_s = 12400, .elapsed_s = 135, .remaining_s = 186,
                                     .ascii = true};

static const char *bar(const ProgressView *v, int width)
{
    Text t = {0};
    progress_bar_text(v, width, &t);
    const char *text = arena_strdup(arena, t.data);
    text_free(&t);
    return text;
}

static void a_bar_shows_all_where_there_is_room(void **state)
{
    (void)state;
    assert_string_equal(bar(&halfway, 120),
                        "train  42%|############                  | 420/1000, loss 3.215, lr 4.2e-05, "
                        "3.10 it/s, 12.4k tok/s [2:15<3:06]");
}

static void a_bar_fits_every_width_and_drops_the_least_important_first(void **state)
{
    (void)state;
    for (int width = 20; width <= 130; width++) assert_true((int)strlen(bar(&halfway, width)) <= width);
    assert_null(strstr(bar(&halfway, 72), "tok/s"));
    assert_non_null(strstr(bar(&halfway, 50), "loss 3.215"));
    assert_non_null(strstr(bar(&halfway, 20), "42%"));
}

static void blocks_are_filled_by_eighths(void **state)
{
    ProgressView v = halfway;
    (void)state;
    v.ascii = false;
    v.done = 1000;
    assert_non_null(strstr(bar(&v, 120), "100%|██████████████████████████████| 1000/1000"));
    v.done = 0;
    assert_non_null(strstr(bar(&v, 120), "  0%|                              | 0/1000"));
    v.done = 5;
    assert_non_null(strstr(bar(&v, 120), "  0%|▏  "));
}

static void what_is_unknown_is_not_shown(void **state)
{
    ProgressView v = {.what = "evaluate", .done = 3, .loss = NAN, .rate = NAN, .elapsed_s = 4000, .remaining_s = -1};
    Text t = {0};
    (void)state;
    assert_string_equal(bar(&v, 80), "evaluate 3 [1:06:40]");
    v.total = 12;
    v.steps_per_s = 0.4;
    v.remaining_s = 22.5;
    progress_line_text(&v, &t);
    assert_string_equal(t.data, "evaluate 3/12 (25%), 2.50 s/it, 1:06:40 elapsed, 0:22 left");
    text_free(&t);
}

static int swap_stderr(int fd)
{
    int old = dup(STDERR_FILENO);
    dup2(fd, STDERR_FILENO);
    close(fd);
    return old;
}

static const char *training_said(bool no_bar, double every_s)
{
    ProgressOptions options = {.total = 3, .no_bar = no_bar, .every_s = every_s};
    Progress *p;
    LogEntry e = training(2.5, 1e-3, 2);
    const char *path = in_dir("stderr");
    int old = swap_stderr(open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600));
    Status st = progress_open(&options, &p);
    for (int step = 1; step <= 3; step++) progress_step(p, step, 2.5, 1e-3, 100 * step);
    progress_log(p, &e);
    progress_part_begin(p, "evaluate", 5);
    progress_part_step(p, 5);
    progress_part_end(p);
    progress_close(p);
    swap_stderr(old);
    assert_ok(st);
    return content(path);
}

static void a_file_sees_lines_now_and_then(void **state)
{
    (void)state;
    const char *said = training_said(false, 0);
    assert_non_null(
        strstr(said, "hone: {'loss': '2.5', 'learning_rate': '0.001'}\nhone: train 3/3 (100%), loss 2.5, lr 0.001, "));
    assert_null(strstr(said, "train 1/3")); /* not every step */
    assert_null(strchr(said, '\r'));
    said = training_said(false, 1e-9);
    assert_non_null(strstr(said, "hone: train 1/3 (33%), "));
    assert_non_null(strstr(said, "evaluate 5/5 (100%), "));
    assert_string_equal(training_said(true, 1e-9), "hone: {'loss': '2.5', 'learning_rate': '0.001'}\n");
}

static void a_terminal_sees_a_bar_as_wide_as_itself(void **state)
{
    ProgressOptions options = {.total = 3, .redraw_s = 1e-9};
    struct winsize window = {.ws_row = 24, .ws_col = 50};
    static char said[65536];
    Progress *p;
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) skip();
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    if (slave < 0) skip();
    ioctl(slave, TIOCSWINSZ, &window);
    int old = swap_stderr(slave);
    Status st = progress_open(&options, &p);
    for (int step = 1; step <= 3; step++) progress_step(p, step, 2.5, 1e-3, 100 * step);
    progress_close(p);
    swap_stderr(old);
    fcntl(master, F_SETFL, O_NONBLOCK);
    ssize_t n, size = 0;
    while ((n = read(master, said + size, sizeof said - 1 - (size_t)size)) > 0) size += n;
    close(master);
    assert_ok(st);
    assert_non_null(strstr(said, "\r\033[Ktrain 100%"));
    assert_null(strchr(said, '\n'));
    size_t columns = 0;
    for (const char *c = strrchr(said, 't'); c > said && *c != 'K'; c--) columns += ((unsigned char)*c & 0xC0) != 0x80;
    assert_true(columns < 50);
    assert_string_equal(said + strlen(said) - 4, "\r\033[K"); /* and is gone at the end */
}

static void nobody_needs_a_bar(void **state)
{
    LogEntry e = training(1, 1, 1);
    (void)state;
    progress_step(NULL, 1, 1, 1, 1);
    progress_log(NULL, &e);
    progress_part_begin(NULL, "x", 1);
    progress_part_step(NULL, 1);
    progress_part_end(NULL);
    progress_close(NULL);
}

static void a_rate_forgets_a_slow_start_and_skips_what_is_not_training(void **state)
{
    RateMeter m;
    double now = 100;
    (void)state;
    rate_start(&m, now);
    assert_true(rate_per_s(&m) == 0);
    rate_add(&m, 1, now += 20);
    for (int i = 0; i < 600; i++) rate_add(&m, 1, now += 0.5);
    assert_true(fabs(rate_per_s(&m) - 2) < 0.01);
    rate_skip(&m, now += 500);
    rate_add(&m, 1, now += 0.5);
    assert_true(fabs(rate_per_s(&m) - 2) < 0.01);
}

static const char *time_text(double seconds)
{
    Text t = {0};
    timing_add(&t, seconds);
    const char *text = arena_strdup(arena, t.data);
    text_free(&t);
    return text;
}

static void times_are_written_for_people(void **state)
{
    (void)state;
    assert_string_equal(time_text(7.9), "0:07");
    assert_string_equal(time_text(65), "1:05");
    assert_string_equal(time_text(7384), "2:03:04");
    assert_string_equal(time_text(3 * 86400 + 7384), "3 d 2:03:04");
    assert_string_equal(time_text(-1), "?");
    assert_string_equal(time_text(NAN), "?");
    assert_string_equal(time_text(INFINITY), "?");
    assert_true(timing_round(1.23456789, 4) == 1.2346 && timing_round(0.0005, 3) == 0.001 &&
                timing_round(2.675, 2) == 2.67);
    assert_true(isnan(timing_round(NAN, 3)));
}

static void clocks_and_memory_are_read(void **state)
{
    double now = timing_now(), start = timing_process_start();
    (void)state;
    assert_true(start <= now + 0.02 && now - start < 60);
    assert_true(timing_wall() > 1.7e9);
    uint64_t before = memory_now_bytes();
    assert_true(before > 100000 && memory_peak_bytes() >= before);
    char *block = malloc(64 << 20);
    assert_non_null(block);
    for (size_t i = 0; i < (size_t)64 << 20; i += 4096) ((volatile char *)block)[i] = 1;
    assert_true(memory_now_bytes() >= before + ((size_t)60 << 20));
    free(block);
    assert_true(memory_peak_bytes() >= before + ((size_t)60 << 20));
}

int main(void)
{
    setenv("LC_ALL", "C", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bar_shows_all_where_there_is_room),
        cmocka_unit_test(a_bar_fits_every_width_and_drops_the_least_important_first),
        cmocka_unit_test(blocks_are_filled_by_eighths),
        cmocka_unit_test(what_is_unknown_is_not_shown),
        cmocka_unit_test(a_file_sees_lines_now_and_then),
        cmocka_unit_test(a_terminal_sees_a_bar_as_wide_as_itself),
        cmocka_unit_test(nobody_needs_a_bar),
        cmocka_unit_test(a_rate_forgets_a_slow_start_and_skips_what_is_not_training),
        cmocka_unit_test(times_are_written_for_people),
        cmocka_unit_test(clocks_and_memory_are_read),
    };
    return cmocka_run_group_tests(tests, open_dir, close_dir);
}
