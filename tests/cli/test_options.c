/* Options of commands without a config: where they end, their types, and that every problem is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "trainer/cli/cli.h"

static bool flag;
static int64_t count;
static double rate;
static const char *model;
static int first;

/* Parses words separated by '|'. */
static Status parse(const char *line)
{
    const Option options[] = {
        {.name = "do_sample", .type = OPTION_FLAG, .into = &flag},
        {.name = "top_k", .type = OPTION_INT, .into = &count, .least = 0, .most = 100},
        {.name = "temperature", .type = OPTION_REAL, .into = &rate},
        {.name = "model", .type = OPTION_TEXT, .into = &model},
    };
    static char words[400];
    char *argv[32], *rest;
    int argc = 0;
    flag = false, count = 7, rate = 1, model = NULL;
    strncpy(words, line, sizeof words - 1);
    for (char *w = strtok_r(words, "|", &rest); w; w = strtok_r(NULL, "|", &rest)) argv[argc++] = w;
    return options_parse(argc, argv, options, 4, &first);
}

static void options_end_at_the_first_word_or_after_two_dashes(void **state)
{
    (void)state;
    assert_int_equal(parse("--model|m|--do-sample|--top_k=3|text|--temperature|2"), OK);
    assert_string_equal(model, "m");
    assert_true(flag && count == 3 && rate == 1);
    assert_int_equal(first, 4);
    assert_int_equal(parse("--temperature|-0.5|--|--top_k"), OK);
    assert_true(rate == -0.5);
    assert_int_equal(first, 3);
    assert_int_equal(parse(""), OK);
    assert_int_equal(first, 0);
    assert_int_equal(parse("--do_sample|false|x"), OK);
    assert_false(flag);
    assert_int_equal(first, 2);
    assert_int_equal(parse("--do_sample|--no_do_sample"), OK);
    assert_false(flag);
    assert_int_equal(parse("--do_sample=0|x"), OK);
    assert_false(flag);
    static const char *const texts[] = {"--do_sample|truth", "--do_sample|1|2", "--do_sample|0", "--do_sample|no|way"};
    for (int i = 0; i < 4; i++) { /* texts, not the flag's value */
        assert_int_equal(parse(texts[i]), OK);
        assert_true(flag);
        assert_int_equal(first, 1);
    }
}

static void every_problem_is_told(void **state)
{
    (void)state;
    assert_int_equal(parse("--top_k|101|--temperature|x|--nonsense|5|--model"), STATUS_USAGE);
    const char *m = status_message();
    assert_non_null(strstr(m, "--top_k must be an integer from 0 to 100, and is `101`"));
    assert_non_null(strstr(m, "--temperature must be a number, and is `x`"));
    assert_non_null(strstr(m, "unknown option `--nonsense`; options are --do_sample"));
    assert_non_null(strstr(m, "--model needs a value"));
    assert_int_equal(parse("--top_k=1.5"), STATUS_USAGE);
    assert_int_equal(parse("--top_k="), STATUS_USAGE);
    assert_int_equal(parse("--temperature=nan"), STATUS_USAGE);
    assert_int_equal(parse("--do_sample=maybe"), STATUS_USAGE);
}

static void unknown_commands_are_refused_by_name(void **state)
{
    (void)state;
    assert_non_null(command_find("args"));
    assert_null(command_find("serve"));
    assert_int_equal(command_refuse("serve"), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "`hone serve` is not part of this version"));
    assert_int_equal(command_refuse("inspec"), STATUS_USAGE);
    assert_non_null(strstr(status_message(), "hone inspect"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_end_at_the_first_word_or_after_two_dashes),
        cmocka_unit_test(every_problem_is_told),
        cmocka_unit_test(unknown_commands_are_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
