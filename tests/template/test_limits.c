/* Malformed and hostile templates are errors with their line that say what is wrong, or what there is: none hangs, eats
 * the memory or crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trainer/template/chat_template.h"

static Status render(const char *source, size_t size, const char *input, Text *text, ChatSpans *spans)
{
    ChatTemplate *t = NULL;
    cJSON *messages = NULL;
    Status st = chat_template_compile(source, size, "made.jinja", &t);
    assert_int_equal(json_parse(input, strlen(input), "input", &messages), OK);
    ChatInput in = {.messages = messages};
    if (!st) st = chat_template_render(t, &in, text, spans);
    cJSON_Delete(messages);
    chat_template_free(t);
    return st;
}

typedef struct Case {
    Status status;
    unsigned line;
    const char *source, *message; /* what the message must contain */
} Case;

static const Case malformed[] = {
    {STATUS_FORMAT, 2, "a\n{{ x", "ends inside of a tag"},
    {STATUS_FORMAT, 1, "{% if x %}", "elif|else|endif"},
    {STATUS_FORMAT, 1, "{% endif %}", "unknown tag `endif`"},
    {STATUS_FORMAT, 3, "\n\n{% for x y %}", "expected `in`"},
    {STATUS_FORMAT, 1, "{{ (1 }}", "unexpected `}`"},
    {STATUS_FORMAT, 1, "{{ 1) }}", "unexpected `)`"},
    {STATUS_FORMAT, 1, "{{ 'a }}", "a string has no end"},
    {STATUS_FORMAT, 1, "{{ 'a\\x1' }}", "truncated \\x"},
    {STATUS_FORMAT, 1, "{{ }}", "expected an expression"},
    {STATUS_FORMAT, 1, "{# a", "no #}"},
    {STATUS_FORMAT, 2, "\n{% raw %} a", "endraw"},
    {STATUS_FORMAT, 1, "{{ a ? b }}", "unexpected character `?`"},
    {STATUS_FORMAT, 1, "{% set 1 = 2 %}", "only names"},
    {STATUS_FORMAT, 1, "{% break %}", "outside of a loop"},
    {STATUS_FORMAT, 1, "{% for x in [1] %}{% generation %}{% break %}{% endgeneration %}{% endfor %}",
     "outside of a loop"},
    {STATUS_FORMAT, 1, "{% for x in [1] %}{% set loop = 1 %}{% endfor %}", "`loop` cannot be set"},
    {STATUS_FORMAT, 1, "{% macro m(a=1, b) %}{% endmacro %}", "without a default"},
    {STATUS_FORMAT, 1, "{{ f(a=1, 2) }}", "without a name"},
    {STATUS_FORMAT, 1, "{% call 1 %}{% endcall %}", "needs a call"},
    {STATUS_FORMAT, 1, "a\xff", "UTF-8"},
    {STATUS_UNSUPPORTED, 2, "\n{% include 'x' %}", "there is break, call"},
    {STATUS_UNSUPPORTED, 1, "{% for x in y recursive %}{% endfor %}", "recursive"},
    {STATUS_UNSUPPORTED, 1, "{{ x | urlize }}", "there is abs, attr"},
    {STATUS_UNSUPPORTED, 1, "{{ ('<' | safe) + '<' }}", "last filter"},
    {STATUS_UNSUPPORTED, 2, "{{ '<' ~ '<' | safe }}\n{% set x = '<' | safe %}", "last filter"},
    {STATUS_UNSUPPORTED, 1, "{{ x is escaped }}", "there is !=, <"},
    {STATUS_UNSUPPORTED, 1, "{{ f(*a) }}", "write the arguments out"},
    {STATUS_UNSUPPORTED, 1, "{{ é }}", "ASCII"},
    {STATUS_UNSUPPORTED, 1, "{{ 99999999999999999999 }}", "64 bits"},
    {STATUS_UNSUPPORTED, 1, "{% macro m() %}{{ kwargs }}{% endmacro %}", "name its parameters"},
};

