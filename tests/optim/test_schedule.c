/* Schedules against transformers' get_scheduler (fixtures/ops/schedules.json), the vectors of the reference's notes,
 * and refused kwargs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <math.h>
#include <cmocka.h>

#include "optim/schedule.h"
#include "trainer/base/json.h"

static Status feed(ScheduleConfig *c, const cJSON *kwargs)
{
    Status st = OK;
    for (const cJSON *k = kwargs->child; k; k = k->next)
        TRY(cJSON_IsString(k) ? schedule_text(c, k->string, k->valuestring)
                              : schedule_number(c, k->string, k->valuedouble));
done:
    return st;
}

static void every_schedule_draws_the_references_rates(void **state)
{
    (void)state;
    cJSON *cases;
    const cJSON *item, *value;
    int checked = 0, exact = 0, values = 0;
    assert_int_equal(json_read_file(FIXTURES "/ops/schedules.json", &cases), OK);
    cJSON_ArrayForEach(item, cases) {
        ScheduleConfig c = {0};
        Schedule s;
        int64_t step = 0;
        const char *name;
        if (cJSON_GetObjectItem(item, "metrics")) continue; /* reduce_lr_on_plateau */
        assert_int_equal(json_string(item, "case", "name", &name), OK);
        c.type = name;
        c.lr = cJSON_GetObjectItem(item, "lr")->valuedouble;
        c.warmup = (int64_t)cJSON_GetObjectItem(item, "warmup_steps")->valuedouble;
        c.total = (int64_t)cJSON_GetObjectItem(item, "max_steps")->valuedouble;
        assert_int_equal(feed(&c, cJSON_GetObjectItem(item, "kwargs")), OK);
        if (schedule_init(&s, &c) != OK) fail_msg("%s: %s", name, status_message());
        cJSON_ArrayForEach(value, cJSON_GetObjectItem(item, "values")) {
            double got = schedule_at(&s, step), want = value->valuedouble;
            if (!(fabs(got - want) <= 1e-15 * fabs(c.lr)))
                fail_msg("%s, warm-up %d, step %d: %.17g, not %.17g", name, (int)c.warmup, (int)step, got, want);
            exact += got == want;
            values++;
            step++;
        }
        assert_int_equal(step, c.total + 3);
        checked++;
    }
    cJSON_Delete(cases);
    assert_true(checked >= 50);
    assert_true(exact >= values * 99 / 100);
}

typedef struct Vector {
    const char *type, *kwarg;
    double value;
    int64_t steps[4];
    double rates[4];
} Vector;

