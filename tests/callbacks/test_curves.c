/* The picture of a run: round ticks, thinned lines that keep their extremes, gaps, spikes; well-formed whatever the
 * values. */
#include "callbacks_test.h"

#include <float.h>
#include <math.h>

#include "trainer/callbacks/curves_series.h"
#include "trainer/callbacks/curves_svg.h"

static void ticks_are_round_and_axes_hold_the_data(void **state)
{
    Axis a = axis_make(2.71, 6.43, 100, 0, 6, true);
    Text t = {0};
    (void)state;
    assert_true(a.tick == 0.5 && a.lo == 2.5 && a.hi == 6.5);
    assert_true(axis_at(&a, 2.5) == 100 && axis_at(&a, 6.5) == 0 && axis_at(&a, 4.5) == 50);
    axis_add_label(&t, &a, 6.5);
    text_add(&t, " ", 1);
    a = axis_make(0, 20000, 0, 100, 8, false);
    axis_add_label(&t, &a, 6000);
    text_add(&t, " ", 1);
    a = axis_make(0, 0.003, 0, 100, 3, true);
    axis_add_label(&t, &a, 0.002);
    assert_string_equal(t.data, "6.5 6k 0.002");
    text_free(&t);
}

static void every_range_makes_an_axis(void **state)
{
    static const double ends[] = {0, 1, -1, 1e-300, 1e300, -1e300, 3.5, 3.5 + 1e-15, 1e-9, 123456789};
    (void)state;
    for (int i = 0; i < 10; i++)
        for (int k = 0; k < 10; k++) {
            double lo = fmin(ends[i], ends[k]), hi = fmax(ends[i], ends[k]);
            Axis a = axis_make(lo, hi, 0, 100, 6, true);
            if (!(a.hi > a.lo && a.tick > 0 && a.lo - lo < 1e-9 * (a.hi - a.lo) && a.hi - hi > -1e-9 * (a.hi - a.lo) &&
                  (a.hi - a.lo) / a.tick < 20))
                fail_msg("[%g, %g]: [%g, %g] by %g", lo, hi, a.lo, a.hi, a.tick);
        }
}

static Points points(size_t count)
{
    Points p = {arena_array(arena, count, sizeof(double)), arena_array(arena, count, sizeof(double)), count};
    for (size_t i = 0; i < count; i++) p.x[i] = (double)i;
    return p;
}

static size_t count_of(const char *text, char c)
{
    size_t n = 0;
    for (; *text; text++) n += *text == c;
    return n;
}

static void thinning_keeps_extremes(void **state)
{
    Points p = points(100000);
    Axis x = axis_make(0, 100000, 0, 500, 8, false), y = axis_make(0, 10, 100, 0, 5, true);
    Text t = {0};
    (void)state;
    for (size_t i = 0; i < p.count; i++) p.y[i] = 5;
    p.y[12345] = 10;
    p.y[54321] = 0;
    points_add_path(&t, &p, &x, &y);
    assert_true(count_of(t.data, 'L') < 1200);
    assert_int_equal(count_of(t.data, 'M'), 1);
    assert_non_null(strstr(t.data, "L61.7 0.0"));
    assert_non_null(strstr(t.data, "L271.6 100.0"));
    text_free(&t);
}

static void what_is_not_finite_is_a_gap_and_a_lone_value_a_dot(void **state)
{
    Points p = points(6);
    Axis x = axis_make(0, 6, 0, 60, 6, false), y = axis_make(0, 10, 100, 0, 5, true);
    Text t = {0};
    static const double values[] = {1, 2, NAN, 3, INFINITY, 4};
    (void)state;
    memcpy(p.y, values, sizeof values);
    points_add_path(&t, &p, &x, &y);
    assert_string_equal(t.data, "M0.0 90.0L10.0 80.0M30.0 70.0h0M50.0 60.0h0");
    text_free(&t);
}

static void spikes_do_not_press_the_rest_flat(void **state)
{
    Points p = points(200);
    double *scratch = arena_array(arena, 200, sizeof(double));
    (void)state;
    for (size_t i = 0; i < p.count; i++) p.y[i] = 3 + 7 * exp(-(double)i / 20);
    assert_true(points_ceiling(&p, scratch) == 10); /* a steep beginning is no spike */
    p.y[100] = 1e6;
    p.y[150] = NAN;
    assert_true(points_ceiling(&p, scratch) < 20);
    p.count = 0;
    assert_true(points_ceiling(&p, scratch) == 0);
}