static const Case failing[] = {
    {STATUS_FORMAT, 2, "\n{{ x.y }}", "'x' is undefined"},
    {STATUS_FORMAT, 1, "{{ messages[0].a.b }}", "'dict object' has no attribute 'a'"},
    {STATUS_FORMAT, 1, "{{ messages.append(1) }}", "unsafe"},
    {STATUS_FORMAT, 1, "{{ ''.__class__.mro }}", "unsafe"},
    {STATUS_FORMAT, 3, "{% if true %}\n\n{{ raise_exception('no ' ~ 1) }}{% endif %}", "no 1"},
    {STATUS_FORMAT, 2, "{{ 'a' ~\n (1 + 'a') }}", "unsupported operand type(s) for +: 'int' and 'str'"},
    {STATUS_FORMAT, 1, "{% set a, b = [1] %}", "not enough values to unpack (expected 2, got 1)"},
    {STATUS_FORMAT, 1, "{% set messages.x = 1 %}", "non-namespace"},
    {STATUS_FORMAT, 1, "{{ x() }}", "'x' is undefined"},
    {STATUS_FORMAT, 1, "{{ 1() }}", "not callable"},
    {STATUS_FORMAT, 1, "{{ 1 / 0 }}", "division by zero"},
    {STATUS_FORMAT, 1, "{{ x | tojson }}", "Undefined is not JSON"},
    {STATUS_FORMAT, 1, "{{ {[]: 1} }}", "unhashable"},
    {STATUS_FORMAT, 1, "{{ 'a' | replace('b') }}", "parameters are: old,new,count"},
    {STATUS_FORMAT, 1, "{{ 'a' | trim(x=1) }}", "no parameter `x`"},
    {STATUS_FORMAT, 1, "{% macro m(a) %}{% endmacro %}{{ m(1, 2) }}", "not more than 1 argument"},
    {STATUS_UNSUPPORTED, 1, "{{ 9223372036854775807 + 1 }}", "64 bits"},
    {STATUS_UNSUPPORTED, 1, "{{ messages | map('upper') }}", "| list"},
    {STATUS_UNSUPPORTED, 1, "{{ 'a'.encode() }}", "`encode`"},
    {STATUS_UNSUPPORTED, 1, "{{ lipsum() }}", "`lipsum`"},
    /* hostile */
    {STATUS_FORMAT, 1, "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
     "does not end"},
    {STATUS_FORMAT, 1, "{% for a in range(1000000) %}{% endfor %}", "Range too big"},
    {STATUS_FORMAT, 1, "{{ 'aaaaaaaaaaaaaaaa' * 999999999999 }}", "MiB"},
    {STATUS_FORMAT, 1, "{{ [1] * 999999999999 }}", "steps"},
    {STATUS_FORMAT, 1, "{% set n = namespace(s='ab') %}{% for i in range(99) %}{% set n.s = n.s ~ n.s %}{% endfor %}",
     "MiB"},
    {STATUS_FORMAT, 1, "{% for i in range(99999) %}{{ 'a' * 99999 }}{% endfor %}", "MiB"},
    {STATUS_FORMAT, 1, "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "inside each other"},
    {STATUS_FORMAT, 1, "{% macro m(f) %}{{ f(f) ~ f(f) }}{% endmacro %}{{ m(m) }}", "inside each other"},
    {STATUS_FORMAT, 1,
     "{% set n = namespace(l=[]) %}{% for i in range(9999) %}{% set n.l = [n.l] %}{% endfor %}{{ n.l }}",
     "inside each other"},
    {STATUS_FORMAT, 1, "{% set n = namespace() %}{% set n.n = n %}{{ n }}", "inside each other"},
    {STATUS_FORMAT, 1, "{{ 'a' | indent(99999999999) }}", "MiB"},
    {STATUS_FORMAT, 1, "{{ ('a' * 9999999).replace('', 'b' * 9999999) }}", "MiB"},
};

static void check(const Case *c)
{
    Text text = {0};
    char where[64];
    Status st = render(c->source, strlen(c->source), "[{\"role\": \"user\", \"content\": \"x\"}]", &text, NULL);
    snprintf(where, sizeof where, "made.jinja%s line %u: ", strncmp(status_message(), "made.jinja:", 11) ? "," : ":",
             c->line);
    if (st != c->status || strncmp(status_message(), where, strlen(where)) || !strstr(status_message(), c->message))
        fail_msg("%s: wanted %d `%s…%s`, got %d `%s`", c->source, (int)c->status, where, c->message, (int)st,
                 st ? status_message() : text.data);
    text_free(&text);
}

static void malformed_templates_are_refused_with_their_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) check(&malformed[i]);
}

static void what_fails_while_rendering_says_where_and_why(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof failing / sizeof *failing; i++) check(&failing[i]);
}

/* Inside of before and after: `count` times open, then middle, then `count` times close. */
static void deep(const char *before, const char *open, const char *middle, const char *close, const char *after)
{
    enum { COUNT = 50000 };
    Text source = {0}, text = {0};
    text_printf(&source, "%s", before);
    for (int i = 0; i < COUNT; i++) text_printf(&source, "%s", open);
    text_printf(&source, "%s", middle);
    for (int i = 0; i < COUNT; i++) text_printf(&source, "%s", close);
    text_printf(&source, "%s", after);
    Status st = render(source.data, source.size, "[]", &text, NULL);
    if (st == OK || !strstr(status_message(), "inside each other"))
        fail_msg("%s: %d, %s", open, (int)st, status_message());
    text_free(&source);
    text_free(&text);
}