static void the_notes_vectors_hold(void **state)
{
    static const Vector vectors[] = {
        {"linear", NULL, 0, {0, 1, 3, 10}, {0, .0005, .000875, 0}},
        {"cosine", NULL, 0, {0, 3, 4, 9}, {0, .0009619397663, .0008535533906, 3.806023374e-05}},
        {"cosine_with_restarts", "num_cycles", 2, {3, 5, 6, 10}, {.0008535533906, .0001464466094, .001, 0}},
        {"cosine_with_min_lr", "min_lr", 1e-4, {0, 1, 7, 10}, {0, .0005, .0003777924554, .0001}},
        {"cosine_warmup_with_min_lr", "min_lr", 1e-4, {0, 1, 9, 10}, {.0005, .001, .0001, .0001342542104}},
        {"polynomial", NULL, 0, {2, 3, 10, 11}, {.001, .0008750125, 1e-7, 1e-7}},
        {"inverse_sqrt", NULL, 0, {1, 2, 3, 10}, {.0005, .001, .0008164965809, .0004472135955}},
        {"warmup_stable_decay", "num_decay_steps", 4, {6, 7, 8, 9}, {.001, .0008535533906, .0005, .0001464466094}},
        {"constant", NULL, 0, {0, 1, 5, 99}, {.001, .001, .001, .001}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        const Vector *v = &vectors[i];
        ScheduleConfig c = {.type = v->type, .lr = 1e-3, .warmup = 2, .total = 10};
        Schedule s;
        if (v->kwarg) assert_int_equal(schedule_number(&c, v->kwarg, v->value), OK);
        assert_int_equal(schedule_init(&s, &c), OK);
        for (int k = 0; k < 4; k++)
            if (fabs(schedule_at(&s, v->steps[k]) - v->rates[k]) > 1e-12)
                fail_msg("%s, step %d: %.13g, not %.13g", v->type, (int)v->steps[k], schedule_at(&s, v->steps[k]),
                         v->rates[k]);
    }
}

static void expect(const ScheduleConfig *c, const char *words)
{
    Schedule s;
    assert_int_equal(schedule_init(&s, c), STATUS_USAGE);
    if (!strstr(status_message(), words)) fail_msg("`%s` is not in `%s`", words, status_message());
}

static ScheduleConfig with(const char *type, const char *key, double value)
{
    ScheduleConfig c = {.type = type, .lr = 1e-3, .warmup = 1, .total = 5};
    if (key) assert_int_equal(schedule_number(&c, key, value), OK);
    return c;
}

static void kwargs_that_do_not_belong_are_refused_by_name(void **state)
{
    (void)state;
    ScheduleConfig c = with("linear", "num_cycles", 2);
    expect(&c, "linear has no num_cycles");
    c = with("warmup_stable_decay", NULL, 0);
    expect(&c, "needs num_decay_steps");
    c = with("cosine_with_min_lr", NULL, 0);
    expect(&c, "exactly one of min_lr, min_lr_rate");
    c = with("cosine_with_min_lr", "min_lr", 1e-5);
    assert_int_equal(schedule_number(&c, "min_lr_rate", 0.1), OK);
    expect(&c, "exactly one of min_lr, min_lr_rate");
    c = with("polynomial", "lr_end", 1);
    expect(&c, "above lr_end");
    c = with("cosin", NULL, 0);
    expect(&c, "`cosin` is none of constant,");
    c = with("linear", NULL, 0);
    c.lr = NAN;
    expect(&c, "learning_rate");
}

static void values_of_the_wrong_kind_or_range_are_refused(void **state)
{
    (void)state;
    ScheduleConfig c = {0};
    assert_int_equal(schedule_number(&c, "cycles", 1), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "num_cycles"));
    assert_int_equal(schedule_number(&c, "power", NAN), STATUS_USAGE);
    assert_int_equal(schedule_number(&c, "power", -1), STATUS_USAGE);
    assert_int_equal(schedule_number(&c, "timescale", 0), STATUS_USAGE);
    assert_int_equal(schedule_number(&c, "num_decay_steps", 1.5), STATUS_USAGE);
    assert_int_equal(schedule_number(&c, "decay_type", 1), STATUS_USAGE);
    assert_int_equal(schedule_text(&c, "decay_type", "square"), STATUS_USAGE);
    assert_int_equal(schedule_text(&c, "power", "2"), STATUS_USAGE);
    assert_int_equal(schedule_text(&c, "shape", "linear"), STATUS_USAGE);
    assert_int_equal(c.given, 0);
}

static void every_name_that_is_listed_is_found(void **state)
{
    (void)state;
    char names[400];
    int count = 0;
    snprintf(names, sizeof names, "%s", schedule_type_names());
    for (char *name = strtok(names, ","); name; name = strtok(NULL, ","), count++)
        assert_non_null(schedule_type_find(name));
    assert_int_equal(count, 10);
    assert_null(schedule_type_find(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_schedule_draws_the_references_rates),
        cmocka_unit_test(the_notes_vectors_hold),
        cmocka_unit_test(kwargs_that_do_not_belong_are_refused_by_name),
        cmocka_unit_test(values_of_the_wrong_kind_or_range_are_refused),
        cmocka_unit_test(every_name_that_is_listed_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