static void smoothing_does_not_lag(void **state)
{
    Points p = points(200);
    double *smooth = arena_array(arena, 200, sizeof(double)), *scratch = arena_array(arena, 200, sizeof(double));
    (void)state;
    for (size_t i = 0; i < p.count; i++) p.y[i] = (double)i + (i % 2 ? 1 : -1);
    p.y[100] = 1e9; /* above the ceiling: does not count */
    p.y[120] = NAN;
    points_smooth(&p, 5, 1000, smooth, scratch);
    for (size_t i = 30; i < 170; i++)
        if (i != 120 && fabs(smooth[i] - (double)i) > 0.5) fail_msg("%zu: %g", i, smooth[i]);
    assert_true(isnan(smooth[120]));
}

/* Every tag is closed, attributes are quoted, no NaN stands anywhere. */
static void assert_well_formed(const char *svg)
{
    int depth = 0;
    for (const char *c = svg; (c = strchr(c, '<')); c++) {
        const char *end = strchr(c, '>');
        assert_non_null(end);
        size_t quotes = 0;
        for (const char *q = c; q < end; q++) quotes += *q == '"';
        assert_int_equal(quotes % 2, 0);
        depth += c[1] == '/' ? -1 : end[-1] == '/' ? 0 : 1;
        assert_true(depth >= 0);
    }
    assert_int_equal(depth, 0);
    assert_null(strstr(svg, "nan"));
    assert_null(strstr(svg, "inf"));
}

static void every_history_makes_a_picture(void **state)
{
    static const double values[] = {NAN, INFINITY, -INFINITY, 0, -5, 3, DBL_MAX, -DBL_MAX, DBL_MIN};
    (void)state;
    for (int kind = 0; kind < 81; kind++) {
        TrainerState s;
        Text t = {0};
        state_init(&s);
        for (int step = 1; step <= 3 + kind % 3 * 100; step++) {
            LogEntry e = training(values[step % 2 ? kind % 9 : kind / 9], values[kind % 9], step);
            assert_ok(state_log(&s, &e));
        }
        assert_ok(curves_text(&s, "run", &t));
        assert_well_formed(t.data);
        assert_true(t.size < 200000);
        text_free(&t);
        state_free(&s);
    }
}

static void the_picture_has_both_curves_and_an_escaped_title(void **state)
{
    TrainerState s;
    (void)state;
    state_init(&s);
    assert_ok(curves_write(&s, "empty", in_dir("a.svg")));
    assert_non_null(strstr(content(in_dir("a.svg")), "no loss has been logged yet"));
    for (int step = 1; step <= 20; step++) {
        LogEntry e = training(5 - step * 0.1, 1e-4 * step, step);
        assert_ok(state_log(&s, &e));
    }
    LogEntry e = {0};
    logentry_add_real(&e, "eval_loss", 3.75);
    logentry_add_int(&e, "step", 20);
    assert_ok(state_log(&s, &e));
    assert_ok(curves_write(&s, "a<b>&\"\xff\x01", in_dir("a.svg")));
    const char *svg = content(in_dir("a.svg"));
    assert_well_formed(svg);
    assert_non_null(strstr(svg, "a&lt;b&gt;&amp;'\xEF\xBF\xBD?"));
    assert_non_null(strstr(svg, "training 3"));
    assert_non_null(strstr(svg, "evaluation 3.75"));
    assert_non_null(strstr(svg, "<circle class=\"dot\""));
    assert_non_null(strstr(svg, "× 10⁻³"));
    assert_non_null(strstr(svg, "prefers-color-scheme: dark"));
    state_free(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ticks_are_round_and_axes_hold_the_data),
        cmocka_unit_test(every_range_makes_an_axis),
        cmocka_unit_test(thinning_keeps_extremes),
        cmocka_unit_test(what_is_not_finite_is_a_gap_and_a_lone_value_a_dot),
        cmocka_unit_test(spikes_do_not_press_the_rest_flat),
        cmocka_unit_test(smoothing_does_not_lag),
        cmocka_unit_test(every_history_makes_a_picture),
        cmocka_unit_test(the_picture_has_both_curves_and_an_escaped_title),
    };
    return cmocka_run_group_tests(tests, open_dir, close_dir);
}