static void nothing_is_too_deep_for_the_stack(void **state)
{
    (void)state;
    deep("", "{% if 1 %}", "", "{% endif %}", "");
    deep("", "{% macro m() %}", "", "{% endmacro %}", "");
    deep("{{ ", "(", "1", ")", " }}");
    deep("{{ ", "[", "1", "]", " }}");
    deep("{{ ", "{1:", "1", "}", " }}");
    deep("{{ ", "not ", "1", "", " }}");
    deep("{{ ", "-", "1", "", " }}");
    deep("{{ ", "1 if 1 else ", "1", "", " }}");
    deep("{{ ", "a(", "1", ")", " }}");
    deep("{{ 1", "", "", " + 1", " }}");
    deep("{{ 1", "", "", " | string", " }}");
    deep("{{ 'a'", "", "", "[0]", " }}");
    deep("{% set ", "(", "a", ")", " = 1 %}");
    deep("{% set ", "[", "a", "]", " = 1 %}");
}

static void spans_are_bytes_and_captured_ones_are_refused(void **state)
{
    (void)state;
    Text text = {0};
    ChatSpans spans = {0};
    const char *good = "é{% for m in messages %}{% generation %}ü{{ m.content }}{% endgeneration %}.{% endfor %}";
    const char *bad = "\n{% set x %}{% generation %}a{% endgeneration %}{% endset %}";
    assert_int_equal(render(good, strlen(good), "[{\"content\": \"a\"}, {\"content\": \"ß\"}]", &text, &spans), OK);
    assert_string_equal(text.data, "éüa.üß.");
    assert_int_equal(spans.count, 2);
    assert_int_equal(spans.spans[0].begin, 2);
    assert_int_equal(spans.spans[0].end, 5);
    assert_int_equal(spans.spans[1].begin, 6);
    assert_int_equal(spans.spans[1].end, 10);
    assert_int_equal(render(bad, strlen(bad), "[]", &text, &spans), STATUS_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "line 2"));
    assert_int_equal(render(bad, strlen(bad), "[]", &text, NULL), OK);
    chat_spans_free(&spans);
    text_free(&text);
}

static void wrong_input_is_refused(void **state)
{
    (void)state;
    Text text = {0};
    assert_int_equal(render("", 0, "{}", &text, NULL), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "not a list"));
    assert_int_equal(render("", 0, "[{}, 1]", &text, NULL), STATUS_FORMAT);
    assert_non_null(strstr(status_message(), "message 2"));
    assert_int_equal(render("x", 1, "[]", &text, NULL), OK);
    assert_string_equal(text.data, "x");
    text_free(&text);
}

static void space_before_a_block_that_begins_the_template_goes(void **state)
{
    (void)state;
    Text text = {0};
    const char *block = "  {% if true %} x{% endif %}", *print = "  {{ 'x' }}";
    assert_int_equal(render(block, strlen(block), "[]", &text, NULL), OK);
    assert_int_equal(render(print, strlen(print), "[]", &text, NULL), OK);
    assert_string_equal(text.data, " x  x");
    text_free(&text);
}

static void memory_that_fails_is_an_error(void **state)
{
    (void)state;
    const char *source =
        "{% macro m(a) %}{{ a | upper }}{% endmacro %}{% for x in messages %}{{ m(x.content) }}{% endfor %}";
    int failures = 0;
    for (long nth = 1; nth < 40; nth++) {
        ChatTemplate *t = NULL;
        Text text = {0};
        cJSON *messages = cJSON_Parse("[{\"content\": \"a\"}]");
        arena_fail_at(nth);
        Status st = chat_template_compile(source, strlen(source), "x", &t);
        if (!st) st = chat_template_render(t, &(ChatInput){.messages = messages}, &text, NULL);
        arena_fail_at(0);
        assert_true(st == OK || st == STATUS_MEMORY);
        failures += st != OK;
        if (!st) assert_string_equal(text.data, "A");
        text_free(&text);
        chat_template_free(t);
        cJSON_Delete(messages);
    }
    assert_true(failures > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_templates_are_refused_with_their_line),
        cmocka_unit_test(what_fails_while_rendering_says_where_and_why),
        cmocka_unit_test(nothing_is_too_deep_for_the_stack),
        cmocka_unit_test(spans_are_bytes_and_captured_ones_are_refused),
        cmocka_unit_test(wrong_input_is_refused),
        cmocka_unit_test(space_before_a_block_that_begins_the_template_goes),
        cmocka_unit_test(memory_that_fails_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
